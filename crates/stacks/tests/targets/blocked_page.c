// A thread part of whose stack blocks whoever reads it: a page that userfaultfd(2) is to bring, and nobody does.
// The thread itself sits in a call further down. Prints `waiter` and `idle` with their tids, `blocked` with 1, or
// with 0 if this kernel or a privilege does not allow that, and `ready`.

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACK = 1 << 20, PAGE = 4096, CALLS = 8 };

static pthread_barrier_t both;

__attribute__((noinline)) static int deeper(int calls) {
    // Most of a page each.
    volatile char frame[3000];
    memset((void *)frame, calls, sizeof frame);
    if (calls > 0) {
        deeper(calls - 1);
    } else {
        printf("waiter %ld\n", syscall(SYS_gettid));
        fflush(stdout);
        pthread_barrier_wait(&both);
        pause();
    }
    return frame[calls];
}

static void *waits(void *argument) {
    (void)argument;
    deeper(CALLS);
    return NULL;
}

static void *idles(void *argument) {
    (void)argument;
    printf("idle %ld\n", syscall(SYS_gettid));
    fflush(stdout);
    pthread_barrier_wait(&both);
    pause();
    return NULL;
}

static int blocks(char *page) {
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register missing = {
        .range = {(unsigned long)page, PAGE},
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };
    int brings = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    return brings >= 0 && ioctl(brings, UFFDIO_API, &api) == 0 &&
           ioctl(brings, UFFDIO_REGISTER, &missing) == 0 && madvise(page, PAGE, MADV_DONTNEED) == 0;
}

int main(void) {
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes;
    pthread_t waiter, idle;
    if (stack == MAP_FAILED) return 1;
    pthread_barrier_init(&both, NULL, 3);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, STACK);
    pthread_create(&waiter, &attributes, waits, NULL);
    pthread_create(&idle, NULL, idles, NULL);
    pthread_barrier_wait(&both);
    // Both are in pause() soon; who is not yet touches the end of its stack only.
    printf("blocked %d\nready 0\n", blocks(stack + STACK - 4 * PAGE));
    fflush(stdout);
    getchar();
    _exit(0);
}
