// Two threads that notice when their process is disturbed: one that is to wake up every half
// millisecond, and one that sits in epoll_wait, where being stopped shows as EINTR.

#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <pthread.h>
#include <string>
#include <sys/epoll.h>
#include <thread>
#include <unistd.h>

namespace watchers {

inline std::atomic<long> widest_gap_us{0}, interrupted{0};

inline void beat() {
    pthread_setname_np(pthread_self(), "heartbeat");
    using clock = std::chrono::steady_clock;
    for (auto last = clock::now();;) {
        std::this_thread::sleep_for(std::chrono::microseconds(500));
        auto now = clock::now();
        long gap = std::chrono::duration_cast<std::chrono::microseconds>(now - last).count();
        if (gap > widest_gap_us) widest_gap_us = gap;
        last = now;
    }
}

inline void wait_for_events() {
    pthread_setname_np(pthread_self(), "events");
    int set = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event;
    for (;;)
        if (epoll_wait(set, &event, 1, -1) < 0 && errno == EINTR) interrupted++;
}

inline void start() {
    std::thread(beat).detach();
    std::thread(wait_for_events).detach();
}

// Answers each line of standard input with the widest gap in microseconds and the number of
// interrupted calls since the last one. The process ends with its standard input.
inline void answer() {
    for (int byte; (byte = std::getchar()) != EOF;) {
        if (byte != '\n') continue;
        std::printf("%ld %ld\n", widest_gap_us.exchange(0), interrupted.exchange(0));
        std::fflush(stdout);
    }
    _exit(0);
}

} // namespace watchers
