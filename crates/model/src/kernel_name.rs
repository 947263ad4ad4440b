//! A kernel as people name it: a release, a version, or a distribution's.

use crate::{KernelVersion, Vendor};

/// Distributions built from Red Hat's kernels.
const RED_HAT: &[&str] = &["rhel", "el", "centos", "rocky", "alma", "almalinux"];

impl KernelVersion {
    /// The kernel that a name means: `3.10.4`, `6.1.0-32-amd64`, `rhel7`, `RHEL 7`, `CentOS 7.9`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim();
        red_hat(name).or_else(|| name.strip_prefix(['v', 'V']).unwrap_or(name).parse().ok())
    }
}

fn red_hat(name: &str) -> Option<KernelVersion> {
    let lower = name.to_ascii_lowercase();
    let digits = lower.find(|c: char| c.is_ascii_digit())?;
    let (word, release) = lower.split_at(digits);
    let word = word.trim_end_matches([' ', '-', '_']);
    if !RED_HAT.contains(&word) {
        return None;
    }
    let release: u8 = release.split(['.', ' ']).next()?.parse().ok()?;
    let (major, minor, patch) = match release {
        6 => (2, 6, 32),
        7 => (3, 10, 0),
        8 => (4, 18, 0),
        9 => (5, 14, 0),
        _ => return None,
    };
    Some(KernelVersion { major, minor, patch, vendor: Vendor::Rhel(release) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_and_releases_are_understood() {
        let rhel7: KernelVersion = "3.10.0-1160.el7.x86_64".parse().expect("a release");
        for name in ["rhel7", "RHEL 7", "el7", "CentOS 7.9", " rhel-7", "3.10.0-1160.el7.x86_64"] {
            assert_eq!(KernelVersion::named(name), Some(rhel7), "{name:?}");
        }
        assert_eq!(KernelVersion::named("v6.1"), Some(KernelVersion::vanilla(6, 1)));
        assert_eq!(KernelVersion::named("3.10"), Some(KernelVersion::vanilla(3, 10)));
        for name in ["", "rhel", "rhel 5", "rhel 10", "linux", "six", "7", "rhel é"] {
            assert_eq!(KernelVersion::named(name), None, "{name:?}");
        }
    }
}
