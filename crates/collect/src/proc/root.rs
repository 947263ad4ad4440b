//! Where `/proc` is, so that tests and containers can say that it is elsewhere.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use halfopen_evidence::{Missing, Pid, Reading};

use super::cgroup::{self, Mounts};
use super::dir::Dir;
use super::parse;

/// Processes listed at most; the kernel's largest `pid_max`.
const PIDS_MAX: usize = 1 << 22;

/// A `/proc`, and the host root below which its control groups are mounted.
#[derive(Clone, Debug)]
pub struct ProcRoot {
    proc: PathBuf,
    host: PathBuf,
    mounts: OnceLock<Result<Mounts, Missing>>,
}

impl ProcRoot {
    /// A `/proc` that is mounted here. Control groups are looked up where `self/mountinfo` says.
    pub fn new(proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), host: PathBuf::from("/"), mounts: OnceLock::new() }
    }

    /// The same, with the mount points of control groups taken as below this directory.
    #[must_use]
    pub fn with_host_root(self, host: impl Into<PathBuf>) -> Self {
        Self { host: host.into(), ..self }
    }

    /// Every process, by pid.
    pub fn pids(&self) -> Reading<Vec<Pid>> {
        match self.open().and_then(|proc| proc.numbers(".", PIDS_MAX)) {
            Ok((pids, _)) => Reading::Known(pids.into_iter().map(Pid).collect()),
            Err(why) => why.into(),
        }
    }

    /// The name of a process (`comm` of its first thread). Untrusted.
    pub fn name(&self, pid: Pid) -> Reading<String> {
        match self.process(pid).and_then(|process| process.parse("stat", parse::stat)) {
            Ok(stat) => Reading::Known(stat.comm),
            Err(why) => why.into(),
        }
    }

    /// Path of the control group that names a process's service, container or pod, for
    /// [`halfopen_evidence::label_of_cgroup`].
    pub fn cgroup_path(&self, pid: Pid) -> Reading<String> {
        match self.process(pid).and_then(|process| process.read("cgroup")) {
            Ok(text) => Reading::Known(cgroup::naming_path(&parse::memberships(&text))),
            Err(why) => why.into(),
        }
    }

    /// Whether the processes have the same numbers here as in system calls: not so with another pid
    /// namespace's `/proc`.
    #[must_use]
    pub fn numbers_as_we_do(&self) -> bool {
        let us = std::process::id().to_string();
        std::fs::read_link(self.proc.join("self")).is_ok_and(|own| own.as_os_str() == &*us)
    }

    pub(crate) fn open(&self) -> Result<Dir, Missing> {
        Dir::open(&self.proc)
    }

    pub(super) fn process(&self, pid: Pid) -> Result<Dir, Missing> {
        Dir::open(&self.proc.join(pid.to_string()))
    }

    pub(super) fn host(&self) -> &Path {
        &self.host
    }

    /// Where control groups are mounted; read once, for a host with thousands of containers has
    /// thousands of mounts.
    pub(super) fn mounts(&self) -> &Result<Mounts, Missing> {
        self.mounts.get_or_init(|| self.open().and_then(|proc| cgroup::read_mounts(&proc)))
    }
}

impl Default for ProcRoot {
    fn default() -> Self {
        Self::new("/proc")
    }
}
