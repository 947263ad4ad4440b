//! A kernel as people name it: a release, a version, or a distribution's.

use std::fmt;

use crate::{GENERATIONS, KernelVersion, Vendor};

/// The oldest kernel that was read.
const OLDEST: KernelVersion = GENERATIONS[0].kernel;

/// Distributions built from Red Hat's kernels.
const RED_HAT: &[&str] = &["rhel", "el", "centos", "rocky", "alma", "almalinux"];

/// Why a name means no kernel whose rules are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelNameError {
    /// It is no kernel's.
    Unknown(String),
    /// It is older than all that were read.
    TooOld(KernelVersion),
}

impl KernelVersion {
    /// The kernel that a name means: `3.10.4`, `6.1.0-32-amd64`, `rhel7`, `RHEL 7`, `CentOS 7.9`.
    ///
    /// # Errors
    ///
    /// A name that means none, and a kernel older than the first of [`GENERATIONS`].
    pub fn named(name: &str) -> Result<Self, KernelNameError> {
        let trimmed = name.trim();
        let release = || trimmed.strip_prefix(['v', 'V']).unwrap_or(trimmed).parse().ok();
        let unknown = || KernelNameError::Unknown(trimmed.chars().take(64).collect());
        let kernel = red_hat(trimmed).or_else(release).ok_or_else(unknown)?;
        if kernel.is_before(OLDEST) { Err(KernelNameError::TooOld(kernel)) } else { Ok(kernel) }
    }

    fn is_before(self, other: Self) -> bool {
        let numbers = |kernel: Self| (kernel.major, kernel.minor, kernel.patch);
        numbers(self) < numbers(other)
    }
}

impl fmt::Display for KernelNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "{name:?} is not a kernel; write a release such as 3.10.4 or 6.1.0-32-amd64, or \
                 rhel6, rhel7, rhel8, rhel9"
            ),
            Self::TooOld(kernel) => write!(
                f,
                "Linux {kernel} is older than {OLDEST}, the oldest kernel whose rules are known"
            ),
        }
    }
}

impl std::error::Error for KernelNameError {}

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
            assert_eq!(KernelVersion::named(name), Ok(rhel7), "{name:?}");
        }
        assert_eq!(KernelVersion::named("v6.1"), Ok(KernelVersion::vanilla(6, 1)));
        assert_eq!(KernelVersion::named("3.10"), Ok(KernelVersion::vanilla(3, 10)));
        for name in ["", "rhel", "rhel 5", "rhel 10", "linux", "six", "7", "rhel é"] {
            let unknown = KernelNameError::Unknown(name.to_owned());
            assert_eq!(KernelVersion::named(name), Err(unknown));
        }
    }

    #[test]
    fn kernels_that_nobody_read_are_not_taken_for_the_oldest() {
        for name in ["1.0", "2.4.37", "2.6.18-398.el5", "2.6.31.14"] {
            let refused = KernelVersion::named(name);
            assert!(matches!(refused, Err(KernelNameError::TooOld(_))), "{name}: {refused:?}");
        }
        assert!(KernelVersion::named("2.6.32").is_ok());
        let error = KernelVersion::named("1.0").expect_err("refused").to_string();
        assert_eq!(
            error,
            "Linux 1.0.0 is older than 2.6.32, the oldest kernel whose rules are known"
        );
    }
}
