//! Bind mounts of network namespaces, out of `/proc/self/mountinfo`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use halfopen_evidence::NetnsId;

use super::namespace_of;
use crate::files;
use crate::proc::parse::MountLine;

/// Where each namespace's nsfs file is mounted, in this mount namespace. Empty if the list cannot be
/// read: processes still lead to most namespaces.
pub(super) fn read(proc: &Path) -> BTreeMap<NetnsId, Vec<PathBuf>> {
    files::read(&proc.join("self/mountinfo")).map(|text| parse(&text)).unwrap_or_default()
}

/// The root of an nsfs mount is `net:[NUMBER]`.
fn parse(mountinfo: &str) -> BTreeMap<NetnsId, Vec<PathBuf>> {
    let mut mounts: BTreeMap<NetnsId, Vec<PathBuf>> = BTreeMap::new();
    let lines = mountinfo.lines().filter_map(|line| MountLine::parse(line.as_bytes()));
    for line in lines.filter(|line| line.kind == b"nsfs") {
        if let Some(id) = namespace_of(&line.root()) {
            let point = line.point();
            let points = mounts.entry(id).or_default();
            // `ip netns` mounts appear twice where /run/netns is a shared mount of itself.
            if !points.contains(&point) {
                points.push(point);
            }
        }
    }
    mounts
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
}
