//! Every network namespace on the host, and how to get into each.
//!
//! A namespace is found through a process that lives in it (`/proc/PID/ns/net`, one readlink per
//! process) or through a bind mount of its nsfs file, as `ip netns add` and container runtimes make
//! them. Not found: namespaces that only a thread other than the first of its process lives in, and
//! those that only an open descriptor keeps alive. What they are called is in [`labels`]; entering
//! them is in [`visit`], what is kept open in each of them in [`kept`].

mod kept;
mod labels;
mod mounts;
mod visit;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use halfopen_evidence::{NetnsId, NetnsLabel, Pid, Reading};
use rustix::fs::{CWD, Dir, Mode, OFlags};

use crate::proc::ProcRoot;
use crate::{CollectError, NetnsScope, host};

pub use kept::WatchedNetns;
pub(crate) use kept::{Closed, Kept};
pub(crate) use visit::{Visit, visit};

/// Members of a namespace that are remembered: one may exit before it is used as a way in.
const MEMBERS_KEPT: usize = 4;

/// A network namespace that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: NetnsId,
    /// Whether the collector itself lives in it.
    pub(crate) is_own: bool,
    /// Some processes that live in it, lowest pid first; the collector is not among them.
    pub(crate) members: Vec<Pid>,
    /// Where its nsfs file is mounted.
    pub(crate) mounts: Vec<PathBuf>,
    /// What people call it, best name first.
    pub(crate) labels: Vec<NetnsLabel>,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovery {
    /// The collector's own namespace first, then by number.
    pub(crate) found: Vec<Found>,
    /// Processes whose namespace may not be known.
    pub(crate) unreadable: u32,
}

/// Finds the namespaces that the scope names.
pub(crate) fn discover(
    root: &ProcRoot,
    proc: &Path,
    scope: &NetnsScope,
) -> Result<Discovery, CollectError> {
    let own_link = proc.join("thread-self/ns/net");
    let own = std::fs::read_link(&own_link)
        .and_then(|link| namespace_of(link.as_os_str().as_encoded_bytes()).ok_or_else(not_a_link))
        .map_err(|source| CollectError::Read { path: own_link, source })?;
    let mut members: BTreeMap<NetnsId, Vec<Pid>> = BTreeMap::new();
    let unreadable = walk_processes(proc, |pid, id| {
        let members = members.entry(id).or_default();
        members.push(pid);
        if members.len() > MEMBERS_KEPT {
            // Directory order of /proc is by pid but for those that are made meanwhile.
            members.sort_unstable();
            members.truncate(MEMBERS_KEPT);
        }
    })?;
    let mut mounts = mounts::read(proc);
    members.entry(own).or_default();
    for &id in mounts.keys() {
        members.entry(id).or_default();
    }
    // In a container process 1 is the container's own.
    let sees_host = host::sees_all_processes(proc) == Reading::Known(true);
    let of_first = members.iter().find(|(_, pids)| pids.contains(&Pid(1))).map(|(&id, _)| id);
    let host = of_first.filter(|_| sees_host);
    let mut found: Vec<Found> = members
        .into_iter()
        .map(|(id, mut members)| {
            members.sort_unstable();
            let mounts = mounts.remove(&id).unwrap_or_default();
            Found { id, is_own: id == own, members, mounts, labels: Vec::new() }
        })
        .collect();
    found.sort_by_key(|found| (!found.is_own, found.id));
    select(&mut found, scope, proc)?;
    for found in &mut found {
        found.labels = labels::of(found, host, root, proc);
    }
    if let NetnsScope::Named(name) = scope {
        keep_named(&mut found, name)?;
    }
    let unreadable = if *scope == NetnsScope::All { unreadable } else { 0 };
    Ok(Discovery { found, unreadable })
}

