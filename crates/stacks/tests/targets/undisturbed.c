// A thread in epoll_wait and one that beats every millisecond. Answers each line of its input with how
// many calls of either were interrupted, and how often it has beaten: "INTERRUPTED BEATS".
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static _Atomic long interrupted, beats;

static void *wait_for_events(void *unused) {
    (void)unused;
    int set = epoll_create1(0), never[2];
    if (set < 0 || pipe(never) != 0) exit(1);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(set, EPOLL_CTL_ADD, never[0], &event) != 0) exit(1);
    for (;;)
        if (epoll_wait(set, &event, 1, -1) < 0 && errno == EINTR) interrupted++;
}

static void *beat(void *unused) {
    (void)unused;
    struct timespec pause = {0, 1000000};
    for (;; beats++)
        if (nanosleep(&pause, NULL) != 0) interrupted++;
}

int main(void) {
    pthread_t one, two;
    pthread_create(&one, NULL, wait_for_events, NULL);
    pthread_create(&two, NULL, beat, NULL);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
        printf("%ld %ld\n", interrupted, beats);
        fflush(stdout);
    }
}
