//! What people call a network namespace.

use std::path::Path;

use halfopen_evidence::{NetnsId, NetnsLabel, label_of_cgroup};

use super::{Found, file_name};
use crate::files;
use crate::proc::ProcRoot;

/// Characters of a pod's uid or container's id that name it.
const SHORT_ID: usize = 6;

/// The number of the first network namespace since 6.18 (include/uapi/linux/nsfs.h
/// `NET_NS_INIT_INO`); older kernels give no namespace this number.
const FIRST_NAMESPACE: NetnsId = NetnsId(0xEFFF_FFF9);

/// The names of a namespace, best first.
///
/// The host's own gets no unit or process name: whichever process were taken would be one of many.
pub(super) fn of(
    found: &Found,
    host: Option<NetnsId>,
    root: &ProcRoot,
    proc: &Path,
) -> Vec<NetnsLabel> {
    let mut labels = Vec::new();
    let is_host = host.unwrap_or(FIRST_NAMESPACE) == found.id;
    if is_host {
        labels.push(NetnsLabel::Host);
    }
    let (opaque, given): (Vec<_>, Vec<_>) =
        found.mounts.iter().partition(|path| is_runtime_made(path));
    let name = |path: &std::path::PathBuf| file_name(path).map(NetnsLabel::Name);
    labels.extend(given.into_iter().filter_map(name));
    if !is_host {
        let by_cgroup =
            found.members.iter().find_map(|&pid| label_of_cgroup(root.cgroup_path(pid).get()?));
        labels.extend(by_cgroup);
    }
    labels.extend(opaque.into_iter().filter_map(name));
    // While process 1 cannot be read, our own namespace may well be the host's.
    let may_be_host = is_host || (host.is_none() && found.is_own);
    if !may_be_host {
        let comm = found
            .members
            .iter()
            .find_map(|pid| files::read(&proc.join(pid.to_string()).join("comm")).ok());
        labels.extend(comm.map(|comm| NetnsLabel::Process(comm.trim_end().to_owned())));
    }
    labels
}

/// Whether a label answers to a name that a user typed.
pub(super) fn goes_by(label: &NetnsLabel, name: &str) -> bool {
    match label {
        NetnsLabel::Host => name == "host",
        NetnsLabel::Name(text) | NetnsLabel::Process(text) => text == name,
        NetnsLabel::Unit(unit) => unit == name || unit.strip_suffix(".service") == Some(name),
        NetnsLabel::Pod(id) | NetnsLabel::Container(id) => {
            name.len() >= SHORT_ID && id.starts_with(name)
        }
    }
}

/// The word by which a label is asked for.
pub(super) fn word(label: &NetnsLabel) -> String {
    match label {
        NetnsLabel::Host => "host".to_owned(),
        NetnsLabel::Name(text)
        | NetnsLabel::Process(text)
        | NetnsLabel::Unit(text)
        | NetnsLabel::Pod(text) => text.clone(),
        NetnsLabel::Container(id) => id.chars().take(12).collect(),
    }
}

/// Docker and the CNI plug-ins name their mounts by numbers, which say less than the pod or
/// container.
fn is_runtime_made(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with("docker/netns"))
        || file_name(path).is_some_and(|name| name.starts_with("cni-"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use halfopen_evidence::Pid;

    use super::*;

    const ID: &str = "3f2a9c0e5b7d4f6183c2a1b0e9d8c7b6a5f4e3d2c1b0a9988776655443322110";

    #[test]
    fn a_container_is_called_by_its_id_before_the_number_of_its_mount() {
        let proc = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(proc.path().join("7")).expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(proc.path().join("7").join(name), text).expect("a file");
        };
        write("cgroup", &format!("0::/docker/{ID}\n"));
        write("comm", "nginx\n");
        let found = Found {
            id: NetnsId(5),
            is_own: false,
            members: vec![Pid(7)],
            mounts: vec![PathBuf::from("/run/docker/netns/1f2e"), PathBuf::from("/run/netns/web")],
            labels: Vec::new(),
        };
        let root = ProcRoot::new(proc.path());
        let expected = [
            NetnsLabel::Name("web".to_owned()),
            NetnsLabel::Container(ID.to_owned()),
            NetnsLabel::Name("1f2e".to_owned()),
            NetnsLabel::Process("nginx".to_owned()),
        ];
        assert_eq!(of(&found, Some(NetnsId(1)), &root, proc.path()), expected);
        let host = of(&found, Some(NetnsId(5)), &root, proc.path());
        assert_eq!(host[0], NetnsLabel::Host);
        assert!(!host.iter().any(|label| matches!(label, NetnsLabel::Process(_))));
    }

    #[test]
    fn ids_go_by_their_beginnings_and_units_without_their_suffix() {
        let container = NetnsLabel::Container(ID.to_owned());
        assert!(goes_by(&container, "3f2a9c"));
        assert!(!goes_by(&container, "3f2a9"));
        assert!(goes_by(&NetnsLabel::Unit("nginx.service".to_owned()), "nginx"));
        assert!(!goes_by(&NetnsLabel::Name("web".to_owned()), "we"));
    }
}
