//! Control groups with a CPU quota, and such that are frozen, for the server programs of a scenario
//! that says so.
//!
//! They are made below the root of the tree that has what they are for, which takes root: the CPU
//! controller, version 1 or 2, or the freezer that each group of version 2 has since Linux 5.2. That of
//! version 1 is not used: what it has frozen cannot even be killed. Unlike a namespace, a control group outlives who made it, so a process of its own removes
//! them: it ends only after the lab host has, however that went.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halfopen_scenario::{CpuQuota, Need};

use crate::actor;
use crate::host::LOOK;
use crate::servers::own_process;

/// How long the members of a group may take to stand, or to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Whether a group is frozen (Documentation/admin-guide/cgroup-v2.rst).
const FREEZE: &str = "cgroup.freeze";

/// A tree of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tree {
    point: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What a control group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A CPU quota.
    Quota(CpuQuota),
    /// To be frozen.
    Freezer,
}

/// Makes control groups, and has them removed.
pub(crate) struct ControlGroups {
    mounts: String,
    made: u32,
    remover: Child,
    /// Paths of groups to remove; that it ends is the sign to do so.
    to_remove: Option<ChildStdin>,
}

/// A control group.
pub(crate) struct ControlGroup(PathBuf);

impl ControlGroups {
    /// Those that a scenario needs, if it needs any; tries whether they can be made.
    pub(crate) fn needed(needs: &[Need]) -> Result<Option<Self>> {
        let purposes: Vec<Purpose> = needs.iter().filter_map(Purpose::of).collect();
        if purposes.is_empty() {
            return Ok(None);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("no list of mounts")?;
        let mut remover =
            own_process(actor::REMOVE).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let to_remove = remover.stdin.take();
        let mut groups = Self { mounts, made: 0, remover, to_remove };
        purposes.into_iter().try_for_each(|purpose| groups.make(purpose).map(drop))?;
        Ok(Some(groups))
    }

    /// Makes a group with a quota.
    pub(crate) fn with_quota(&mut self, cpu: CpuQuota) -> Result<ControlGroup> {
        self.make(Purpose::Quota(cpu))
    }

    /// Makes a group that can be frozen.
    pub(crate) fn freezable(&mut self) -> Result<ControlGroup> {
        self.make(Purpose::Freezer)
    }

    fn make(&mut self, purpose: Purpose) -> Result<ControlGroup> {
        let tree = match purpose {
            Purpose::Quota(_) => tree(&self.mounts),
            Purpose::Freezer => unified(&self.mounts),
        };
        let tree = tree.context("no such tree of control groups is mounted")?;
        let name = format!("halfopen-lab-{}-{}", std::process::id(), self.made);
        let path = tree.point.join(name);
        self.made += 1;
        let to_remove = self.to_remove.as_mut().context("nobody removes control groups")?;
        writeln!(to_remove, "{}", path.display())?;
        fs::create_dir(&path)
            .with_context(|| format!("cannot make a control group {}", path.display()))?;
        match purpose {
            Purpose::Quota(cpu) => set_quota(&path, tree.version, cpu)?,
            Purpose::Freezer => write(&path, FREEZE, "0")?,
        }
        Ok(ControlGroup(path))
    }
}

impl Purpose {
    /// What a scenario that needs this wants a group for; the least that is tried of it.
    const fn of(need: &Need) -> Option<Self> {
        const ALL: Duration = Duration::from_millis(100);
        match need {
            Need::CpuQuota => Some(Self::Quota(CpuQuota { quota: ALL, period: ALL })),
            Need::Freezer => Some(Self::Freezer),
            Need::Tun | Need::Simulator => None,
        }
    }
}

impl ControlGroup {
    /// Puts a process into it, with all its threads.
    pub(crate) fn take_in(&self, pid: u32) -> Result<()> {
        write(&self.0, "cgroup.procs", &pid.to_string())
    }

