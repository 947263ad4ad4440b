//! Not to be in the way of the process that is looked at.
//!
//! Reading a process with thousands of threads keeps several processors busy for tens of milliseconds. On a
//! machine with few of them its threads would wait for ours, up to a time slice of some 3 ms each
//! time. With SCHED_IDLE (sched(7)) whoever else wants a processor has it at once. A busy machine gives such
//! threads next to nothing, so it is for a moment only.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// After so long the threads of this process compete as all do. An idle machine has read 2,000 threads by
/// then.
const FOR: Duration = Duration::from_millis(150);

/// Lets all others go first, for 150 ms: this thread, and those that it starts in that time. Does nothing
/// for who may not take it back (CAP_SYS_NICE or RLIMIT_NICE, sched_setscheduler(2)).
///
/// Not for who stops other threads or starts other programs: those would stand still for longer, and these
/// would stay idle.
pub fn give_way() {
    if !may_return() {
        return;
    }
    // It is started first, so that it is no idle thread itself.
    let watch = || {
        thread::sleep(FOR);
        return_to_normal();
    };
    if thread::Builder::new().name("give-way".to_owned()).spawn(watch).is_ok() {
        // Where it is refused we compete from the beginning.
        let _ = set_policy(0, libc::SCHED_IDLE);
    }
}

/// Whether a thread may leave SCHED_IDLE (kernel/sched/syscalls.c `user_check_sched_setscheduler`).
fn may_return() -> bool {
    /// RLIMIT_NICE counts downwards from 20: this allows the usual nice value of 0.
    const NICE_OF_0: u64 = 20;
    let limit = getrlimit(Resource::Nice).current;
    let has_capability =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_NICE));
    has_capability || limit.is_none_or(|limit| limit >= NICE_OF_0)
}

/// Every thread of this process. The second time catches those that were started by one that was still
/// idle.
fn return_to_normal() {
    for _ in 0..2 {
        for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let tid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // It may have ended.
            let _ = tid.map(|tid| set_policy(tid, libc::SCHED_OTHER));
        }
    }
}

fn set_policy(tid: libc::pid_t, policy: libc::c_int) -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads `priority` and no other memory of this process.
    match unsafe { libc::sched_setscheduler(tid, policy, &raw const priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_policy() -> libc::c_int {
        // SAFETY: no memory is passed.
        unsafe { libc::sched_getscheduler(0) }
    }

    /// One test, since the way back is for all threads of the process.
    #[test]
    fn a_thread_and_those_that_it_starts_give_way_and_come_back() {
        if !may_return() {
            return println!("SKIPPED: it needs CAP_SYS_NICE or RLIMIT_NICE");
        }
        set_policy(0, libc::SCHED_IDLE).expect("to give way");
        let child = thread::spawn(|| {
            let before = own_policy();
            return_to_normal();
            (before, own_policy())
        });
        assert_eq!(child.join().expect("it ends"), (libc::SCHED_IDLE, libc::SCHED_OTHER));
        assert_eq!(own_policy(), libc::SCHED_OTHER);

        give_way();
        for _ in 0..3000 {
            if own_policy() == libc::SCHED_OTHER {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it is still idle after half a minute");
    }
}
