//! The version of a running kernel, as far as the rules need it.
//!
//! Distributions backport, so a version is a first guess: what matters for a verdict is probed on
//! the running kernel where it can be. See [`crate::Semantics`] for what a version implies.

use std::fmt;
use std::str::FromStr;

/// A kernel release as `uname -r` prints it, reduced to what orders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// `6` in `6.18.44`.
    pub major: u16,
    /// `18` in `6.18.44`.
    pub minor: u16,
    /// `44` in `6.18.44`; 0 where the release has no third number.
    pub patch: u16,
    /// Whose backports the kernel carries.
    pub vendor: Vendor,
}

/// Vendors whose kernels follow rules of their own, told by the release's suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    /// kernel.org, or a distribution that stays close to a stable branch.
    Vanilla,
    /// Red Hat Enterprise Linux and its rebuilds, with the major release (`el7` is 7).
    Rhel(u8),
}

/// The text was not a kernel release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseKernelVersionError(String);

impl KernelVersion {
    /// A kernel.org version, for tables and tests.
    #[must_use]
    pub const fn vanilla(major: u16, minor: u16) -> Self {
        Self { major, minor, patch: 0, vendor: Vendor::Vanilla }
    }

    /// This version with the stable release that the kernel's build names (`uname -v`).
    ///
    /// In the releases of Debian 12 and older the third number is 0 whatever the stable release is:
    /// `6.1.0-56-amd64` is built as `#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-09-10)`.
    #[must_use]
    pub fn as_built(self, build: &str) -> Self {
        let built = build.split_once(" Debian ").and_then(|(_, version)| version.parse().ok());
        match built {
            Some(Self { major, minor, patch, .. })
                if (major, minor) == (self.major, self.minor) =>
            {
                Self { patch, ..self }
            }
            _ => self,
        }
    }

    /// Whether this kernel is at least `major.minor`, whoever built it.
    #[must_use]
    pub const fn at_least(self, major: u16, minor: u16) -> bool {
        self.major > major || (self.major == major && self.minor >= minor)
    }
}

impl FromStr for KernelVersion {
    type Err = ParseKernelVersionError;

    fn from_str(release: &str) -> Result<Self, Self::Err> {
        let error = || ParseKernelVersionError(release.chars().take(64).collect());
        let numbers =
            release.split(|c: char| !(c.is_ascii_digit() || c == '.')).next().unwrap_or_default();
        let mut parts = numbers.split('.').filter(|part| !part.is_empty());
        let mut next = || parts.next().map(|part| part.parse::<u16>().map_err(|_| error()));
        let major = next().ok_or_else(error)??;
        let minor = next().ok_or_else(error)??;
        let patch = next().transpose()?.unwrap_or(0);
        Ok(Self { major, minor, patch, vendor: Vendor::of_release(release, (major, minor)) })
    }
}

impl Vendor {
    /// A mainline kernel built for an RHEL release (elrepo's `6.9.3-1.el7`) is vanilla: only the
    /// version that Red Hat shipped carries its backports.
    fn of_release(release: &str, version: (u16, u16)) -> Self {
        release
            .split(['.', '-', '_'])
            .find_map(|part| part.strip_prefix("el")?.get(..1)?.parse().ok())
            .filter(|major| {
                matches!((major, version), (6, (2, 6)) | (7, (3, 10)) | (8, (4, 18)) | (9, (5, 14)))
            })
            .map_or(Self::Vanilla, Self::Rhel)
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match self.vendor {
            Vendor::Vanilla => Ok(()),
            Vendor::Rhel(release) => write!(f, " (RHEL {release})"),
        }
    }
}

impl fmt::Display for ParseKernelVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a kernel release such as 6.1.0-32-amd64", self.0)
    }
}

impl std::error::Error for ParseKernelVersionError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(release: &str, expected: (u16, u16, u16, Vendor)) {
        let (major, minor, patch, vendor) = expected;
        assert_eq!(release.parse(), Ok(KernelVersion { major, minor, patch, vendor }), "{release}");
    }

    #[test]
    fn releases_of_common_distributions_are_read() {
        check("6.18.44-fc-v595", (6, 18, 44, Vendor::Vanilla));
        check("6.1.0-32-amd64", (6, 1, 0, Vendor::Vanilla));
        check("7.3.0-rc7", (7, 3, 0, Vendor::Vanilla));
        check("5.15.167.4-microsoft-standard-WSL2", (5, 15, 167, Vendor::Vanilla));
        check("2.6.32-642.6.2.el6.x86_64", (2, 6, 32, Vendor::Rhel(6)));
        check("3.10.0-1160.el7.x86_64", (3, 10, 0, Vendor::Rhel(7)));
        check("4.18.0-147.el8_1.x86_64", (4, 18, 0, Vendor::Rhel(8)));
        check("5.14.0-427.el9.x86_64", (5, 14, 0, Vendor::Rhel(9)));
        check("6.9.3-1.el7.elrepo.x86_64", (6, 9, 3, Vendor::Vanilla));
    }

    #[test]
    fn the_build_of_a_debian_kernel_names_its_stable_release() {
        let built = |release: &str, build: &str| {
            release.parse::<KernelVersion>().expect("a release").as_built(build).to_string()
        };
        let bookworm = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-09-10)";
        assert_eq!(built("6.1.0-56-cloud-amd64", bookworm), "6.1.192");
        assert_eq!(
            built("6.12.118+deb13-amd64", "#1 SMP Debian 6.12.118-1 (2026-10-01)"),
            "6.12.118"
        );
        assert_eq!(built("6.1.20-mine", "#3 SMP Debian 5.10.262-1"), "6.1.20");
        assert_eq!(built("5.15.0-91-generic", "#101-Ubuntu SMP Tue Nov 14 13:30:08"), "5.15.0");
        assert_eq!(built("6.1.0-56-amd64", "#1 SMP Debian (2026-09-10)"), "6.1.0");
    }

    #[test]
    fn text_that_is_no_release_is_refused() {
        for text in ["", "linux", "6", ".", "99999999.1", "-6.1"] {
            assert!(text.parse::<KernelVersion>().is_err(), "{text:?}");
        }
    }
}
