//! The guest kernels: Debian's cloud kernels, by the suite whose metapackage names the newest.

use anyhow::{Result, bail};

/// A kernel that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// What it is called on the command line.
    pub(super) name: &'static str,
    /// The suite of Debian's main archive that has it.
    pub(super) suite: &'static str,
    /// The suite of Debian's security archive that has newer ones.
    pub(super) security: Option<&'static str>,
    /// Whether it runs when none is named: its suite keeps it for years.
    by_default: bool,
}

const KERNELS: &[Kernel] = &[
    Kernel {
        name: "5.10",
        suite: "bullseye",
        security: Some("bullseye-security"),
        by_default: true,
    },
    Kernel {
        name: "6.1",
        suite: "bookworm",
        security: Some("bookworm-security"),
        by_default: true,
    },
    Kernel { name: "6.12", suite: "trixie", security: Some("trixie-security"), by_default: true },
    Kernel { name: "backports", suite: "trixie-backports", security: None, by_default: false },
    Kernel { name: "sid", suite: "sid", security: None, by_default: false },
];

/// The kernels of these names; those that run by default if there are no names.
pub(super) fn named(names: &[String]) -> Result<Vec<Kernel>> {
    if names.is_empty() {
        return Ok(KERNELS.iter().filter(|kernel| kernel.by_default).copied().collect());
    }
    let find = |name: &String| {
        let Some(kernel) = KERNELS.iter().find(|kernel| kernel.name == *name) else {
            let known: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
            bail!("no guest kernel {name:?}; there are {}", known.join(", "));
        };
        Ok(*kernel)
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_the_long_lived_kernels_run() {
        let names: Vec<_> = named(&[]).expect("a list").iter().map(|kernel| kernel.name).collect();
        assert_eq!(names, ["5.10", "6.1", "6.12"]);
        let names = ["sid".to_owned()];
        assert_eq!(named(&names).expect("a list")[0].suite, "sid");
        assert!(named(&["2.6".to_owned()]).is_err());
    }
}
