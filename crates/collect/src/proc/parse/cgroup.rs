//! Which control groups a process is in, and where they are mounted.

use std::path::PathBuf;

use super::mountinfo::MountLine;

/// A mounted tree of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which tree.
    pub tree: Tree,
    /// The group that is mounted.
    pub root: String,
    /// Where.
    pub point: PathBuf,
}

/// A tree of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Version 1.
    V1 {
        /// Its controllers, among mount options.
        controllers: Vec<String>,
    },
    /// Version 2: one tree for all controllers.
    V2,
}

/// A line of `/proc/PID/cgroup`: the group that a process is in, in one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Controllers of the tree, or `name=…`; none for version 2.
    pub controllers: Vec<String>,
    /// The group.
    pub path: String,
}

/// Parses `/proc/PID/cgroup` (cgroups(7)).
#[must_use]
pub fn memberships(text: &[u8]) -> Vec<Membership> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers = fields.next()?.split(',').filter(|name| !name.is_empty());
            let controllers = controllers.map(str::to_owned).collect();
            Some(Membership { controllers, path: fields.next()?.to_owned() })
        })
        .collect()
}

/// Parses a line of mountinfo (proc(5)); `None` for a mount of anything else than control groups.
#[must_use]
pub fn mount(line: &[u8]) -> Option<Mount> {
    let line = MountLine::parse(line)?;
    let tree = match line.kind {
        b"cgroup2" => Tree::V2,
        b"cgroup" => {
            let options = String::from_utf8_lossy(line.super_options);
            Tree::V1 { controllers: options.split(',').map(str::to_owned).collect() }
        }
        _ => return None,
    };
    let root = String::from_utf8_lossy(&line.root()).into_owned();
    Some(Mount { tree, root, point: line.point() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (memberships(&text), mount(&text));
        }

        #[test]
        fn no_mount_makes_a_parser_panic(text in "([0-9/ ,:é\\\\-]| - |cgroup2?){0,40}") {
            let _ = mount(text.as_bytes());
        }
    }
}
