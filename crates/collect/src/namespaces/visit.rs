//! Going from namespace to namespace on a thread of its own.
//!
//! `setns` moves one thread. A thread that has gone somewhere is not used for anything else and does
//! not come back, so the rest of the process stays where it is. A netlink socket keeps the namespace
//! that it was made in, so what the visitor opens can be used afterwards from anywhere.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use halfopen_evidence::Missing;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Found;
use crate::{CollectError, privilege};

/// What a visitor finds where it is.
#[derive(Clone, Debug)]
pub(crate) struct Visit<'a> {
    /// Where it is.
    pub(crate) found: &'a Found,
    /// The `/proc` to read.
    pub(crate) proc: &'a Path,
    /// `/proc/thread-self/net`: `/proc/self/net` would be that of the process's first thread.
    pub(crate) net: PathBuf,
}

/// Visits these namespaces one after the other, on a new thread. Where one cannot be entered, the
/// visitor is told why instead.
pub(crate) fn visit<'a, T: Send>(
    places: &[&'a Found],
    proc: &'a Path,
    mut each: impl FnMut(&'a Found, Result<Visit<'a>, Missing>) -> T + Send,
) -> Result<Vec<T>, CollectError> {
    let net = proc.join("thread-self/net");
    // The own namespace must come first: there is no way back to it.
    let mut places = places.to_vec();
    places.sort_by_key(|found| !found.is_own);
    thread::scope(|scope| {
        let visitor = move || {
            let visit_one = |found: &'a Found| {
                let entered = if found.is_own { Ok(()) } else { enter(found, proc) };
                each(found, entered.map(|()| Visit { found, proc, net: net.clone() }))
            };
            places.into_iter().map(visit_one).collect()
        };
        let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, visitor);
        match thread.map_err(CollectError::Thread)?.join() {
            Ok(results) => Ok(results),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Moves the calling thread into a namespace, by whichever way in still leads there.
fn enter(found: &Found, proc: &Path) -> Result<(), Missing> {
    let by_members = found.members.iter().map(|pid| proc.join(format!("{pid}/ns/net")));
    let mut why = Missing::Vanished;
    for way in by_members.chain(found.mounts.iter().cloned()) {
        match enter_by(&way, found) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                why = Missing::needs(privilege::ENTER_NAMESPACES);
            }
            Err(error) => why = Missing::unreadable(format_args!("{}: {error}", way.display())),
        }
    }
    Err(why)
}

fn enter_by(way: &Path, found: &Found) -> io::Result<()> {
    // What was a namespace may be a FIFO or a terminal by now: it must not block the visit.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open(way, flags, Mode::empty())?;
    // The pid or the mount may lead elsewhere by now.
    if rustix::fs::fstat(&namespace)?.st_ino != found.id.0 {
        return Err(ErrorKind::NotFound.into());
    }
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{NetnsId, Pid};
    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn a_namespace_whose_ways_in_lead_elsewhere_has_vanished() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
        let found = Found {
            id: NetnsId(1),
            is_own: false,
            members: vec![Pid(std::process::id()), Pid(u32::MAX)],
            mounts: vec![PathBuf::from("/nowhere"), fifo],
            labels: Vec::new(),
        };
        let results =
            visit(&[&found], Path::new("/proc"), |found, entered| (found.id, entered.map(|_| ())));
        assert_eq!(results.expect("a thread"), [(NetnsId(1), Err(Missing::Vanished))]);
    }
}
