//! Which control groups a process is in, and where they are mounted.

use std::path::PathBuf;

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

/// Parses a line of mountinfo (proc(5)): `36 35 0:30 ROOT POINT OPTIONS … - TYPE SOURCE SUPER`;
/// `None` for a mount of anything else than control groups.
#[must_use]
pub fn mount(line: &[u8]) -> Option<Mount> {
    let line = String::from_utf8_lossy(line);
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut filesystem = filesystem.split(' ');
    let tree = match filesystem.next()? {
        "cgroup2" => Tree::V2,
        "cgroup" => {
            let options = filesystem.nth(1)?.split(',');
            Tree::V1 { controllers: options.map(str::to_owned).collect() }
        }
        _ => return None,
    };
    let mut fields = mount.split(' ').skip(3);
    let root = unescaped(fields.next()?);
    Some(Mount { tree, root, point: unescaped(fields.next()?).into() })
}

/// Blanks, tabs, newlines and backslashes are written as `\040` and the like.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_at_checked(3).map(|(code, rest)| (u8::from_str_radix(code, 8), rest)) {
            Some((Ok(code), rest)) if code.is_ascii() => {
                text.push(char::from(code));
                text.push_str(rest);
            }
            _ => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_in_mount_points_are_unescaped() {
        assert_eq!(unescaped(r"/a\040b\134c\9"), r"/a b\c\9");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (memberships(&text), mount(&text));
        }

        #[test]
        fn no_mount_makes_a_parser_panic(text in "([0-9/ ,:é\\\\-]| - |cgroup2?){0,40}") {
            let _ = mount(text.as_bytes());
            let _ = unescaped(&text);
        }
    }
}
