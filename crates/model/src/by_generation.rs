//! How kernels differ in one question: the answer of every generation, equal ones together.
//!
//! The names are those of [`GENERATIONS`]: releases whose source was read. A release between two of
//! them belongs to either; [`Semantics::of`] says to which.

use crate::{GENERATIONS, Generation, KernelVersion, Semantics, Vendor};

/// Kernels that give the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike<T> {
    /// Their names, such as `2.6.32 … 3.10.4, RHEL 6`.
    pub kernels: String,
    /// What they answer.
    pub answer: T,
}

/// What every generation answers, equal answers together, the oldest kernels first.
pub fn by_generation<T: PartialEq>(answer: impl Fn(&Semantics) -> T) -> Vec<Alike<T>> {
    let mut groups: Vec<(Vec<usize>, T)> = Vec::new();
    for (at, generation) in GENERATIONS.iter().enumerate() {
        let given = answer(&Semantics::of(generation.kernel));
        match groups.iter_mut().find(|(_, other)| *other == given) {
            Some((members, _)) => members.push(at),
            None => groups.push((vec![at], given)),
        }
    }
    // A vendor's kernel stands behind its base, and may follow a rule that came much later.
    groups.sort_by_key(|(members, _)| {
        let kernel_orgs = |&&at: &&usize| !is_vendors(GENERATIONS[at].kernel);
        members.iter().find(kernel_orgs).or(members.first()).copied()
    });
    groups.into_iter().map(|(members, answer)| Alike { kernels: names(&members), answer }).collect()
}

/// `3.10.4 … 4.0, 4.2, RHEL 6, 7`: runs of kernel.org's releases, then the vendors' kernels.
fn names(members: &[usize]) -> String {
    if members.len() == GENERATIONS.len() {
        return "every kernel".to_owned();
    }
    let mut parts = Vec::new();
    let mut run: Option<(&Generation, &Generation)> = None;
    for (at, generation) in GENERATIONS.iter().enumerate() {
        if is_vendors(generation.kernel) {
            continue;
        }
        if members.contains(&at) {
            run = Some(run.map_or((generation, generation), |(first, _)| (first, generation)));
        } else {
            parts.extend(run.take().map(|(first, last)| closed(first, last)));
        }
    }
    parts.extend(run.map(|(first, _)| format!("{} and later", first.name)));
    let mut word = "RHEL ";
    for &member in members {
        if let Vendor::Rhel(release) = GENERATIONS[member].kernel.vendor {
            parts.push(format!("{word}{release}"));
            word = "";
        }
    }
    parts.join(", ")
}

fn closed(first: &Generation, last: &Generation) -> String {
    if first == last { first.name.to_owned() } else { format!("{} … {}", first.name, last.name) }
}

const fn is_vendors(kernel: KernelVersion) -> bool {
    !matches!(kernel.vendor, Vendor::Vanilla)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped<T: PartialEq + Copy>(answer: impl Fn(&Semantics) -> T) -> Vec<(String, T)> {
        by_generation(answer).into_iter().map(|alike| (alike.kernels, alike.answer)).collect()
    }

    #[test]
    fn equal_answers_stand_together_under_the_names_of_their_kernels() {
        assert_eq!(
            grouped(|s| s.timers.initial_rto_ms),
            [("2.6.32 … 3.0".to_owned(), 3000), ("3.1 and later, RHEL 6, 7, 8".to_owned(), 1000)]
        );
        assert_eq!(
            grouped(|s| s.queues.somaxconn_default),
            [("2.6.32 … 4.20, RHEL 6, 7, 8".to_owned(), 128), ("5.4 and later".to_owned(), 4096)]
        );
    }

    #[test]
    fn what_a_stable_branch_took_stands_apart_from_its_base() {
        let names = grouped(|s| s.queues.syn_queue_full).into_iter().map(|(names, _)| names);
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "2.6.32 … 4.2, RHEL 6, 7",
                "4.4 … 5.10, 5.12 … 5.18, 6.5 … 6.11, RHEL 8",
                "5.10.262, 6.1.192, 6.12.117 and later",
            ]
        );
    }

    #[test]
    fn what_does_not_differ_is_said_once() {
        assert_eq!(grouped(|_| 0), [("every kernel".to_owned(), 0)]);
    }
}
