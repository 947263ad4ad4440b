//! The descriptors of one process: listening sockets, epoll sets and io_urings among them, and what
//! any single one is.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;

use halfopen_evidence::{Inode, Missing};
use rustix::fs::readlinkat_raw;

use super::dir::{Dir, LINK_MAX, for_each_number};
use super::parse;

/// Links read at most, some 200 ms; the rest is only counted, and holds no epoll set or listener
/// that was opened early.
const LINKS_MAX: u64 = 65_536;

/// The longest description of a descriptor, in bytes.
const WHAT_MAX: usize = 256;

/// What the descriptors of a process are, as far as it matters who waits for a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// How many are open.
    pub(super) open: u64,
    /// Descriptors of listening sockets that were asked for.
    pub(super) listeners: BTreeMap<u32, Inode>,
    /// Descriptors of epoll sets.
    pub(super) epoll_sets: BTreeSet<u32>,
    /// Descriptors of io_urings.
    pub(super) urings: BTreeSet<u32>,
}

impl Descriptors {
    /// Reads the links in `task/fd`.
    pub(super) fn read(task: &Dir, listeners: &BTreeSet<Inode>) -> Result<Self, Missing> {
        Self::read_links(&task.dir("fd")?, listeners, LINKS_MAX)
    }

    /// Reads so many of these links, and counts them all.
    fn read_links(links: &Dir, listeners: &BTreeSet<Inode>, most: u64) -> Result<Self, Missing> {
        let mut found = Self::default();
        let mut denied = None;
        let listed = for_each_number(links, |fd, name| {
            found.open += 1;
            if found.open > most {
                return ControlFlow::Continue(());
            }
            // Long enough for every target that matters.
            let mut target = [MaybeUninit::uninit(); 40];
            match readlinkat_raw(links, name, &mut target[..]) {
                Ok((target, _)) => found.note(fd, target, listeners),
                Err(errno) => denied = Some(super::dir::missing("fd".as_ref(), errno)),
            }
            ControlFlow::Continue(())
        });
        if let Err(errno) = listed {
            return Err(super::dir::missing("fd".as_ref(), errno));
        }
        if let Some(why @ Missing::NotPermitted { .. }) = denied {
            return Err(why);
        }
        Ok(found)
    }

    fn note(&mut self, fd: u32, target: &[u8], listeners: &BTreeSet<Inode>) {
        if let Some(inode) = parse::socket_link(target).map(Inode) {
            if listeners.contains(&inode) {
                self.listeners.insert(fd, inode);
            }
        } else if target == b"anon_inode:[eventpoll]" {
            self.epoll_sets.insert(fd);
        } else if target == b"anon_inode:[io_uring]" {
            self.urings.insert(fd);
        }
    }
}

/// What one descriptor is, and its inode if it is a socket. A socket is left as `socket:[N]`: who it
/// is connected to is another collector's to say.
pub(super) fn describe(task: &Dir, fd: u32) -> Result<(String, Option<Inode>), Missing> {
    let mut buffer = [MaybeUninit::uninit(); LINK_MAX];
    let target = task.link(&format!("fd/{fd}"), &mut buffer)?;
    Ok((description(target), parse::socket_link(target).map(Inode)))
}

/// `pipe:[77]` is `pipe`, `anon_inode:[eventfd]` is `eventfd`, a path stays a path.
fn description(target: &[u8]) -> String {
    let text = String::from_utf8_lossy(target);
    if text.starts_with("pipe:[") {
        return "pipe".to_owned();
    }
    let anonymous = |name: &str| name.trim_matches(['[', ']']).to_owned();
    text.strip_prefix("anon_inode:").map_or_else(|| cut(&text), anonymous)
}

fn cut(text: &str) -> String {
    match text.char_indices().find(|(at, _)| *at >= WHAT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn descriptors_whose_links_are_not_read_are_counted_all_the_same() {
        let links = tempfile::tempdir().expect("a directory");
        for fd in 0..9 {
            symlink(format!("socket:[{fd}]"), links.path().join(fd.to_string())).expect("a link");
        }
        let links = Dir::open(links.path()).expect("the directory");
        let listeners = (0..9).map(Inode).collect();
        let found = Descriptors::read_links(&links, &listeners, 4).expect("descriptors");
        assert_eq!((found.open, found.listeners.len()), (9, 4));
    }

    #[test]
    fn descriptors_are_described_in_few_words() {
        for (target, expected) in [
            ("socket:[12]", "socket:[12]"),
            ("pipe:[77]", "pipe"),
            ("anon_inode:[eventfd]", "eventfd"),
            ("anon_inode:inotify", "inotify"),
            ("/var/log/x y", "/var/log/x y"),
        ] {
            assert_eq!(description(target.as_bytes()), expected);
        }
        assert_eq!(description(b"/\xff"), "/\u{fffd}");
        assert_eq!(description("é".repeat(400).as_bytes()), format!("{}…", "é".repeat(128)));
    }
}
