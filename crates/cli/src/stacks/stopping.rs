//! `--ptrace`: says what is done to a process, and does it.

use halfopen_collect::proc::ProcRoot;
use halfopen_diagnose::words::{count, process_name};
use halfopen_evidence::Process;
use halfopen_stacks::{Options, Stops, complete_by_stopping, without_stack};

/// Stops the threads whose stacks were not to be had otherwise, after it has said so.
pub(super) fn stop(root: &ProcRoot, process: &mut Process, options: Options) -> Stops {
    let tids = without_stack(process);
    let name = process_name(&process.comm, process.pid);
    if tids.is_empty() {
        eprintln!("halfopen: --ptrace: nothing is stopped in {name}, no stack is missing");
        return Stops::default();
    }
    eprintln!("halfopen: --ptrace: {}", plan(&name, tids.len() as u64));
    let stops = complete_by_stopping(root, process, &tids, options);
    eprintln!("halfopen: --ptrace: {}", outcome(&stops));
    stops
}

/// What is going to be done. The calls are those of signal(7), "Interruption of system calls and library
/// functions by stop signals".
fn plan(name: &str, threads: u64) -> String {
    format!(
        "stops {} of {name}, one after the other, each until its registers and its stack are copied: \
         tenths of a millisecond, 40 ms at most. What such a thread waits in goes on afterwards, but \
         epoll_wait, msgrcv, msgsnd, semop, sigtimedwait, io_getevents, and accept, connect, recv and send \
         on sockets with a time-out fail with EINTR",
        count(threads, "thread")
    )
}

/// What was done.
pub(super) fn outcome(stops: &Stops) -> String {
    let stopped = stops.stopped.len() as u64;
    let ms = |time: std::time::Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let mut text = match stopped {
        0 => "stopped nothing".to_owned(),
        1 => format!("stopped 1 thread for {}", ms(stops.longest())),
        _ => format!(
            "stopped {stopped} threads, each for {} at most and {} in all",
            ms(stops.longest()),
            ms(stops.total())
        ),
    };
    if let Some((tid, why)) = stops.failed.first_key_value() {
        let more = match stops.failed.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        text.push_str(&format!("; no stack of {tid}{more}: {why}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use halfopen_evidence::{Missing, Tid};

    use super::*;

    #[test]
    fn what_was_done_is_told_with_times_and_with_what_failed() {
        let mut stops = Stops::default();
        assert_eq!(outcome(&stops), "stopped nothing");
        stops.stopped.insert(Tid(7), Duration::from_micros(230));
        assert_eq!(outcome(&stops), "stopped 1 thread for 0.2 ms");
        stops.stopped.insert(Tid(8), Duration::from_micros(1480));
        stops.failed = BTreeMap::from([(Tid(9), Missing::Vanished), (Tid(10), Missing::Vanished)]);
        assert_eq!(
            outcome(&stops),
            "stopped 2 threads, each for 1.5 ms at most and 1.7 ms in all; no stack of 9 (and 1 more): \
             gone before it was read"
        );
    }
}
