//! Bind mounts of network namespaces, out of `/proc/self/mountinfo`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use halfopen_evidence::NetnsId;

use super::namespace_of;
use crate::files;

/// Where each namespace's nsfs file is mounted, in this mount namespace. Empty if the list cannot be
/// read: processes still lead to most namespaces.
pub(super) fn read(proc: &Path) -> BTreeMap<NetnsId, Vec<PathBuf>> {
    files::read(&proc.join("self/mountinfo")).map(|text| parse(&text)).unwrap_or_default()
}

/// A line is `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS … - TYPE SOURCE OPTIONS`; of nsfs the
/// root is `net:[NUMBER]` (proc(5)).
fn parse(mountinfo: &str) -> BTreeMap<NetnsId, Vec<PathBuf>> {
    let mut mounts: BTreeMap<NetnsId, Vec<PathBuf>> = BTreeMap::new();
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else {
            continue;
        };
        if filesystem.split(' ').next() != Some("nsfs") {
            continue;
        }
        let mut fields = mount.split(' ').skip(3);
        if let (Some(root), Some(mount_point)) = (fields.next(), fields.next())
            && let Some(id) = namespace_of(root.as_bytes())
        {
            let path = unescaped(mount_point);
            let paths = mounts.entry(id).or_default();
            // `ip netns` mounts appear twice where /run/netns is a shared mount of itself.
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    mounts
}

/// Spaces, tabs, newlines and backslashes are written as three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = (byte == b'\\').then(|| after.first_chunk::<3>()).flatten();
        let value = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(value) = value {
            bytes.push(value);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_namespaces_are_taken_and_names_are_unescaped() {
        let mounts = parse(
            "22 1 0:21 / /proc rw,nosuid - proc proc rw\n\
             40 1 0:4 net:[5] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw\n\
             41 1 0:4 net:[5] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw\n\
             42 1 0:4 net:[5] /run/docker/netns/1f rw - nsfs nsfs rw\n\
             43 1 0:4 mnt:[6] /run/x rw - nsfs nsfs rw\n\
             cut short",
        );
        let paths = ["/run/netns/a b", "/run/docker/netns/1f"].map(PathBuf::from).to_vec();
        assert_eq!(mounts, BTreeMap::from([(NetnsId(5), paths)]));
    }

    #[test]
    fn a_backslash_that_begins_no_octal_number_stays() {
        for (field, path) in [("\\", "\\"), ("\\9xx", "\\9xx"), ("\\134", "\\"), ("a\\04", "a\\04")]
        {
            assert_eq!(unescaped(field), PathBuf::from(path));
        }
    }
}
