//! Control groups with a CPU quota, for the server programs of a scenario that says so.
//!
//! They are made below the root of the tree that has the CPU controller, version 1 or 2, which takes
//! root. Unlike a namespace, a control group outlives who made it, so a process of its own removes
//! them: it ends only after the lab host has, however that went.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halfopen_scenario::CpuQuota;

use crate::actor;
use crate::host::LOOK;
use crate::servers::own_process;

/// How long the members of a group may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// The tree that has the CPU controller.
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

/// Makes control groups, and has them removed.
pub(crate) struct CpuGroups {
    tree: Tree,
    made: u32,
    remover: Child,
    /// Paths of groups to remove; that it ends is the sign to do so.
    to_remove: Option<ChildStdin>,
}

/// A control group.
pub(crate) struct CpuGroup(PathBuf);

impl CpuGroups {
    /// Finds the tree, and tries whether a group can be made there.
    pub(crate) fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("no list of mounts")?;
        let tree = tree(&mounts).context("no CPU controller of control groups is mounted")?;
        let mut remover =
            own_process(actor::REMOVE).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let to_remove = remover.stdin.take();
        let mut groups = Self { tree, made: 0, remover, to_remove };
        let (quota, period) = (Duration::from_millis(100), Duration::from_millis(100));
        groups.make(CpuQuota { quota, period })?;
        Ok(groups)
    }

    /// Makes a group with a quota.
    pub(crate) fn make(&mut self, cpu: CpuQuota) -> Result<CpuGroup> {
        let name = format!("halfopen-lab-{}-{}", std::process::id(), self.made);
        let path = self.tree.point.join(name);
        self.made += 1;
        let to_remove = self.to_remove.as_mut().context("nobody removes control groups")?;
        writeln!(to_remove, "{}", path.display())?;
        fs::create_dir(&path)
            .with_context(|| format!("cannot make a control group {}", path.display()))?;
        let (quota, period) = (cpu.quota.as_micros(), cpu.period.as_micros());
        match self.tree.version {
            Version::V1 => {
                write(&path, "cpu.cfs_period_us", &period.to_string())?;
                write(&path, "cpu.cfs_quota_us", &quota.to_string())?;
            }
            Version::V2 => write(&path, "cpu.max", &format!("{quota} {period}"))?,
        }
        Ok(CpuGroup(path))
    }
}

impl CpuGroup {
    /// Puts a process into it, with all its threads.
    pub(crate) fn take_in(&self, pid: u32) -> Result<()> {
        write(&self.0, "cgroup.procs", &pid.to_string())
    }
}

/// After the servers have ended: a group with members cannot be removed.
impl Drop for CpuGroups {
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
    let mounts = || mountinfo.lines().filter_map(mount);
    let v1 = mounts().find(|(kind, _, options)| {
        *kind == "cgroup" && options.split(',').any(|option| option == "cpu")
    });
    let v2 = || mounts().find(|(kind, ..)| *kind == "cgroup2");
    let found = v1.map(|found| (Version::V1, found)).or_else(|| Some((Version::V2, v2()?)));
    found.map(|(version, (_, point, _))| Tree { point: PathBuf::from(point), version })
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
    }

    #[test]
    fn groups_that_are_gone_already_are_no_trouble() {
        let none = "/proc/self/halfopen-no-such-group\n";
        assert!(remove_as_told(none.as_bytes()).is_ok());
    }
}
