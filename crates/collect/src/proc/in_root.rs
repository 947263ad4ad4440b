//! Paths as they are for a process that has another root directory than we have: a link there may be
//! absolute, or climb, and must lead where it leads for the process.

use std::path::{Component, Path};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

/// Opens what has this path for a process whose root directory that is. Kernels before Linux 5.6 cannot
/// follow links there; then a path with a link in it is not opened.
pub(super) fn open(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(root.as_fd(), path, flags, Mode::empty(), resolve) {
        // Filters of system calls refuse what they do not know, with either.
        Err(Errno::NOSYS | Errno::PERM) => open_without_links(root, path, flags),
        opened => opened,
    }
}

fn open_without_links(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(root, ".", way, Mode::empty())?;
    let mut names = path.components().filter(|part| *part != Component::RootDir).peekable();
    while let Some(part) = names.next() {
        let Component::Normal(name) = part else { return Err(Errno::XDEV) };
        if names.peek().is_none() {
            // With O_PATH a link would be opened itself.
            let last = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
            return if is_link(&last)? { Err(Errno::LOOP) } else { Ok(last) };
        }
        at = openat(&at, name, way, Mode::empty())?;
    }
    Ok(at)
}

fn is_link(file: &OwnedFd) -> Result<bool> {
    let mode = rustix::fs::fstat(file)?.st_mode;
    Ok(rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    /// What is read by a path in a root of its own, by openat2 and without it.
    fn check(path: &str, with_links: Option<&str>, without: Option<&str>) {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("usr/lib")).expect("a folder");
        fs::write(at("usr/lib/a"), "inside").expect("a file");
        fs::write(at("etc"), "its own").expect("a file");
        symlink("/usr/lib", at("lib")).expect("a link");
        symlink("/etc", at("usr/lib/absolute")).expect("a link");
        symlink("../../../../../etc", at("usr/lib/climbs")).expect("a link");
        let dir = File::open(root.path()).expect("the folder");
        let read = |opened: Result<OwnedFd>| {
            let mut text = String::new();
            File::from(opened.ok()?).read_to_string(&mut text).ok().map(|_| text)
        };
        let path = Path::new(path);
        let found = open(&dir, path, OFlags::RDONLY);
        // Where openat2 is refused, only the other way can be tried.
        if found.is_ok() || with_links.is_none() || without.is_some() {
            assert_eq!(read(found).as_deref(), with_links, "{}", path.display());
        }
        let found = open_without_links(&dir, path, OFlags::RDONLY);
        assert_eq!(read(found).as_deref(), without, "{} without links", path.display());
    }

    #[test]
    fn links_lead_where_they_lead_for_the_process() {
        check("/usr/lib/a", Some("inside"), Some("inside"));
        check("/lib/a", Some("inside"), None);
        check("/usr/lib/absolute", Some("its own"), None);
        check("/usr/lib/climbs", Some("its own"), None);
        check("/usr/lib/none", None, None);
        check("/../usr/lib/a", Some("inside"), None);
    }
}