    /// Freezes it; done when all its threads stand.
    pub(crate) fn freeze(&self) -> Result<()> {
        write(&self.0, FREEZE, "1")?;
        let events = self.0.join("cgroup.events");
        let deadline = Instant::now() + FAREWELL;
        while !fs::read_to_string(&events)?.lines().any(|line| line == "frozen 1") {
            if Instant::now() > deadline {
                bail!("{} does not freeze", self.0.display());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

fn set_quota(group: &Path, version: Version, cpu: CpuQuota) -> Result<()> {
    let (quota, period) = (cpu.quota.as_micros(), cpu.period.as_micros());
    match version {
        Version::V1 => {
            write(group, "cpu.cfs_period_us", &period.to_string())?;
            write(group, "cpu.cfs_quota_us", &quota.to_string())
        }
        Version::V2 => write(group, "cpu.max", &format!("{quota} {period}")),
    }
}

/// After the servers have ended: a group with members cannot be removed.
impl Drop for ControlGroups {
    fn drop(&mut self) {
        drop(self.to_remove.take());
        let _ = self.remover.wait();
    }
}

/// The main function of the process that removes groups: it reads their paths until there are no
/// more, which is when the lab host has ended.
pub(crate) fn remove_as_told(paths: impl BufRead) -> Result<()> {
    let paths: Vec<String> = paths.lines().collect::<io::Result<_>>()?;
    let deadline = Instant::now() + FAREWELL;
    for path in &paths {
        while let Err(error) = fs::remove_dir(path) {
            match error.kind() {
                io::ErrorKind::NotFound => break,
                io::ErrorKind::ResourceBusy if Instant::now() < deadline => thread::sleep(LOOK),
                _ => bail!("cannot remove {path}: {error}"),
            }
        }
    }
    Ok(())
}

fn write(group: &Path, file: &str, text: &str) -> Result<()> {
    let path = group.join(file);
    fs::write(&path, text).with_context(|| format!("cannot write {text} to {}", path.display()))
}

/// Of version 1, the tree of the CPU controller; else that of version 2, whose root may have it for
/// the groups below.
fn tree(mountinfo: &str) -> Option<Tree> {
    let v1 = mountinfo.lines().filter_map(mount).find(|(kind, _, options)| {
        *kind == "cgroup" && options.split(',').any(|option| option == "cpu")
    });
    let v1 = v1.map(|(_, point, _)| Tree { point: PathBuf::from(point), version: Version::V1 });
    v1.or_else(|| unified(mountinfo))
}

/// The tree of version 2.
fn unified(mountinfo: &str) -> Option<Tree> {
    let (_, point, _) =
        mountinfo.lines().filter_map(mount).find(|(kind, ..)| *kind == "cgroup2")?;
    Some(Tree { point: PathBuf::from(point), version: Version::V2 })
}

/// The kind of a mount, where it is, and its options (proc(5)).
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = filesystem.split(' ');
    let point = mount.split(' ').nth(4)?;
    Some((fields.next()?, point, fields.nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
    const CPUSET: &str = "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
    const CPU: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";

    fn check(mountinfo: &str, expected: Option<(&str, Version)>) {
        let expected = expected.map(|(point, version)| Tree { point: point.into(), version });
        assert_eq!(tree(mountinfo), expected);
    }

    #[test]
    fn the_controller_is_in_one_tree_only() {
        check(&[V2, CPUSET, CPU].concat(), Some(("/sys/fs/cgroup/cpu", Version::V1)));
        check(&[CPUSET, V2].concat(), Some(("/sys/fs/cgroup/unified", Version::V2)));
        check(CPUSET, None);
        check("nonsense\n - \n", None);
        assert_eq!(unified(&[CPU, V2].concat()).map(|tree| tree.version), Some(Version::V2));
        assert_eq!(unified(CPU), None);
    }

    #[test]
    fn groups_that_are_gone_already_are_no_trouble() {
        let none = "/proc/self/halfopen-no-such-group\n";
        assert!(remove_as_told(none.as_bytes()).is_ok());
    }
}
