// Threads that wait in every way that a thread dump can tell. Prints `ready` once they do.

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

public class Blocked {
    static void start(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
    }

    static void met(CountDownLatch both) {
        both.countDown();
        try {
            both.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static void enter(Object first, Object second, CountDownLatch both) {
        synchronized (first) {
            met(both);
            // On one line: the virtual machine may tell the instruction behind the one that waits.
            synchronized (second) { throw new IllegalStateException("both monitors at once"); }
        }
    }

    static void lock(Lock first, Lock second, CountDownLatch both) {
        first.lock();
        met(both);
        second.lock();
    }

    static void waitFor(Object object) {
        synchronized (object) {
            try {
                object.wait();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    static void waitUntil(String name, Thread.State state) throws InterruptedException {
        while (Thread.getAllStackTraces().keySet().stream()
                .noneMatch(thread -> thread.getName().equals(name) && thread.getState() == state)) {
            Thread.sleep(5);
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        Object sessions = new Object();
        Object pool = new Object();
        CountDownLatch monitors = new CountDownLatch(2);
        start("acceptor of the \"service\" port", () -> enter(sessions, pool, monitors));
        start("reloader", () -> enter(pool, sessions, monitors));

        ReentrantLock left = new ReentrantLock();
        ReentrantLock right = new ReentrantLock();
        CountDownLatch locks = new CountDownLatch(2);
        start("left", () -> lock(left, right, locks));
        start("right", () -> lock(right, left, locks));
        start("victim", () -> {
            synchronized (sessions) {
                throw new IllegalStateException("the monitor was free");
            }
        });

        ReentrantReadWriteLock shared = new ReentrantReadWriteLock();
        shared.readLock().lock();
        start("writer", () -> shared.writeLock().lock());
        start("idle", () -> waitFor(new Object()));
        start("permits", () -> new Semaphore(0).acquireUninterruptibly());

        Thread broken = new Thread(() -> {
            throw new IllegalStateException("accept loop");
        }, "acceptor of the health port");
        broken.setUncaughtExceptionHandler((thread, error) -> { });
        broken.start();
        broken.join();

        waitUntil("acceptor of the \"service\" port", Thread.State.BLOCKED);
        waitUntil("reloader", Thread.State.BLOCKED);
        waitUntil("victim", Thread.State.BLOCKED);
        for (String name : new String[] {"left", "right", "writer", "idle", "permits"}) {
            waitUntil(name, Thread.State.WAITING);
        }
        System.out.println("ready");
        System.out.flush();
        Thread.sleep(120_000);
    }
}
