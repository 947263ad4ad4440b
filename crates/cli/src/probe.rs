//! `halfopen lab probe`: how the running kernel fills its queues, which releases do so, and whether
//! its version says the same.

use std::fs;

use anyhow::{Context as _, anyhow};
use halfopen_lab::{Probe, ProbeError, SynFate};
use halfopen_model::{KernelVersion, Semantics, SynOnFullAcceptQueue, SynQueueFull};
use serde::Serialize;

use crate::exit::Exit;
use crate::output;

/// The rules that were measured, in the model's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    syn_queue_full: SynQueueFull,
    syn_on_full_accept_queue: SynOnFullAcceptQueue,
    initial_rto_ms: u32,
}

/// What `lab probe --json` prints.
#[derive(Serialize)]
struct Report {
    release: String,
    measured: Probe,
    behaves_like: &'static str,
    /// Where the version alone would mislead.
    not_as_the_version_says: Vec<&'static str>,
}

/// Measures and prints.
///
/// # Errors
/// If nothing was measured, or the kernel does what no kernel that was read does.
pub(crate) fn probe(json: bool) -> anyhow::Result<Exit> {
    let kernel = |name| fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    let release = kernel("osrelease").context("the kernel's release")?.trim_end().to_owned();
    let build = kernel("version").context("the kernel's build")?;
    let version = release.parse::<KernelVersion>()?.as_built(&build);
    let probe = match halfopen_lab::probe() {
        Ok(probe) => probe,
        Err(error @ ProbeError::Unavailable(_)) => {
            eprintln!("halfopen: this kernel cannot be measured here: {error}");
            return Ok(Exit::CannotTell);
        }
        Err(error) => return Err(error.into()),
    };
    let measured = Measured::of(&probe)
        .with_context(|| format!("no kernel that was read behaves so: {probe:?}"))?;
    let differences = measured.differences(&Semantics::of(version));
    let exit = if differences.is_empty() { Exit::Healthy } else { Exit::Warning };
    let text = if json {
        let report = Report {
            release,
            measured: probe,
            behaves_like: measured.releases(),
            not_as_the_version_says: differences,
        };
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        text(&probe, measured, &release, &differences)
    };
    output::write(&text)?;
    Ok(exit)
}

impl Measured {
    fn of(probe: &Probe) -> anyhow::Result<Self> {
        let limit = probe.syn_queue_limit;
        let syn_queue_full = match probe.syns_admitted {
            admitted if admitted == limit => SynQueueFull::AtLimit,
            admitted if admitted == limit + 1 => SynQueueFull::AboveLimit,
            admitted if admitted == (limit + 1).next_power_of_two() => {
                SynQueueFull::PowerOfTwoTable
            }
            admitted => return Err(anyhow!("{admitted} SYNs were admitted")),
        };
        let fates = (probe.on_full_accept_queue, probe.on_full_accept_queue_with_young);
        let syn_on_full_accept_queue = match fates {
            (SynFate::Dropped, SynFate::Dropped) => SynOnFullAcceptQueue::Dropped,
            (SynFate::Answered, SynFate::Dropped) => SynOnFullAcceptQueue::DroppedIfYoungRequests,
            (_, SynFate::Answered) => {
                return Err(anyhow!("a SYN was answered, with the accept queue full"));
            }
        };
        let initial_rto_ms = if probe.syn_ack_again_ms.is_some() { 1000 } else { 3000 };
        Ok(Self { syn_queue_full, syn_on_full_accept_queue, initial_rto_ms })
    }

    /// The releases that have these rules, of those that were read.
    fn releases(self) -> &'static str {
        use SynOnFullAcceptQueue::{Dropped, DroppedIfYoungRequests};
        use SynQueueFull::{AboveLimit, AtLimit, PowerOfTwoTable};
        match (self.syn_queue_full, self.syn_on_full_accept_queue, self.initial_rto_ms) {
            (AboveLimit, Dropped, 1000) => "6.13 and later (or a stable kernel with 3479c7549fb1)",
            (AtLimit, Dropped, 1000) => "4.10 to 6.12 (or 4.4 to 4.9 with 5ea8ea2cb7f1)",
            (AtLimit, DroppedIfYoungRequests, 1000) => "4.4 to 4.9",
            (PowerOfTwoTable, DroppedIfYoungRequests, 1000) => "3.1 to 4.3, and RHEL 6 and 7",
            (PowerOfTwoTable, Dropped, 1000) => "3.16 or 3.18 with 5ea8ea2cb7f1",
            (PowerOfTwoTable, DroppedIfYoungRequests, 3000) => "2.6.32 to 3.0",
            _ => "no release that was read",
        }
    }

    /// Where these rules are not those of a version, and which change explains it.
    fn differences(self, of_version: &Semantics) -> Vec<&'static str> {
        use SynQueueFull::{AboveLimit, AtLimit};
        let mut differences = Vec::new();
        if self.syn_queue_full != of_version.queues.syn_queue_full {
            differences.push(match (self.syn_queue_full, of_version.queues.syn_queue_full) {
                (AboveLimit, AtLimit) => "the SYN queue holds one more: 3479c7549fb1 is backported",
                (AtLimit, AboveLimit) => "the SYN queue holds one less: 3479c7549fb1 is missing",
                _ => "the SYN queue has another size: see ef547f2ac16b (4.4)",
            });
        }
        if self.syn_on_full_accept_queue != of_version.queues.syn_on_full_accept_queue {
            differences.push(match self.syn_on_full_accept_queue {
                SynOnFullAcceptQueue::Dropped => {
                    "a full accept queue drops every SYN: 5ea8ea2cb7f1 is backported"
                }
                SynOnFullAcceptQueue::DroppedIfYoungRequests => {
                    "a full accept queue still admits SYNs: 5ea8ea2cb7f1 is missing"
                }
            });
        }
        if self.initial_rto_ms != of_version.timers.initial_rto_ms {
            differences.push("SYN-ACKs come again at another time: see 9ad7c049f0f7 (3.1)");
        }
        differences
    }
}

