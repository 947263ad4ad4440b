//! The kernel's rules in words: what `halfopen explain rule` prints and the manual is made of.
//!
//! One file per topic. A rule says what the kernel does, where that stands in its source, and how
//! kernels differ; the differences are computed from [`Semantics`], so they cannot drift from what
//! the model does. [`lore`] holds what is commonly said and not so.

mod accept_queue;
mod listeners;
pub mod lore;
mod ports;
mod reading;
mod syn_queue;
mod third_ack;
mod timers;

use crate::{Alike, Semantics, by_generation};

use lore::Lore;

/// A rule of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name, which does not change.
    pub id: &'static str,
    /// The rule in a line.
    pub title: &'static str,
    /// The rule in plain words; paragraphs are parted by a line feed.
    pub text: &'static str,
    /// Files and functions of the kernel that make it.
    pub code: &'static [&'static str],
    /// Commits that changed it.
    pub commits: &'static [Commit],
    /// What one kernel does, in a few words.
    pub differs: fn(&Semantics) -> String,
    /// Ids of the findings that rest on it.
    pub findings: &'static [&'static str],
}

/// A change of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its hash, shortened.
    pub hash: &'static str,
    /// The release that it came with, and what it did.
    pub what: &'static str,
    /// Whether the hash was seen in the source's history. If not, what it did was still read in the
    /// source before and after it.
    pub confirmed: bool,
}

/// Every rule by topic, in the order in which a handshake meets them.
const ALL: &[&[Rule]] = &[
    syn_queue::RULES,
    accept_queue::RULES,
    third_ack::RULES,
    timers::RULES,
    listeners::RULES,
    ports::RULES,
    reading::RULES,
];

/// Every rule, one after another.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    ALL.iter().copied().flatten()
}

/// The rule of that id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id == id)
}

impl Rule {
    /// How kernels differ.
    #[must_use]
    pub fn by_generation(&self) -> Vec<Alike<String>> {
        by_generation(self.differs)
    }

    /// What is commonly said of it and not so.
    pub fn lore(&self) -> impl Iterator<Item = &'static Lore> + use<> {
        let id = self.id;
        lore::ALL.iter().filter(move |lore| lore.rule == id)
    }

    /// Its paragraphs.
    pub fn paragraphs(&self) -> impl Iterator<Item = &'static str> {
        self.text.split('\n')
    }
}

const fn seen(hash: &'static str, what: &'static str) -> Commit {
    Commit { hash, what, confirmed: true }
}

const fn unconfirmed(hash: &'static str, what: &'static str) -> Commit {
    Commit { hash, what, confirmed: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_text_and_a_source() {
        for rule in all() {
            assert!(!rule.title.is_empty() && rule.title.len() <= 78, "{}: title", rule.id);
            assert!(rule.paragraphs().all(|text| text.len() > 40), "{}: text", rule.id);
            assert!(!rule.code.is_empty(), "{}: source", rule.id);
            for alike in rule.by_generation() {
                assert!(!alike.answer.is_empty(), "{} of {}", rule.id, alike.kernels);
            }
            let hash = |c: &Commit| c.hash.len() == 12 && !c.what.is_empty();
            assert!(rule.commits.iter().all(hash), "{}: commits", rule.id);
        }
    }

    #[test]
    fn ids_are_words_with_dashes_and_stand_once() {
        let mut ids: Vec<&str> = all().map(|rule| rule.id).collect();
        assert!(ids.iter().all(|id| id.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn differences_come_from_the_semantics() {
        let rule = find("backlog-width").expect("a rule");
        let kernels: Vec<String> =
            rule.by_generation().into_iter().map(|alike| alike.kernels).collect();
        assert_eq!(
            kernels,
            ["2.6.32 … 3.10.4, RHEL 6", "3.10.65 … 4.0, RHEL 7", "4.1 and later, RHEL 8"]
        );
    }
}
