// Two threads that take two mutexes in opposite order, and as many as are asked for that wait for work.
// Prints "ready" once all of them wait. With a second argument, others notice when they are disturbed.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <vector>

#include "watchers.h"

std::mutex sessions, settings, work_mutex;
std::condition_variable work;
std::atomic<int> started{0};

static void rendezvous() {
    started++;
    while (started < 2) std::this_thread::yield();
}

__attribute__((noinline)) void register_session(int id) {
    std::lock_guard<std::mutex> held(sessions);
    rendezvous();
    std::lock_guard<std::mutex> waited_for(settings);
    std::printf("%d\n", id);
}

__attribute__((noinline)) void reload_settings() {
    std::lock_guard<std::mutex> held(settings);
    rendezvous();
    std::lock_guard<std::mutex> waited_for(sessions);
    std::puts("reloaded");
}

void accept_loop() {
    pthread_setname_np(pthread_self(), "acceptor");
    register_session(7);
    std::puts("accepted");
}

void reload_loop() {
    pthread_setname_np(pthread_self(), "reloader");
    reload_settings();
    std::puts("reloaded");
}

void wait_for_work() {
    std::unique_lock<std::mutex> lock(work_mutex);
    work.wait(lock);
}

int main(int argc, char **argv) {
    int idle = argc > 1 ? std::atoi(argv[1]) : 4;
    bool watched = argc > 2;
    if (watched) watchers::start();
    std::vector<std::thread> threads;
    threads.emplace_back(accept_loop);
    threads.emplace_back(reload_loop);
    for (int n = 0; n < idle; n++) threads.emplace_back(wait_for_work);
    while (started < 2) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::puts("ready");
    std::fflush(stdout);
    if (watched) watchers::answer();
    for (auto &thread : threads) thread.join();
}
