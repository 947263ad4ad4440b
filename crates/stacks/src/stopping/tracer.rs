//! One thread, stopped by ptrace for as long as its registers and its stack are copied.
//!
//! It is seized, which does not stop it, and then interrupted (ptrace(2), PTRACE_SEIZE), so that a stop
//! by job control and signals that are on their way are left as they are. Tracer is the thread that
//! seized it: when that ends, for whatever reason, the kernel lets go of it.

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use halfopen_evidence::{Missing, Tid};
use rustix::io::Errno;

/// How long a thread has to come to a stop. One that is throttled, or that cannot be interrupted, does
/// not.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// How long it is waited for without sleep, since most threads stop at once.
const SPIN: Duration = Duration::from_micros(200);

/// Between two looks after that.
const PAUSE: Duration = Duration::from_micros(100);

/// `PTRACE_EVENT_STOP`: stopped because it was interrupted, or by job control.
const EVENT_STOP: i32 = 128;

/// `NT_PRSTATUS`: the registers of ptrace(2), PTRACE_GETREGSET.
const GENERAL_REGISTERS: usize = 1;

/// A thread of this process's own that is the tracer of another.
pub(super) struct Seized {
    tid: i32,
}

/// A thread that stands still.
pub(super) struct Stopped {
    seized: Seized,
    /// The signal that it was about to take, which it takes when it goes on.
    signal: i32,
    since: Instant,
}

/// Why a thread was not stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing was done to it.
    Refused(Missing),
    /// It was told to stop and did not in time. It is let go of when the tracer ends, and not before.
    Late,
}

impl Seized {
    /// Becomes the tracer of a thread.
    pub(super) fn new(Tid(tid): Tid) -> Result<Self, Missing> {
        let tid = i32::try_from(tid).map_err(|_| Missing::Vanished)?;
        request(libc::PTRACE_SEIZE, tid, 0, ptr::null_mut()).map_err(refused)?;
        Ok(Self { tid })
    }

    /// Stops it.
    pub(super) fn stop(self) -> Result<Stopped, Failure> {
        let refused = |errno| Failure::Refused(refused(errno));
        let since = Instant::now();
        request(libc::PTRACE_INTERRUPT, self.tid, 0, ptr::null_mut()).map_err(refused)?;
        loop {
            match self.status().map_err(refused)? {
                Some(status) if libc::WIFSTOPPED(status) => {
                    let is_event = status >> 16 == EVENT_STOP;
                    let signal = if is_event { 0 } else { libc::WSTOPSIG(status) };
                    return Ok(Stopped { seized: self, signal, since });
                }
                Some(status) if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) => {
                    return Err(Failure::Refused(Missing::Vanished));
                }
                Some(_) | None => {}
            }
            match since.elapsed() {
                waited if waited > PATIENCE => return Err(Failure::Late),
                waited if waited > SPIN => std::thread::sleep(PAUSE),
                _ => std::thread::yield_now(),
            }
        }
    }

    fn status(&self) -> Result<Option<i32>, Errno> {
        let mut status = 0;
        // SAFETY: the kernel writes to `status` alone.
        match unsafe { libc::waitpid(self.tid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
            0 => Ok(None),
            -1 => Err(last_errno()),
            _ => Ok(Some(status)),
        }
    }
}

impl Stopped {
    /// Its registers.
    pub(super) fn registers(&self) -> Result<libc::user_regs_struct, Missing> {
        // SAFETY: the structure consists of integers, for which zero is a value.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        let mut room = libc::iovec {
            iov_base: (&raw mut registers).cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        };
        let room = (&raw mut room).cast();
        request(libc::PTRACE_GETREGSET, self.seized.tid, GENERAL_REGISTERS, room)
            .map_err(refused)?;
        Ok(registers)
    }

    /// Lets go of it. Returns how long it stood still at most.
    pub(super) fn release(self) -> Duration {
        let signal = usize::try_from(self.signal).unwrap_or(0);
        let signal = ptr::without_provenance_mut(signal);
        // It fails only for a thread that was killed meanwhile.
        let _ = request(libc::PTRACE_DETACH, self.seized.tid, 0, signal);
        self.since.elapsed()
    }
}

fn request(request: u32, tid: i32, address: usize, data: *mut c_void) -> Result<(), Errno> {
    // SAFETY: of the requests that are made here only PTRACE_GETREGSET writes memory of this process,
    // and that has room for it.
    match unsafe { libc::ptrace(request, tid, address, data) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

fn refused(errno: Errno) -> Missing {
    match errno {
        Errno::SRCH | Errno::CHILD => Missing::Vanished,
        Errno::PERM => {
            Missing::needs("a thread that nobody else traces, and root or CAP_SYS_PTRACE")
        }
        other => Missing::unreadable(format_args!("ptrace: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that waits for its input.
    fn child() -> (Child, Tid) {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let tid = Tid(child.id());
        (child, tid)
    }

    fn status(tid: Tid) -> (char, u32) {
        let text = fs::read_to_string(format!("/proc/{tid}/status")).expect("its status");
        let value = |field| {
            let line = text.lines().find_map(|line: &str| line.strip_prefix(field));
            line.expect(field).trim()
        };
        let state = value("State:").chars().next().expect("a letter");
        (state, value("TracerPid:").parse().expect("a pid"))
    }

    fn eventually(what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..3000 {
            if is_so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not in half a minute: {what}");
    }

    fn stopped(tid: Tid) -> Stopped {
        Seized::new(tid).expect("a tracee").stop().expect("it stops")
    }

    #[test]
    fn a_thread_stands_still_while_it_is_held_and_goes_on_when_it_is_released() {
        let (mut child, tid) = child();
        let held = stopped(tid);
        let (state, tracer) = status(tid);
        assert!(state == 't' && tracer != 0);
        assert_ne!(held.registers().expect("its registers").rsp, 0);
        assert!(held.release() > Duration::ZERO);
        eventually("it is let go", || status(tid).1 == 0 && status(tid).0 != 't');
        drop(child.stdin.take());
        assert!(child.wait().expect("its end").success(), "it goes on");
    }

    #[test]
    fn a_tracer_that_ends_lets_go_of_what_it_holds() {
        let (mut child, tid) = child();
        let tracer = std::thread::spawn(move || assert!(stopped(tid).registers().is_ok()));
        tracer.join().expect("it ends");
        eventually("it is let go", || status(tid).1 == 0 && status(tid).0 != 't');
        drop(child.stdin.take());
        assert!(child.wait().expect("its end").success(), "it goes on");
    }

    #[test]
    fn a_signal_that_comes_while_it_is_held_is_taken_afterwards() {
        let (mut child, tid) = child();
        let held = stopped(tid);
        child.kill().expect("a signal");
        held.release();
        assert!(!child.wait().expect("its end").success());
        assert_eq!(Seized::new(tid).map(|_| ()), Err(Missing::Vanished));
    }
}
