//! Whether a process's control group keeps it from running: frozen, or out of CPU quota.
//!
//! Hosts have version 2, or version 1 with a tree per controller, or both at once; `mountinfo` tells
//! which tree is mounted where. A group's own files do not tell everything: quotas of the groups
//! above it count too, and a version 2 group is `frozen` only once its last thread is.

use std::path::{Component, Path, PathBuf};

use halfopen_evidence::{CgroupState, CpuQuota, Missing, Reading};

use super::dir::Dir;
use super::parse::{self, Membership, Mount, Tree};
use super::root::ProcRoot;

/// Groups above a group that are looked at.
const LEVELS_MAX: usize = 64;

/// Where control-group trees are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts(Vec<Mount>);

/// The state of the process's control groups.
pub(super) fn read(root: &ProcRoot, process: &Dir) -> Reading<CgroupState> {
    let memberships = match process.read("cgroup") {
        Ok(text) => parse::memberships(&text),
        Err(why) => return why.into(),
    };
    let groups = |controller| Group::find(root, &memberships, controller);
    Reading::Known(CgroupState {
        path: naming_path(&memberships),
        frozen: frozen(groups(None), groups(Some("freezer"))),
        cpu_quotas: cpu_quotas(groups(Some("cpu")), groups(None)),
    })
}

/// The path that tells most about who the process is: that of version 2 or of the init system's own
/// tree, and any other where those are the root.
pub(super) fn naming_path(memberships: &[Membership]) -> String {
    let by_rank = |membership: &&Membership| {
        let named = membership.controllers.iter().any(|name| name == "name=systemd");
        let rank = if membership.controllers.is_empty() || named { 0 } else { 1 };
        (membership.path == "/", rank)
    };
    memberships.iter().min_by_key(by_rank).map_or_else(String::new, |found| found.path.clone())
}

/// Reads which trees are mounted, from the reader's own `mountinfo`.
pub(super) fn read_mounts(proc: &Dir) -> Result<Mounts, Missing> {
    let mut mounts = Mounts::default();
    proc.lines("self/mountinfo", |line| mounts.0.extend(parse::mount(line)))?;
    Ok(mounts)
}

/// A group and those above it, lowest first: the name of each, and its directory.
struct Group(Vec<(String, PathBuf)>);

impl Group {
    /// The process's group in the tree of this controller, or of version 2. `Ok(None)` if the
    /// process is in no such tree.
    fn find(
        root: &ProcRoot,
        memberships: &[Membership],
        controller: Option<&str>,
    ) -> Result<Option<Self>, Missing> {
        let is_member = |membership: &&Membership| match controller {
            None => membership.controllers.is_empty(),
            Some(name) => membership.controllers.iter().any(|other| other == name),
        };
        let Some(membership) = memberships.iter().find(is_member) else { return Ok(None) };
        let mounts = root.mounts().as_ref().map_err(Clone::clone)?;
        let is_tree = |mount: &&Mount| match (&mount.tree, controller) {
            (Tree::V2, None) => true,
            (Tree::V1 { controllers }, Some(name)) => controllers.iter().any(|other| other == name),
            _ => false,
        };
        let path = &membership.path;
        let (mount, group) = mounts
            .0
            .iter()
            .filter(is_tree)
            .find_map(|mount| Some((mount, below(path, &mount.root)?)))
            .ok_or_else(|| {
                Missing::unreadable(format_args!("control group {path} is not mounted here"))
            })?;
        let point = root.host().join(mount.point.strip_prefix("/").unwrap_or(&mount.point));
        let name = |group: &Path| Path::new(&mount.root).join(group).to_string_lossy().into_owned();
        let groups = group.ancestors().take(LEVELS_MAX);
        Ok(Some(Self(groups.map(|group| (name(group), point.join(group))).collect())))
    }

    /// Reads something of the group and of those above it. Groups that do not have it are left out;
    /// missing if the group itself cannot be read.
    fn each<T>(
        &self,
        read: impl Fn(&str, &Dir) -> Result<Option<T>, Missing>,
    ) -> Result<Vec<T>, Missing> {
        let mut all = Vec::new();
        for (level, (name, group)) in self.0.iter().enumerate() {
            match Dir::open(group).and_then(|group| read(name, &group)) {
                Ok(value) => all.extend(value),
                Err(why) if level == 0 => return Err(why),
                Err(_) => {}
            }
        }
        Ok(all)
    }

    fn texts(&self, file: &str) -> Result<Vec<Vec<u8>>, Missing> {
        self.each(|_, group| optional_file(group, file))
    }