/// Keeps what the scope names, as far as that needs no names.
fn select(found: &mut Vec<Found>, scope: &NetnsScope, proc: &Path) -> Result<(), CollectError> {
    match scope {
        NetnsScope::All | NetnsScope::Named(_) => {}
        NetnsScope::Own => found.retain(|found| found.is_own),
        NetnsScope::Ids(ids) => found.retain(|found| ids.contains(&found.id)),
        &NetnsScope::OfProcess(pid) => {
            let id = of_process(&proc.join(pid.to_string()))
                .map_err(|source| CollectError::NetnsOfProcess { pid, source })?;
            found.retain(|found| found.id == id);
        }
    }
    Ok(())
}

/// The namespace of a process; once its first thread has ended, of another of its threads.
fn of_process(process: &Path) -> io::Result<NetnsId> {
    let of = |directory: &Path| {
        let link = std::fs::read_link(directory.join("ns/net"))?;
        namespace_of(link.as_os_str().as_encoded_bytes()).ok_or_else(not_a_link)
    };
    of(process).or_else(|error| {
        let mut threads = std::fs::read_dir(process.join("task")).into_iter().flatten().flatten();
        threads.find_map(|thread| of(&thread.path()).ok()).ok_or(error)
    })
}

fn keep_named(found: &mut Vec<Found>, name: &str) -> Result<(), CollectError> {
    let known = || {
        let names = found
            .iter()
            .map(|found| found.labels.first().map_or_else(|| found.id.to_string(), labels::word));
        names.take(20).collect::<Vec<_>>().join(", ")
    };
    let is_named = |found: &Found| {
        found.id.to_string() == name
            || found.labels.iter().any(|label| labels::goes_by(label, name))
    };
    if !found.iter().any(is_named) {
        return Err(CollectError::NoSuchNetns { name: name.to_owned(), known: known() });
    }
    found.retain(is_named);
    Ok(())
}

/// Hands on the namespace of each process but this one. Returns how many may not be read.
fn walk_processes(proc: &Path, mut each: impl FnMut(Pid, NetnsId)) -> Result<u32, CollectError> {
    let read_error = |error: rustix::io::Errno| CollectError::Read {
        path: proc.to_owned(),
        source: error.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc_fd = rustix::fs::openat(CWD, proc, flags, Mode::empty()).map_err(read_error)?;
    let own_pid = std::process::id();
    let mut unreadable = 0;
    let mut link = Vec::with_capacity(64);
    for entry in Dir::read_from(&proc_fd).map_err(read_error)? {
        let entry = entry.map_err(read_error)?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().ok().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == own_pid {
            continue;
        }
        match rustix::fs::readlinkat(&proc_fd, format!("{pid}/ns/net"), link) {
            Ok(target) => {
                if let Some(id) = namespace_of(target.to_bytes()) {
                    each(Pid(pid), id);
                }
                link = target.into_bytes();
            }
            Err(error) => {
                // Kernel threads and processes that are gone have none.
                unreadable +=
                    u32::from(matches!(error, rustix::io::Errno::ACCESS | rustix::io::Errno::PERM));
                link = Vec::with_capacity(64);
            }
        }
    }
    Ok(unreadable)
}

/// The number in `net:[4026531840]`.
fn namespace_of(link: &[u8]) -> Option<NetnsId> {
    let text = std::str::from_utf8(link).ok()?;
    text.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok().map(NetnsId)
}

fn not_a_link() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a link to a network namespace")
}

