//! A thread that spends its time on one client. Prints "ready"; ends with its standard input.

use std::hint::black_box;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

static BUSY: AtomicBool = AtomicBool::new(false);

#[inline(never)]
fn recompute_index(rounds: u64) -> u64 {
    (0..rounds).fold(0, |sum, n| black_box(sum ^ n))
}

#[inline(never)]
fn handle_client(client: u64) -> u64 {
    BUSY.store(true, Ordering::Relaxed);
    recompute_index(black_box(1 << 50)) + client
}

#[inline(never)]
fn event_loop() -> u64 {
    handle_client(black_box(7)) + 1
}

fn main() {
    let busy = thread::Builder::new().name("busy".to_owned());
    busy.spawn(|| black_box(event_loop())).expect("a thread");
    while !BUSY.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    println!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