fn text(probe: &Probe, measured: Measured, release: &str, differences: &[&str]) -> String {
    let Probe { syn_queue_limit: limit, syns_sent: sent, syns_admitted: admitted, .. } = *probe;
    let fate = |fate| match fate {
        SynFate::Answered => "answered",
        SynFate::Dropped => "dropped",
    };
    let again = match probe.syn_ack_again_ms {
        Some(ms) => format!("comes again after {ms} ms"),
        None => "does not come again within 1300 ms".to_owned(),
    };
    let mut text = format!(
        "SYN queue           {admitted} of {sent} SYNs admitted, with the limit {limit}\n\
         {INDENT}{}\n\
         full accept queue   a SYN is {}; with two young requests it is {}\n\
         {INDENT}{}\n\
         SYN-ACK             {again}\n\
         {INDENT}{}\n\n\
         behaves like: {}; ",
        syn_queue_words(measured.syn_queue_full),
        fate(probe.on_full_accept_queue),
        fate(probe.on_full_accept_queue_with_young),
        accept_queue_words(measured.syn_on_full_accept_queue),
        schedule_words(measured.initial_rto_ms),
        measured.releases(),
    );
    if differences.is_empty() {
        text.push_str(&format!("its version {release} says the same\n"));
    } else {
        text.push_str(&format!("its version {release} says otherwise:\n"));
        text.extend(differences.iter().map(|difference| format!("  {difference}\n")));
    }
    text
}

/// Where the releases of a measurement stand, under what was seen.
const INDENT: &str = "                    ";

fn syn_queue_words(rule: SynQueueFull) -> &'static str {
    match rule {
        SynQueueFull::PowerOfTwoTable => "full at a power of two: to 4.3",
        SynQueueFull::AtLimit => "full at the limit: 4.4 to 6.12",
        SynQueueFull::AboveLimit => {
            "full above the limit: 6.13 and later, and stable kernels from early 2025"
        }
    }
}

fn accept_queue_words(rule: SynOnFullAcceptQueue) -> &'static str {
    match rule {
        SynOnFullAcceptQueue::DroppedIfYoungRequests => {
            "dropped only if requests are young: to 4.9"
        }
        SynOnFullAcceptQueue::Dropped => {
            "dropped always: 4.10 and later, and late 4.4, 3.18 and 3.16"
        }
    }
}

fn schedule_words(initial_rto_ms: u32) -> &'static str {
    match initial_rto_ms {
        1000 => "first after 1 s: 3.1 and later, and RHEL 6",
        _ => "first after 3 s: to 3.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Probe = Probe {
        syn_queue_limit: 8,
        syns_sent: 20,
        syns_admitted: 9,
        on_full_accept_queue: SynFate::Dropped,
        on_full_accept_queue_with_young: SynFate::Dropped,
        syn_ack_again_ms: Some(1016),
    };

    /// How a kernel of this release is judged that behaves so.
    fn check(probe: Probe, release: &str, like: &str, differences: &[&str]) {
        let measured = Measured::of(&probe).expect("it is understood");
        let version = release.parse().expect("a release");
        assert!(measured.releases().starts_with(like), "{}", measured.releases());
        assert_eq!(measured.differences(&Semantics::of(version)), differences, "{release}");
    }

    #[test]
    fn kernels_that_are_as_their_version_says_differ_in_nothing() {
        check(NEW, "6.18.44", "6.13 and later", &[]);
        check(Probe { syns_admitted: 8, ..NEW }, "6.6.9", "4.10 to 6.12", &[]);
        let old = Probe { syns_admitted: 16, on_full_accept_queue: SynFate::Answered, ..NEW };
        check(old, "3.10.0-1160.el7.x86_64", "3.1 to 4.3", &[]);
        check(Probe { syn_ack_again_ms: None, ..old }, "2.6.32", "2.6.32 to 3.0", &[]);
    }

    #[test]
    fn backports_are_named() {
        let more = "the SYN queue holds one more: 3479c7549fb1 is backported";
        check(NEW, "6.6.80", "6.13 and later", &[more]);
        let drops = "a full accept queue drops every SYN: 5ea8ea2cb7f1 is backported";
        check(Probe { syns_admitted: 8, ..NEW }, "4.4.155", "4.10 to 6.12", &[drops]);
        check(Probe { syns_admitted: 16, ..NEW }, "3.16.60", "3.16 or 3.18", &[drops]);
    }

    #[test]
    fn what_no_kernel_does_is_no_measurement() {
        assert!(Measured::of(&Probe { syns_admitted: 12, ..NEW }).is_err());
        let answered = SynFate::Answered;
        assert!(Measured::of(&Probe { on_full_accept_queue_with_young: answered, ..NEW }).is_err());
    }

    #[test]
    fn it_reads_like_this() {
        let measured = Measured::of(&NEW).expect("it is understood");
        let expected = "\
SYN queue           9 of 20 SYNs admitted, with the limit 8
                    full above the limit: 6.13 and later, and stable kernels from early 2025
full accept queue   a SYN is dropped; with two young requests it is dropped
                    dropped always: 4.10 and later, and late 4.4, 3.18 and 3.16
SYN-ACK             comes again after 1016 ms
                    first after 1 s: 3.1 and later, and RHEL 6

behaves like: 6.13 and later (or a stable kernel with 3479c7549fb1); its version 6.18.44 says the same
";
        assert_eq!(text(&NEW, measured, "6.18.44", &[]), expected);
    }
}
