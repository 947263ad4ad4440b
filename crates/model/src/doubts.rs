//! What of a kernel's rules was not confirmed: releases that were not read, and backports whose exact
//! release is not known.

use crate::{KernelVersion, Vendor};

/// Branches that took 3479c7549fb1 in some release of early 2025: the last release that was read
/// without it, and the first one with it, if one was.
const BRANCHES: &[(u16, u16, u16, Option<u16>)] = &[
    (5, 4, 195, None),
    (5, 10, 198, Some(262)),
    (5, 15, 135, None),
    (6, 1, 0, Some(192)),
    (6, 6, 9, None),
    (6, 12, 0, Some(117)),
];

/// Something of a kernel's rules that was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Whether it concerns the two queues alone, and no timetable.
    pub queues_only: bool,
    /// What is not certain, in a sentence.
    pub text: &'static str,
}

impl KernelVersion {
    /// What is not certain of this kernel's rules; nothing for most.
    #[must_use]
    pub fn doubts(self) -> Vec<Doubt> {
        let Self { major, minor, patch, vendor } = self;
        if vendor == Vendor::Rhel(9) {
            return vec![everywhere(
                "RHEL 9 is UNCONFIRMED: its source was not read, so it is taken as 5.14 without \
                 backports.",
            )];
        }
        if vendor != Vendor::Vanilla {
            return Vec::new();
        }
        let mut doubts = Vec::new();
        if self.at_least(6, 20) {
            doubts.push(everywhere("Newer than 6.19, the newest that was read; taken as that."));
        }
        if (major, minor) == (3, 10) && (5..65).contains(&patch) {
            doubts.push(of_queues(
                "Whether this release already refuses somaxconn above 65535 is UNCONFIRMED: 3.10.4 \
                 does not, 3.10.65 does.",
            ));
        }
        if (major, minor) == (3, 12) {
            doubts.push(everywhere("3.12 was not read and is taken as 3.13: UNCONFIRMED."));
        }
        if (major, minor) == (4, 9) && patch > 154 {
            doubts.push(of_queues(
                "Whether late 4.9.y drops each SYN at a full accept queue, as 4.10 does, is \
                 UNCONFIRMED.",
            ));
        }
        if (major, minor) == (3, 18) && patch > 0 {
            doubts.push(of_queues(
                "Later releases of 3.18.y drop each SYN at a full accept queue, as 4.10 does \
                 (5ea8ea2cb7f1); with which one that came is UNCONFIRMED.",
            ));
        }
        let branch = BRANCHES.iter().find(|branch| (branch.0, branch.1) == (major, minor));
        if branch.is_some_and(|&(.., without, with)| {
            let read_without = patch > 0 && patch <= without;
            !read_without && with.is_none_or(|with| patch < with)
        }) {
            doubts.push(of_queues(
                "Releases of this branch from early 2025 on let one more request into the SYN queue \
                 (3479c7549fb1); with which one that came is UNCONFIRMED, and a distribution's \
                 release number may not tell.",
            ));
        }
        doubts
    }
}

const fn everywhere(text: &'static str) -> Doubt {
    Doubt { queues_only: false, text }
}

const fn of_queues(text: &'static str) -> Doubt {
    Doubt { queues_only: true, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts(kernel: &str) -> usize {
        KernelVersion::named(kernel).expect("a kernel").doubts().len()
    }

    #[test]
    fn what_was_not_read_is_doubted() {
        for kernel in ["rhel9", "3.12.0", "3.18.140", "4.9.200", "3.10.30", "7.0", "6.1.0-32-amd64"]
        {
            assert_eq!(doubts(kernel), 1, "{kernel}");
        }
        for kernel in ["rhel7", "3.10.4", "3.10.65", "6.18.44", "6.1.192", "5.10.262", "5.15.135"] {
            assert_eq!(doubts(kernel), 0, "{kernel}");
        }
    }
}
