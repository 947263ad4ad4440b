//! The host, its kernel and its clocks.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use halfopen_evidence::{Host, Missing, Reading, Taken};
use rustix::time::{ClockId, clock_gettime};

use crate::files;

/// The number of the first pid namespace (include/linux/proc_ns.h `PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The time now.
pub(crate) fn now() -> Taken {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let uptime = clock_gettime(ClockId::Boottime);
    let uptime_ms = uptime.tv_sec.unsigned_abs() * 1000 + uptime.tv_nsec.unsigned_abs() / 1_000_000;
    Taken { unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX), uptime_ms }
}

/// The host, below this `/proc`.
pub(crate) fn read(proc: &Path) -> Host {
    let kernel = |name: &str| {
        let text = files::read(&proc.join("sys/kernel").join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let machine = match kernel("arch") {
        // Before 6.1 there is no such file.
        unknown if unknown.is_empty() => std::env::consts::ARCH.to_owned(),
        machine => machine,
    };
    Host {
        name: kernel("hostname"),
        kernel_release: kernel("osrelease"),
        kernel_build: kernel("version"),
        machine,
        collector_uid: rustix::process::geteuid().as_raw(),
        sees_all_processes: sees_all_processes(proc),
    }
}

/// Whether this `/proc` shows every process: it does in the first pid namespace, unless it is mounted
/// with `hidepid`, which hides process 1 from other users.
pub(crate) fn sees_all_processes(proc: &Path) -> Reading<bool> {
    let link = proc.join("self/ns/pid");
    match std::fs::read_link(&link) {
        Ok(namespace) => {
            Reading::Known(namespace.as_os_str() == FIRST_PID_NAMESPACE && proc.join("1").exists())
        }
        Err(error) => match files::missing(&link, &error) {
            Missing::NotOnThisKernel => Missing::unreadable(link.display()).into(),
            why => why.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_release_and_a_clock_that_runs() {
        let host = read(Path::new("/proc"));
        assert!(host.semantics().get().is_some(), "{host:?}");
        let (before, after) = (now(), now());
        assert!(before.uptime_ms > 0 && before.uptime_ms <= after.uptime_ms);
    }
}
