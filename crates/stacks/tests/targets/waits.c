// Blocks a thread in the way named by the first argument. Prints "waiter TID" and, where somebody holds
// what it waits for, "holder TID" (and "process PID" if that is another process), then "ready". A test
// reads what it is said to wait for. C and C++.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// What both threads use. In memory that children share.
struct shared {
    pthread_mutex_t first, second;
    pthread_rwlock_t rwlock;
    pthread_cond_t cond;
    sem_t sem;
    pthread_barrier_t taken;
};

static struct shared *all;
static const char *kind;
static pthread_t main_thread;
static FILE *stream;

static int is(const char *name) { return strcmp(kind, name) == 0; }

static void say(const char *who, long id) {
    printf("%s %ld\n", who, id);
    fflush(stdout);
}

static void say_tid(const char *who) { say(who, syscall(SYS_gettid)); }

static void init(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    if (is("recursive")) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    if (is("errorcheck")) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
#ifdef __GLIBC__
    if (is("adaptive")) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    if (is("shared") || is("other-process") || is("process-ended"))
        pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (is("robust")) pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (is("pi")) pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(mutex, &attr);
}

__attribute__((noinline)) static void wait_for_it(void) {
    struct timespec far = {4000000000, 0};
    if (is("timed")) {
        pthread_mutex_timedlock(&all->first, &far);
    } else if (is("rwlock-writer") || is("rwlock-readers")) {
        pthread_rwlock_wrlock(&all->rwlock);
    } else if (is("rwlock-reader")) {
        pthread_rwlock_rdlock(&all->rwlock);
    } else if (is("stdio")) {
        fputs("x", stream);
    } else if (is("join")) {
        pthread_join(main_thread, NULL);
    } else if (is("cond")) {
        pthread_mutex_lock(&all->second);
        pthread_cond_wait(&all->cond, &all->second);
    } else if (is("sem")) {
        sem_wait(&all->sem);
    } else {
        if (is("self")) pthread_mutex_lock(&all->first);
        pthread_mutex_lock(&all->first);
    }
    puts("went on");
}

__attribute__((noinline)) static void handle_request(void) {
    wait_for_it();
    puts("handled");
}

static void *waiter(void *unused) {
    say_tid("waiter");
    if (is("abba")) {
        pthread_mutex_lock(&all->second);
        pthread_barrier_wait(&all->taken);
    }
    handle_request();
    return unused;
}

static void *ends_with_the_lock(void *unused) {
    pthread_mutex_lock(&all->first);
    say_tid("holder");
    return unused;
}

static void hold(void) {
    if (is("rwlock-writer") || is("rwlock-reader")) pthread_rwlock_wrlock(&all->rwlock);
    else if (is("rwlock-readers")) pthread_rwlock_rdlock(&all->rwlock);
    else if (is("stdio")) flockfile(stream);
    else pthread_mutex_lock(&all->first);
    say_tid("holder");
}

int main(int argc, char **argv) {
    kind = argc > 1 ? argv[1] : "";
    main_thread = pthread_self();
    stream = fopen("/dev/null", "w");
    all = (struct shared *)mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    init(&all->first);
    init(&all->second);
    pthread_rwlock_init(&all->rwlock, NULL);
    pthread_cond_init(&all->cond, NULL);
    sem_init(&all->sem, 0, 0);
    pthread_barrier_init(&all->taken, NULL, 2);

    pthread_t other;
    if (is("owner-ended")) {
        pthread_create(&other, NULL, ends_with_the_lock, NULL);
        pthread_join(other, NULL);
    } else if (is("other-process") || is("process-ended")) {
        int held[2];
        if (pipe(held) != 0) return 1;
        pid_t child = fork();
        if (child == 0) {
            hold();
            if (write(held[1], "x", 1) != 1) return 1;
            if (is("process-ended")) _exit(0);
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pause();
        }
        char byte;
        if (read(held[0], &byte, 1) != 1) return 1;
        if (is("process-ended")) waitpid(child, NULL, 0);
        else say("process", child);
    } else if (is("main-ended")) {
        pthread_mutex_lock(&all->first);
        say_tid("holder");
        pthread_create(&other, NULL, waiter, NULL);
        puts("ready");
        fflush(stdout);
        pthread_exit(NULL);
    } else if (is("join")) {
        say_tid("holder");
    } else if (!is("cond") && !is("sem") && !is("self")) {
        hold();
    }
    pthread_create(&other, NULL, waiter, NULL);
    puts("ready");
    fflush(stdout);
    if (is("abba")) {
        pthread_barrier_wait(&all->taken);
        pthread_mutex_lock(&all->second);
    }
    pause();
}
