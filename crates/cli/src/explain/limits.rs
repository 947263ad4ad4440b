//! `halfopen explain limits`: what a backlog becomes, on one kernel and on all.

use halfopen_model::{
    BacklogCut, Counter, DropReason, Semantics, SynOnFullAcceptQueue, SynQueue, Sysctls,
    by_generation, counters_of_cookie, effective_backlog, last_quarter_threshold, rules,
};

use super::entries::{Cut, KernelsLimits, LimitsEntry, QueuesEntry, SettingEntry};
use super::host::Host;
use super::pages;
use crate::args::LimitsArgs;

/// Backlogs that programs and libraries use: Java and others 50, old SOMAXCONN 128, nginx and Redis
/// 511, then round numbers, and the largest that 16 bits hold.
const COMMON: &[i32] = &[50, 128, 511, 1024, 4096, 65_535];

/// The rules behind the limits.
const RULES: &[&str] = &[
    "accept-queue-full",
    "somaxconn",
    "backlog-width",
    "syn-queue-full",
    "last-quarter",
    "syn-on-full-accept-queue",
];

/// The limits that follow from kernel, settings and backlog.
pub(super) fn limits(arguments: &LimitsArgs, mut host: Host<'_>) -> Result<LimitsEntry, String> {
    host.set("somaxconn", arguments.somaxconn, |sysctls| sysctls.somaxconn.into())?;
    host.set("tcp_max_syn_backlog", arguments.max_syn_backlog, |s| s.max_syn_backlog.into())?;
    host.set("tcp_syncookies", arguments.syncookies, |sysctls| sysctls.syncookies.into())?;
    let Host { kernel, semantics, sysctls, settings, .. } = host;
    let backlogs = match arguments.backlog {
        Some(backlog) => vec![Some(backlog)],
        None => common(&sysctls),
    };
    let listeners =
        backlogs.into_iter().map(|backlog| queues(backlog, &sysctls, &semantics)).collect();
    Ok(LimitsEntry {
        listeners,
        reserve_from_requests: last_quarter_threshold(sysctls.max_syn_backlog),
        reserve_is_on: sysctls.syncookies == 0,
        reserve_is_counted: semantics.counting.syn_drops_are_counted,
        syn_queue_full_then: syn_queue_full_then(&sysctls, &semantics),
        syn_queue_rule: of_rule("syn-queue-full", &semantics),
        accept_queue_full_then: accept_queue_full_then(&semantics),
        lore: pages::lore_of(RULES),
        rules: RULES.iter().filter_map(|id| rules::find(id)).map(pages::source).collect(),
        kernels: kernels(arguments.backlog, &settings),
        kernel,
        settings,
    })
}

/// Common backlogs below somaxconn, then every other.
fn common(sysctls: &Sysctls) -> Vec<Option<i32>> {
    let below =
        COMMON.iter().filter(|backlog| backlog.cast_unsigned() < sysctls.somaxconn).copied();
    below.map(Some).chain([None]).collect()
}

fn queues(backlog: Option<i32>, sysctls: &Sysctls, semantics: &Semantics) -> QueuesEntry {
    // A negative backlog is the largest of all.
    let effective = effective_backlog(backlog.unwrap_or(-1), sysctls.somaxconn, semantics);
    let syn_queue = SynQueue::of_listener(effective.limit, sysctls.max_syn_backlog, semantics);
    QueuesEntry {
        backlog,
        limit: effective.limit,
        room: u64::from(effective.limit) + 1,
        cut: effective.cut.map(|cut| match cut {
            BacklogCut::Somaxconn => Cut::Somaxconn,
            BacklogCut::SixteenBits => Cut::SixteenBits,
        }),
        syn_queue: syn_queue.capacity,
    }
}

fn syn_queue_full_then(sysctls: &Sysctls, semantics: &Semantics) -> String {
    let counters: Vec<Counter> = match sysctls.syncookies {
        0 => DropReason::SynQueueFull.counters(semantics).collect(),
        _ => counters_of_cookie(semantics).collect(),
    };
    let what = match sysctls.syncookies {
        0 => "a SYN is dropped",
        2 => "every SYN is answered by a cookie, full or not",
        _ => "a SYN is answered by a cookie",
    };
    if counters.is_empty() {
        return format!("{what}; counted nowhere");
    }
    let names: Vec<&str> = counters.into_iter().map(Counter::name).collect();
    format!("{what} ({})", names.join(", "))
}

fn accept_queue_full_then(semantics: &Semantics) -> String {
    of_rule("syn-on-full-accept-queue", semantics)
}

/// What a kernel does by a rule.
fn of_rule(id: &str, semantics: &Semantics) -> String {
    rules::find(id).map_or_else(String::new, |rule| (rule.differs)(semantics))
}

/// The same numbers on every generation.
fn kernels(backlog: Option<i32>, settings: &[SettingEntry]) -> Vec<KernelsLimits> {
    let answers = by_generation(|semantics| {
        let mut sysctls = Sysctls::defaults(semantics);
        for SettingEntry { name, value, .. } in settings {
            if let Err(error) = sysctls.set(name, &value.to_string(), semantics) {
                return (Some(format!("{name} = {value}: {error}")), None, None);
            }
        }
        let queues = queues(backlog, &sysctls, semantics);
        (None, Some(queues), Some(drops_syns(semantics)))
    });
    answers
        .into_iter()
        .map(|alike| {
            let (refused, queues, drops_syns) = alike.answer;
            KernelsLimits { kernels: alike.kernels, refused, queues, drops_syns }
        })
        .collect()
}

/// When a full accept queue drops a SYN, short enough for a table.
fn drops_syns(semantics: &Semantics) -> String {
    let when = match semantics.queues.syn_on_full_accept_queue {
        SynOnFullAcceptQueue::Dropped => "always",
        SynOnFullAcceptQueue::DroppedIfYoungRequests => "from 2 young requests on",
    };
    let counted = semantics.counting.syn_drops_are_counted;
    format!("{when}{}", if counted { "" } else { ", uncounted" })
}
