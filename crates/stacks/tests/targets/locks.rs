//! Threads that wait for locks of Rust's standard library, in the way named by the first argument.
//! Prints `holder TID` and `waiter TID` of those that a test looks at, then `ready`.

use std::hint::black_box;
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

/// What the threads share.
#[derive(Clone)]
struct Shared {
    sessions: Arc<Mutex<u64>>,
    settings: Arc<Mutex<u64>>,
    table: Arc<RwLock<u64>>,
    work: Arc<Condvar>,
    taken: Arc<Barrier>,
}

impl Shared {
    fn new() -> Self {
        Self {
            sessions: Arc::default(),
            settings: Arc::default(),
            table: Arc::default(),
            work: Arc::default(),
            taken: Arc::new(Barrier::new(2)),
        }
    }

    fn wait_for_work(&self) {
        drop(self.work.wait(self.settings.lock().expect("no panic")));
    }
}

/// Starts a thread that shares it.
fn spawn(shared: &Shared, body: impl FnOnce(&Shared) + Send + 'static) {
    let shared = shared.clone();
    thread::spawn(move || body(&shared));
}

fn tid() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("a thread");
    link.file_name().and_then(|tid| tid.to_str()?.parse().ok()).expect("a tid")
}

fn say(who: &str) {
    println!("{who} {}", tid());
}

fn sleep() {
    thread::sleep(Duration::from_secs(600));
}

#[inline(never)]
fn register_session(shared: &Shared) {
    let sessions = shared.sessions.lock().expect("no panic");
    shared.taken.wait();
    let settings = shared.settings.lock().expect("no panic");
    black_box((*sessions, *settings));
}

#[inline(never)]
fn reload_settings(shared: &Shared) {
    let settings = shared.settings.lock().expect("no panic");
    shared.taken.wait();
    let sessions = shared.sessions.lock().expect("no panic");
    black_box((*sessions, *settings));
}

#[inline(never)]
fn hold_mutex(shared: &Shared) {
    let sessions = shared.sessions.lock().expect("no panic");
    shared.taken.wait();
    sleep();
    black_box(*sessions);
}

#[inline(never)]
fn read_table(shared: &Shared) {
    let table = shared.table.read().expect("no panic");
    shared.taken.wait();
    sleep();
    black_box(*table);
}

#[inline(never)]
fn write_table(shared: &Shared) {
    let mut table = shared.table.write().expect("no panic");
    *table += 1;
    shared.taken.wait();
    sleep();
    black_box(*table);
}

fn main() {
    let kind = std::env::args().nth(1).unwrap_or_default();
    let shared = Shared::new();
    let holder: fn(&Shared) = match &*kind {
        "abba" => register_session,
        "mutex" | "crowd" => hold_mutex,
        "read-held" | "two-readers" => read_table,
        "write-held" => write_table,
        "condvar" | "parked" => |shared| drop(shared.taken.wait()),
        other => panic!("no such kind: {other}"),
    };
    spawn(&shared, move |shared| {
        say("holder");
        holder(shared);
    });
    if kind == "abba" {
        spawn(&shared, |shared| {
            say("waiter");
            reload_settings(shared);
        });
    } else {
        shared.taken.wait();
    }
    if kind == "two-readers" {
        spawn(&shared, read_table);
        shared.taken.wait();
    }
    if kind == "crowd" {
        for _ in 0..10 {
            // Who waits for a condition has given the mutex back, and still has its address.
            spawn(&shared, Shared::wait_for_work);
            spawn(&shared, |shared| drop(black_box(shared.sessions.lock())));
            spawn(&shared, |_| thread::park());
        }
    }
    let waits: Option<fn(&Shared)> = match &*kind {
        "mutex" | "crowd" => Some(|shared| *shared.sessions.lock().expect("no panic") += 1),
        "read-held" | "two-readers" => Some(|shared| *shared.table.write().expect("no panic") += 1),
        "write-held" => Some(|shared| drop(black_box(shared.table.read()))),
        "condvar" => Some(Shared::wait_for_work),
        "parked" => Some(|_| thread::park()),
        _ => None,
    };
    if let Some(wait) = waits {
        spawn(&shared, move |shared| {
            say("waiter");
            wait(shared);
        });
    }
    println!("ready");
    sleep();
}
