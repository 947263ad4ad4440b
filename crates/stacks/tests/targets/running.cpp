// Threads that run. The first argument says what they do; prints "ready" once they are at it, and ends
// with its standard input.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <poll.h>
#include <sys/select.h>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "watchers.h"

#define KEPT __attribute__((noinline))

// Keeps a call from being the last thing that a function does, which would leave no frame of it.
static void not_last() { asm volatile("" ::: "memory"); }

volatile unsigned long sink;

static std::atomic<bool> busy{false};

static void begin_to_run() {
    pthread_setname_np(pthread_self(), "busy");
    busy = true;
}

// A select loop that spends its time on one client.

KEPT void recompute_index(unsigned long rounds) {
    for (unsigned long n = 0; n < rounds; n++) sink = sink * 31 + n;
}

KEPT void handle_client(int) {
    begin_to_run();
    recompute_index(1UL << 40);
    not_last();
}

KEPT void event_loop() {
    int ends[2];
    if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) std::exit(1);
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(ends[0], &readable);
    if (select(ends[0] + 1, &readable, nullptr, nullptr, nullptr) == 1) handle_client(ends[0]);
    not_last();
}

// A thread that is in a function of the C library nearly all the time.

KEPT void search_in_vain() {
    std::vector<char> text(1 << 20, 'a');
    begin_to_run();
    for (;;) {
        sink = sink + (std::memchr(text.data(), 'b', text.size()) != nullptr);
        not_last();
    }
}

// A thread that is between two functions nearly all the time: where a frame is built or taken down.

KEPT unsigned long step(unsigned long a, unsigned long b) {
    asm volatile("" : "+r"(a), "+r"(b) : : "rbx", "r12", "r13", "r14", "r15");
    return a ^ b;
}

KEPT void step_by_step() {
    begin_to_run();
    for (unsigned long n = 0;; n++) sink = step(sink, n);
}

// Threads that block and run in turns. `even` and `odd` call each other, and each way to block has a
// function of its own, so that a stack put together from two moments shows.

static std::mutex contended;

KEPT void sleep_a_little(unsigned us) {
    timespec time{0, static_cast<long>(us) * 1000};
    nanosleep(&time, nullptr);
    not_last();
}

KEPT void wait_in_poll(unsigned us) {
    poll(nullptr, 0, static_cast<int>(us / 1000));
    not_last();
}

KEPT void take_the_lock(unsigned us) {
    std::lock_guard<std::mutex> held(contended);
    recompute_index(us);
    not_last();
}

KEPT void block(unsigned way, unsigned us) {
    switch (way % 3) {
    case 0: sleep_a_little(us); break;
    case 1: wait_in_poll(us); break;
    default: take_the_lock(us);
    }
    not_last();
}

KEPT void odd(unsigned depth, unsigned way, unsigned us);

KEPT void even(unsigned depth, unsigned way, unsigned us) {
    unsigned char room[200];
    std::memset(room, static_cast<int>(way), sizeof room);
    if (depth == 0) block(way, us);
    else odd(depth - 1, way, us);
    sink = sink + room[us % sizeof room];
}

KEPT void odd(unsigned depth, unsigned way, unsigned us) {
    if (depth == 0) block(way, us);
    else even(depth - 1, way, us);
    not_last();
}

KEPT void take_turns(unsigned seed) {
    begin_to_run();
    for (unsigned random = seed;;) {
        random = random * 1664525 + 1013904223;
        unsigned us = (random >> 8) % 20 == 0 ? 20000 : (random >> 8) % 3000;
        if (random & 64) even((random >> 12) % 12, random >> 20, us);
        else odd((random >> 12) % 12, random >> 20, us);
        recompute_index((random >> 16) % 20000);
    }
}

int main(int, char **argv) {
    const char *what = argv[1];
    watchers::start();
    if (!std::strcmp(what, "loop")) std::thread(event_loop).detach();
    if (!std::strcmp(what, "library")) std::thread(search_in_vain).detach();
    if (!std::strcmp(what, "steps")) std::thread(step_by_step).detach();
    if (!std::strcmp(what, "turns"))
        for (unsigned n = 0; n < 8; n++) std::thread(take_turns, n + 1).detach();
    while (!busy) std::this_thread::yield();
    std::puts("ready");
    std::fflush(stdout);
    watchers::answer();
}
