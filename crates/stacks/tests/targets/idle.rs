//! Idle threads, as many as the first argument says: in a channel, on a condition, parked, asleep.

use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(4);
    let started = Arc::new(Barrier::new(threads + 1));
    let work = Arc::new((Mutex::new(0), Condvar::new()));
    let (_sender, receiver) = mpsc::channel::<u8>();
    let receiver = Arc::new(Mutex::new(receiver));
    for n in 0..threads {
        let (started, work) = (Arc::clone(&started), Arc::clone(&work));
        let receiver = Arc::clone(&receiver);
        thread::spawn(move || {
            started.wait();
            match n % 4 {
                0 => drop(receiver.lock().map(|receiver| receiver.recv())),
                1 => drop(work.0.lock().map(|guard| work.1.wait(guard).map(|guard| *guard))),
                2 => thread::park(),
                _ => thread::sleep(Duration::from_secs(600)),
            }
        });
    }
    started.wait();
    thread::sleep(Duration::from_millis(100));
    println!("ready");
    thread::sleep(Duration::from_secs(600));
}
