//! What one run of a command costs, as the kernel accounts it when the command is reaped.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The cost of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// User and system time of the command and the children it has waited for.
    pub(crate) cpu: Duration,
    /// From before it was started until it was reaped.
    pub(crate) wall: Duration,
    /// The most memory that was resident at a time, in KiB. Never below that of this program,
    /// because a process inherits the mark of the one that started it (fs/exec.c `exec_mmap`).
    pub(crate) peak_kib: u64,
}

/// Runs a command with its output thrown away.
///
/// `statuses` are the exit statuses that mean that it did its work.
pub(crate) fn cost_of(command: &mut Command, statuses: &[i32]) -> Result<Cost> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let child = command.spawn().with_context(|| format!("{command:?} could not be started"))?;
    let (status, usage) = wait4(child.id()).with_context(|| format!("{command:?}: wait4"))?;
    let wall = began.elapsed();
    if !libc::WIFEXITED(status) || !statuses.contains(&libc::WEXITSTATUS(status)) {
        bail!("{command:?} ended with wait status {status:#x}");
    }
    Ok(Cost {
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        wall,
        peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

/// Waits for a child to end; the CPU time that it took, however it ended.
pub(crate) fn cpu_of_reaped(pid: u32) -> io::Result<Duration> {
    let (_, usage) = wait4(pid)?;
    Ok(duration(usage.ru_utime) + duration(usage.ru_stime))
}

/// The standard library reaps a child without asking for its usage.
fn wait4(pid: u32) -> io::Result<(i32, libc::rusage)> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: a rusage is integers only, for which zero bytes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that live across the call.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if reaped == pid { Ok((status, usage)) } else { Err(io::Error::last_os_error()) }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// The middle value; NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert!(median([3.0, 1.0, 2.0]).eq(&2.0));
        assert!(median([4.0, 1.0, 2.0, 3.0]).eq(&2.5));
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_command_that_fails_is_an_error_and_not_a_cheap_run() {
        assert!(cost_of(&mut Command::new("false"), &[0]).is_err());
        let cost = cost_of(&mut Command::new("false"), &[0, 1]).expect("a cost");
        assert!(cost.wall >= cost.cpu / 64 && cost.peak_kib > 0);
    }
}
