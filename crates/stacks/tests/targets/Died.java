// A server whose accept thread has died of an exception, beside a health port that answers, workers that wait
// for work and one that sleeps. Prints `ready`, and where the service listens.

import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.LinkedBlockingQueue;

class Died {
    /// The receive buffer of a connection, which nobody has set.
    static Integer limit;

    static ServerSocket listen() throws Exception {
        return new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    }

    static Thread start(String name, Runnable what) {
        Thread thread = new Thread(what, name);
        thread.start();
        return thread;
    }

    static void serve(ServerSocket listener) {
        while (true) {
            try (Socket connection = listener.accept()) {
                connection.setReceiveBufferSize(limit);
            } catch (java.io.IOException e) {
                return;
            }
        }
    }

    static void answer(ServerSocket listener) {
        while (true) {
            try {
                listener.accept().close();
            } catch (java.io.IOException e) {
                return;
            }
        }
    }

    static void work(LinkedBlockingQueue<Runnable> queue) {
        while (true) {
            try {
                queue.take().run();
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    static void sleep() {
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException e) {
            return;
        }
    }

    public static void main(String[] arguments) throws Exception {
        ServerSocket service = listen(), health = listen();
        LinkedBlockingQueue<Runnable> queue = new LinkedBlockingQueue<>();
        for (int number = 0; number < 20; number++) start("worker-" + number, () -> work(queue));
        start("housekeeper", Died::sleep);
        start("health", () -> answer(health));
        Thread acceptor = start("acceptor", () -> serve(service));
        new Socket(service.getInetAddress(), service.getLocalPort()).close();
        acceptor.join();
        System.out.println("ready\n127.0.0.1:" + service.getLocalPort());
        Thread.currentThread().join();
    }
}
