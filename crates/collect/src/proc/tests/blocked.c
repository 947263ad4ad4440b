// Blocks two threads in the way named by the first argument. Each prints its tid on a line of its
// own before it blocks; the test reads what /proc says of them.
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

static const char *kind;
static pthread_mutex_t first, second;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t both_hold;
static pthread_t main_thread;

static int is(const char *name) { return strcmp(kind, name) == 0; }

static void say_tid(void) {
    printf("%ld\n", (long)syscall(SYS_gettid));
    fflush(stdout);
}

static void init(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    if (is("recursive")) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    if (is("adaptive")) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    if (is("shared")) pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (is("robust")) pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (is("pi")) pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(mutex, &attr);
}

// Takes one lock, waits until the other thread has taken its own, and asks for the other's.
static void *lock_other_way_round(void *unused) {
    (void)unused;
    pthread_mutex_lock(&second);
    say_tid();
    pthread_barrier_wait(&both_hold);
    if (!is("pi")) pthread_mutex_lock(&first);
    pause();
    return NULL;
}

static void *write_lock(void *unused) {
    (void)unused;
    pthread_barrier_wait(&both_hold);
    say_tid();
    if (is("rwlock-reader")) pthread_rwlock_rdlock(&rwlock);
    else pthread_rwlock_wrlock(&rwlock);
    return NULL;
}

static void *join_main(void *unused) {
    (void)unused;
    say_tid();
    pthread_join(main_thread, NULL);
    return NULL;
}

static void *wait_cond(void *unused) {
    (void)unused;
    say_tid();
    pthread_mutex_lock(&first);
    pthread_cond_wait(&cond, &first);
    return NULL;
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
    kind = argc > 1 ? argv[1] : "";
    pthread_t other;
    main_thread = pthread_self();
    pthread_barrier_init(&both_hold, NULL, 2);
    init(&first);
    init(&second);
    if (is("io_uring")) {
        io_uring_accept();
    } else if (is("join")) {
        say_tid();
        pthread_create(&other, NULL, join_main, NULL);
        pause();
    } else if (is("cond")) {
        say_tid();
        pthread_create(&other, NULL, wait_cond, NULL);
        pause();
    } else if (is("main-exits")) {
        say_tid();
        pthread_create(&other, NULL, pause_alone, NULL);
        pthread_exit(NULL);
    } else if (is("rwlock") || is("rwlock-reader")) {
        pthread_create(&other, NULL, write_lock, NULL);
        pthread_rwlock_wrlock(&rwlock);
        say_tid();
        pthread_barrier_wait(&both_hold);
        pause();
    } else {
        pthread_create(&other, NULL, lock_other_way_round, NULL);
        pthread_mutex_lock(&first);
        pthread_barrier_wait(&both_hold);
        say_tid();
        pthread_mutex_lock(&second);
    }
    pause();
    return 0;
}
