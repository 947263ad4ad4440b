"""A server with two workers, as gunicorn has them: one waits for connections, the other for a lock that
nobody gives back. Prints `ready`, then the pid of the stuck worker."""

import ctypes
import os
import signal
import socket
import threading
import time


def accept_loop(listener):
    while True:
        listener.accept()


def register_session(lock):
    with lock:
        raise SystemExit("the lock was free")


def handle(listener, lock):
    register_session(lock)


def worker(listener, is_stuck):
    lock = threading.Lock()
    if is_stuck:
        lock.acquire()
        heart = threading.Thread(target=time.sleep, args=(120,), name="heartbeat of the worker")
        heart.daemon = True
        heart.start()
        handle(listener, lock)
    accept_loop(listener)


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    workers = []
    first = os.getpid()
    for is_stuck in (False, True):
        pid = os.fork()
        if pid == 0:
            # PR_SET_PDEATHSIG: it goes when the first process does.
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
            if os.getppid() != first:
                os._exit(0)
            worker(listener, is_stuck)
        workers.append(pid)
    print("ready", flush=True)
    print(workers[1], flush=True)
    signal.pause()


main()
