// Gets into the state named by the first argument: "io_uring", a thread in a ring; else a process whose
// first thread has exited, which prints the tids of both.
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say_tid(void) {
    printf("%ld\n", (long)syscall(SYS_gettid));
    fflush(stdout);
}

static void *pause_alone(void *unused) {
    (void)unused;
    say_tid();
    pause();
    return NULL;
}

// Submits one accept request on a listener, prints the listener's descriptor, and blocks in the ring.
static void io_uring_accept(void) {
    struct io_uring_params params = {0};
    int ring = syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0) {
        puts("skip io_uring_setup fails");
        exit(0);
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bind(listener, (struct sockaddr *)&any, sizeof any);
    listen(listener, 4);
    char *rings = mmap(NULL, params.sq_off.array + params.sq_entries * sizeof(unsigned),
                       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *sqes = mmap(NULL, params.sq_entries * sizeof *sqes, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
    if (rings == MAP_FAILED || sqes == MAP_FAILED) {
        puts("skip io_uring cannot be mapped");
        exit(0);
    }
    memset(sqes, 0, sizeof *sqes);
    sqes->opcode = IORING_OP_ACCEPT;
    sqes->fd = listener;
    ((unsigned *)(rings + params.sq_off.array))[0] = 0;
    __atomic_store_n((unsigned *)(rings + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    printf("%d\n", listener);
    fflush(stdout);
    syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    pause();
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "io_uring") == 0) {
        io_uring_accept();
    } else {
        pthread_t other;
        say_tid();
        pthread_create(&other, NULL, pause_alone, NULL);
        pthread_exit(NULL);
    }
    pause();
    return 0;
}
