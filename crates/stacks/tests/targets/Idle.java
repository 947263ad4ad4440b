import java.util.concurrent.SynchronousQueue;

/** Idle threads, as many as the first argument says: asleep, waiting for work, or for a monitor. */
class Idle {
    public static void main(String[] arguments) throws Exception {
        var work = new SynchronousQueue<String>();
        var monitor = new Object();
        int threads = Integer.parseInt(arguments[0]);
        synchronized (monitor) {
            for (int n = 0; n < threads; n++) {
                int way = n % 3;
                var thread = new Thread(() -> idle(way, work, monitor));
                thread.setDaemon(true);
                thread.start();
            }
            Thread.sleep(500);
            System.out.println("ready");
            Thread.sleep(600_000);
        }
    }

    private static void idle(int way, SynchronousQueue<String> work, Object monitor) {
        try {
            if (way == 0) Thread.sleep(600_000);
            if (way == 1) work.take();
            synchronized (monitor) {
                System.out.println("went on");
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }
}