/// The last part of a path, as text.
fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(OsStr::to_string_lossy).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A `/proc` with this process in namespace 1.
    fn fake_proc(processes: &[(u32, u64)], mountinfo: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().expect("a directory");
        let link = |name: String, id: u64| {
            let ns = proc.path().join(name).join("ns");
            fs::create_dir_all(&ns).expect("a directory");
            symlink(format!("net:[{id}]"), ns.join("net")).expect("a link");
        };
        link("thread-self".to_owned(), 1);
        for &(pid, id) in processes {
            link(pid.to_string(), id);
            fs::write(proc.path().join(format!("{pid}/comm")), format!("p{pid}\n")).expect("comm");
            fs::write(proc.path().join(format!("{pid}/cgroup")), "0::/\n").expect("cgroup");
        }
        fs::create_dir_all(proc.path().join("self/ns")).expect("a directory");
        symlink("pid:[4026531836]", proc.path().join("self/ns/pid")).expect("a link");
        fs::write(proc.path().join("self/mountinfo"), mountinfo).expect("a file");
        proc
    }

    fn found(proc: &Path, scope: &NetnsScope) -> Result<Vec<Found>, CollectError> {
        discover(&ProcRoot::new(proc), proc, scope).map(|discovery| discovery.found)
    }

    const MOUNTS: &str = "99 21 0:4 net:[7] /run/netns/blue rw - nsfs nsfs rw\n";

    #[test]
    fn own_comes_first_and_bind_mounts_count() {
        let proc = fake_proc(&[(1, 1), (20, 5), (10, 5), (30, 1)], MOUNTS);
        let found = found(proc.path(), &NetnsScope::All).expect("a look");
        let brief: Vec<_> =
            found.iter().map(|f| (f.id.0, f.is_own, f.members.clone(), f.labels.clone())).collect();
        assert_eq!(
            brief,
            [
                (1, true, vec![Pid(1), Pid(30)], vec![NetnsLabel::Host]),
                (5, false, vec![Pid(10), Pid(20)], vec![NetnsLabel::Process("p10".to_owned())]),
                (7, false, vec![], vec![NetnsLabel::Name("blue".to_owned())]),
            ]
        );
    }

    #[test]
    fn the_first_process_of_a_container_does_not_live_in_the_hosts_namespace() {
        let proc = fake_proc(&[(1, 1), (10, 5)], MOUNTS);
        let link = proc.path().join("self/ns/pid");
        fs::remove_file(&link).expect("the link");
        symlink("pid:[4026532201]", link).expect("a link");
        let found = found(proc.path(), &NetnsScope::All).expect("a look");
        assert!(found.iter().all(|found| !found.labels.contains(&NetnsLabel::Host)), "{found:?}");
    }

    #[test]
    fn a_scope_keeps_what_it_names() {
        let proc = fake_proc(&[(1, 1), (10, 5)], MOUNTS);
        let ids = |scope| {
            let found = found(proc.path(), &scope).expect("a look");
            found.iter().map(|found| found.id.0).collect::<Vec<_>>()
        };
        assert_eq!(ids(NetnsScope::Own), [1]);
        assert_eq!(ids(NetnsScope::OfProcess(Pid(10))), [5]);
        assert_eq!(ids(NetnsScope::Ids(BTreeSet::from([NetnsId(7), NetnsId(99)]))), [7]);
        assert_eq!(ids(NetnsScope::Named("blue".to_owned())), [7]);
        assert_eq!(ids(NetnsScope::Named("host".to_owned())), [1]);
        assert_eq!(ids(NetnsScope::Named("5".to_owned())), [5]);
        let error = found(proc.path(), &NetnsScope::Named("red".to_owned())).expect_err("no red");
        assert!(error.to_string().contains("host, p10, blue"), "{error}");
        assert!(found(proc.path(), &NetnsScope::OfProcess(Pid(11))).is_err());
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_is_where_its_others_are() {
        let proc = fake_proc(&[(1, 1), (10, 5)], MOUNTS);
        for thread in ["12", "13"] {
            fs::create_dir_all(proc.path().join("12/task").join(thread).join("ns")).expect("it");
        }
        symlink("net:[5]", proc.path().join("12/task/13/ns/net")).expect("a link");
        let found = found(proc.path(), &NetnsScope::OfProcess(Pid(12))).expect("a look");
        assert_eq!(found.iter().map(|found| found.id.0).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn only_links_to_network_namespaces_are_numbers() {
        assert_eq!(namespace_of(b"net:[4026531840]"), Some(NetnsId(4_026_531_840)));
        for link in [&b"mnt:[1]"[..], b"net:[]", b"net:[1", b"net:[-1]", b"\xff"] {
            assert_eq!(namespace_of(link), None);
        }
    }
}
