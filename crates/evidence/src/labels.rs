//! Names of containers, pods and units out of control-group paths.

use crate::NetnsLabel;

/// What a control-group path says about who lives in it.
///
/// Knows the paths of Docker, containerd, CRI-O and Podman under both cgroup drivers, Kubernetes
/// pods, and systemd services.
#[must_use]
pub fn label_of_cgroup(path: &str) -> Option<NetnsLabel> {
    let parts = || path.split('/').rev().filter(|part| !part.is_empty());
    if let Some(uid) = parts().find_map(pod_uid) {
        return Some(NetnsLabel::Pod(uid));
    }
    if let Some(id) = parts().find_map(container_id) {
        return Some(NetnsLabel::Container(id));
    }
    parts().find(|part| part.ends_with(".service")).map(|unit| NetnsLabel::Unit(unit.to_owned()))
}

/// `pod0a1b…` (cgroupfs driver) or `kubepods-burstable-pod0a1b_….slice` (systemd driver).
fn pod_uid(part: &str) -> Option<String> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match name.rsplit_once("-pod") {
        Some((prefix, uid)) if prefix.starts_with("kubepods") => uid,
        _ => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let is_uid = uid.len() >= 32 && uid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_uid.then_some(uid)
}

/// 64 hexadecimal digits, bare or as `docker-….scope`, `cri-containerd-….scope`, `libpod-….scope`.
fn container_id(part: &str) -> Option<String> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let id = name.rsplit_once('-').map_or(name, |(_, id)| id);
    let is_id = id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f2a9c0e5b7d4f6183c2a1b0e9d8c7b6a5f4e3d2c1b0a9988776655443322110";
    const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";

    fn check(path: &str, expected: impl Into<Option<NetnsLabel>>) {
        assert_eq!(label_of_cgroup(path), expected.into(), "{path}");
    }

    #[test]
    fn containers_pods_and_units_are_told_by_their_paths() {
        let container = || NetnsLabel::Container(ID.to_owned());
        let pod = || NetnsLabel::Pod(UID.to_owned());
        check(&format!("/docker/{ID}"), container());
        check(&format!("/system.slice/docker-{ID}.scope"), container());
        check(&format!("/machine.slice/libpod-{ID}.scope/container"), container());
        check(&format!("/kubepods/burstable/pod{UID}/{ID}"), pod());
        let escaped = UID.replace('-', "_");
        check(
            &format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{escaped}.slice/cri-containerd-{ID}.scope"
            ),
            pod(),
        );
        check("/system.slice/nginx.service", NetnsLabel::Unit("nginx.service".to_owned()));
        check("/", None);
        check("/user.slice/user-1000.slice/session-3.scope", None);
        check("/podman-is-not-a-pod", None);
    }
}