    /// The quotas of the group and of those above it, by a reader for its version of groups.
    fn quotas(&self, quota: fn(&Dir) -> Result<Quota, Missing>) -> Result<Vec<CpuQuota>, Missing> {
        self.each(|name, group| {
            let stat = optional_file(group, "cpu.stat")?;
            let (Some(stat), Some((quota_us, period_us))) = (stat, quota(group)?) else {
                return Ok(None);
            };
            let found =
                |throttling| CpuQuota { group: name.to_owned(), quota_us, period_us, throttling };
            Ok(parse::cpu_stat(&stat).map(found))
        })
    }
}

/// Quota and period; none for a group without quota.
type Quota = Option<(u64, u64)>;

fn v1_quota(group: &Dir) -> Result<Quota, Missing> {
    let quota = optional_file(group, "cpu.cfs_quota_us")?;
    let period = optional_file(group, "cpu.cfs_period_us")?;
    Ok(quota.zip(period).and_then(|(quota, period)| parse::cfs_quota(&quota, &period)))
}

fn v2_quota(group: &Dir) -> Result<Quota, Missing> {
    Ok(optional_file(group, "cpu.max")?.and_then(|text| parse::cpu_max(&text)))
}

/// A file of a group; none if groups like it have no such file.
fn optional_file(group: &Dir, file: &str) -> Result<Option<Vec<u8>>, Missing> {
    match group.read(file) {
        Err(Missing::Vanished) => Ok(None),
        read => read.map(Some),
    }
}

/// The group's path below the group that is mounted; `None` if it is not below it, or outside of
/// the reader's cgroup namespace.
fn below(path: &str, root: &str) -> Option<PathBuf> {
    let below = Path::new(path).strip_prefix(root).ok()?;
    below.components().all(|part| matches!(part, Component::Normal(_))).then(|| below.to_owned())
}

fn frozen(
    v2: Result<Option<Group>, Missing>,
    freezer: Result<Option<Group>, Missing>,
) -> Reading<bool> {
    let says = |group: &Group, file, frozen: fn(&[u8]) -> bool| -> Result<bool, Missing> {
        Ok(group.texts(file)?.iter().any(|text| frozen(text)))
    };
    let v2 = optional(v2, |group| {
        // cgroup.freeze is what was asked for, here or above; cgroup.events tells once it is done.
        let events = says(group, "cgroup.events", |text| has_line(text, b"frozen 1"))?;
        Ok(events || says(group, "cgroup.freeze", |text| has_line(text, b"1"))?)
    });
    let v1 = optional(freezer, |group| {
        says(group, "freezer.state", |text| {
            has_line(text, b"FROZEN") || has_line(text, b"FREEZING")
        })
    });
    match (v2, v1) {
        (Ok(Some(true)), _) | (_, Ok(Some(true))) => Reading::Known(true),
        (Err(why), _) | (_, Err(why)) => why.into(),
        (Ok(None), Ok(None)) => Missing::NotOnThisKernel.into(),
        _ => Reading::Known(false),
    }
}

/// Whichever of the groups runs out of quota, the process is kept from running. The controller is
/// in one tree only: in that of version 2 where it has none of version 1.
fn cpu_quotas(
    v1: Result<Option<Group>, Missing>,
    v2: Result<Option<Group>, Missing>,
) -> Reading<Vec<CpuQuota>> {
    let found = match optional(v1, |group| group.quotas(v1_quota)) {
        Ok(None) => optional(v2, |group| group.quotas(v2_quota)),
        found => found,
    };
    match found {
        Ok(Some(quotas)) => Reading::Known(quotas),
        Ok(None) => Missing::NotOnThisKernel.into(),
        Err(why) => why.into(),
    }
}

fn optional<T>(
    group: Result<Option<Group>, Missing>,
    read: impl FnOnce(&Group) -> Result<T, Missing>,
) -> Result<Option<T>, Missing> {
    group?.as_ref().map(read).transpose()
}

fn has_line(text: &[u8], line: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|other| other == line)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use halfopen_evidence::{Pid, Throttling};

    use super::*;

    const HYBRID: &str = "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
        31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        33 30 0:29 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";

    /// The state of a process in these groups, with these files below the mount points.
    fn check(
        mountinfo: &str,
        groups: &str,
        files: &[(&str, &str)],
        expected: &(Reading<bool>, Reading<Vec<CpuQuota>>),
    ) {
        let tree = tempfile::tempdir().expect("a directory");
        let path = |name: &str| tree.path().join(name);
        fs::create_dir_all(path("proc/self")).expect("a directory");
        fs::create_dir_all(path("proc/7")).expect("a directory");
        fs::write(path("proc/self/mountinfo"), mountinfo).expect("a file");
        fs::write(path("proc/7/cgroup"), groups).expect("a file");
        for (name, text) in files {
            let file = path(&format!("host/sys/fs/cgroup/{name}"));
            fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            fs::write(file, text).expect("a file");
        }
        let root = ProcRoot::new(path("proc")).with_host_root(path("host"));
        let state = read(&root, &root.process(Pid(7)).expect("the process"));
        let state = state.known().expect("a state");
        assert_eq!((state.frozen, state.cpu_quotas), *expected);
    }

    /// A group of which a tenth of a CPU was not enough in so many of five periods.
    fn tenth(group: &str, throttled_periods: u64) -> CpuQuota {
        CpuQuota {
            group: group.to_owned(),
            quota_us: 10_000,
            period_us: 100_000,
            throttling: Throttling { periods: 5, throttled_periods, throttled_us: 9 },
        }
    }

    #[test]
    fn a_v2_group_is_frozen_by_its_own_events_or_by_a_group_above() {
        let files = |events, above| {
            [
                ("unified/a/b/cgroup.events", events),
                ("unified/a/b/cgroup.freeze", "0\n"),
                ("unified/a/cgroup.freeze", above),
                ("unified/a/b/cpu.max", "10000 100000\n"),
                ("unified/a/b/cpu.stat", "nr_periods 5\nnr_throttled 2\nthrottled_usec 9\n"),
                ("unified/a/cpu.max", "10000 100000\n"),
                ("unified/a/cpu.stat", "nr_periods 5\nnr_throttled 1\nthrottled_usec 9\n"),
                ("unified/cpu.stat", "usage_usec 9\n"),
            ]
        };
        for (events, above, frozen) in [
            ("populated 1\nfrozen 0\n", "0\n", false),
            ("populated 1\nfrozen 1\n", "0\n", true),
            ("populated 1\nfrozen 0\n", "1\n", true),
        ] {
            let quotas = vec![tenth("/a/b", 2), tenth("/a", 1)];
            let expected = (Reading::Known(frozen), Reading::Known(quotas));
            check(HYBRID, "0::/a/b\n", &files(events, above), &expected);
        }
    }

    #[test]
    fn both_trees_of_a_hybrid_host_are_asked() {
        let groups = "3:freezer:/x\n2:cpu,cpuacct:/y/z\n0::/\n";
        let files = [
            ("unified/cgroup.procs", ""),
            ("freezer/x/freezer.state", "FROZEN\n"),
            ("cpu,cpuacct/y/z/cpu.cfs_quota_us", "-1\n"),
            ("cpu,cpuacct/y/z/cpu.cfs_period_us", "100000\n"),
            ("cpu,cpuacct/y/z/cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n"),
            ("cpu,cpuacct/y/cpu.cfs_quota_us", "10000\n"),
            ("cpu,cpuacct/y/cpu.cfs_period_us", "100000\n"),
            ("cpu,cpuacct/y/cpu.stat", "nr_periods 5\nnr_throttled 4\nthrottled_time 9000\n"),
        ];
        let expected = (Reading::Known(true), Reading::Known(vec![tenth("/y", 4)]));
        check(HYBRID, groups, &files, &expected);
    }

    #[test]
    fn a_group_that_is_not_mounted_here_is_missing_and_not_thawed() {
        let mounted = HYBRID.replace("0:27 / ", "0:27 /docker/1 ");
        let files = [("unified/cgroup.events", "frozen 1\n")];
        let expected = (Reading::Known(true), Reading::Known(Vec::new()));
        check(&mounted, "0::/docker/1\n", &files, &expected);
        for outside in ["/docker/2", "/../x"] {
            let missing =
                Missing::unreadable(format!("control group {outside} is not mounted here"));
            let expected = (missing.clone().into(), missing.into());
            check(&mounted, &format!("0::{outside}\n"), &files, &expected);
        }
    }

    #[test]
    fn the_path_that_names_the_process_is_not_the_root() {
        for (groups, expected) in [
            ("4:cpu:/c\n1:name=systemd:/s\n0::/u\n", "/s"),
            ("4:cpu:/c\n1:name=systemd:/\n0::/\n", "/c"),
            ("0::/a:b\n", "/a:b"),
            ("0::/\n", "/"),
            ("", ""),
        ] {
            assert_eq!(naming_path(&parse::memberships(groups.as_bytes())), expected);
        }
    }
}
