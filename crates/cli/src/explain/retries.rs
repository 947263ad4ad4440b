//! `halfopen explain retries`: when SYN and SYN-ACK are sent again, and when either side gives up.

use halfopen_model::retries::SynRetries;
use halfopen_model::{
    Semantics, SynAckRetries, SynAckTimer, SynGiveUp, Sysctls, by_generation, rules,
};

use super::entries::{
    ClientEntry, DeferEntry, KernelsClient, KernelsServer, Origin, RetriesEntry, ServerEntry,
    SettingEntry,
};
use super::host::Host;
use super::pages;
use crate::args::RetriesArgs;

/// The rules behind the timetables.
const RULES: &[&str] =
    &["syn-retries", "syn-ack-timer", "syn-ack-pruning", "defer-accept", "timer-slack"];

const LINEAR: &str = "tcp_syn_linear_timeouts";

/// The timetables that follow from kernel and settings.
pub(super) fn retries(arguments: &RetriesArgs, mut host: Host<'_>) -> Result<RetriesEntry, String> {
    host.set("tcp_syn_retries", arguments.syn_retries, |s| s.syn_retries.into())?;
    if arguments.linear.is_some() || host.semantics.client.syn_linear_timeouts_default > 0 {
        host.set(LINEAR, arguments.linear, |s| s.syn_linear_timeouts.into())?;
    }
    host.set("tcp_synack_retries", arguments.synack_retries, |s| s.synack_retries.into())?;
    let Host { mut kernel, version, semantics, sysctls, settings, .. } = host;
    let doubts = version.doubts().into_iter().filter(|doubt| !doubt.queues_only);
    kernel.doubts = doubts.map(|doubt| doubt.text.to_owned()).collect();
    let defer = arguments.defer_accept;
    Ok(RetriesEntry {
        client: client(&sysctls, &semantics),
        server: server(&sysctls, &semantics),
        defer_accept: defer.map(|seconds| deferred(seconds, &sysctls, &semantics)),
        slack: slack(&semantics),
        lore: pages::lore_of(RULES),
        client_counters: client_counters(&semantics),
        server_counters: server_counters(&semantics),
        rules: RULES
            .iter()
            .filter(|&&id| id != "defer-accept" || defer.is_some())
            .filter_map(|id| rules::find(id))
            .map(pages::source)
            .collect(),
        client_kernels: client_kernels(&settings),
        server_kernels: server_kernels(defer, &settings),
        kernel,
        settings,
    })
}

fn slack(semantics: &Semantics) -> String {
    let polled = match semantics.timers.syn_ack_timer {
        SynAckTimer::Polled => "; SYN-ACKs, polled every 200 ms here, still later",
        SynAckTimer::PerRequest => "",
    };
    format!(
        "timers fire up to 2.5 % late, the long ones most: on 6.18, 131 s were measured as 134.2 \
         and 63 as 64.6{polled}"
    )
}

fn client_counters(semantics: &Semantics) -> String {
    let again = sent_again(semantics);
    format!(
        "TCPTimeouts per time-out, {again} per SYN sent again; at the end AttemptFails and \
         TCPAbortOnTimeout"
    )
}

fn server_counters(semantics: &Semantics) -> String {
    let again = sent_again(semantics);
    if semantics.counting.syn_ack_timeouts_are_counted {
        format!(
            "TCPTimeouts per time-out, {again} per SYN-ACK sent again; the end moves no other, and \
             sends no RST"
        )
    } else {
        format!("{again} per SYN-ACK sent again; the end moves none, and sends no RST")
    }
}

/// The counters of a SYN or SYN-ACK that is sent again.
const fn sent_again(semantics: &Semantics) -> &'static str {
    match semantics.counting.syn_retransmissions_are_counted {
        true => "TCPSynRetrans and RetransSegs",
        false => "RetransSegs",
    }
}

fn client(sysctls: &Sysctls, semantics: &Semantics) -> ClientEntry {
    let syn = SynRetries {
        initial_rto_ms: semantics.timers.initial_rto_ms,
        retries: sysctls.syn_retries,
        linear: sysctls.syn_linear_timeouts,
        give_up: semantics.client.syn_give_up,
    };
    ClientEntry {
        syn_sent_ms: syn.sent_ms(),
        fails_after_ms: syn.gives_up_after_ms(),
        user_timeout_counts: semantics.client.user_timeout_bounds_syn,
    }
}

fn server(sysctls: &Sysctls, semantics: &Semantics) -> ServerEntry {
    let life = SynAckRetries::new(sysctls.synack_retries, 0, semantics).life(false);
    ServerEntry { syn_ack_sent_ms: life.sent_ms, forgotten_after_ms: life.forgotten_ms }
}

fn deferred(seconds: u32, sysctls: &Sysctls, semantics: &Semantics) -> DeferEntry {
    let retries = SynAckRetries::new(sysctls.synack_retries, seconds, semantics);
    let life = retries.life(true);
    DeferEntry {
        seconds,
        timeouts: retries.defer_accept,
        reads_back_ms: retries.deferred_ms(),
        syn_ack_sent_ms: life.sent_ms,
        bare_ack_taken_after_ms: retries.deferred_ms(),
        forgotten_after_ms: life.forgotten_ms,
    }
}

fn client_kernels(settings: &[SettingEntry]) -> Vec<KernelsClient> {
    let answers = by_generation(|semantics| {
        let client = client(&as_given(settings, semantics), semantics);
        let confirmed = semantics.client.syn_give_up != SynGiveUp::ElapsedOfShortestRto;
        (client.syn_sent_ms, client.fails_after_ms, confirmed)
    });
    answers
        .into_iter()
        .map(|alike| {
            let (syn_sent_ms, fails_after_ms, confirmed) = alike.answer;
            KernelsClient { kernels: alike.kernels, syn_sent_ms, fails_after_ms, confirmed }
        })
        .collect()
}

fn server_kernels(defer: Option<u32>, settings: &[SettingEntry]) -> Vec<KernelsServer> {
    let answers = by_generation(|semantics| {
        let sysctls = as_given(settings, semantics);
        let defer = defer.map(|seconds| {
            SynAckRetries::new(sysctls.synack_retries, seconds, semantics).defer_accept
        });
        (server(&sysctls, semantics), defer)
    });
    answers
        .into_iter()
        .map(|alike| {
            let (server, defer_timeouts) = alike.answer;
            KernelsServer {
                kernels: alike.kernels,
                syn_ack_sent_ms: server.syn_ack_sent_ms,
                forgotten_after_ms: server.forgotten_after_ms,
                defer_timeouts,
            }
        })
        .collect()
}

/// The defaults of a kernel, and what was given. What a kernel does not have, it does without.
fn as_given(settings: &[SettingEntry], semantics: &Semantics) -> Sysctls {
    let mut sysctls = Sysctls::defaults(semantics);
    for setting in settings.iter().filter(|setting| setting.from == Origin::Given) {
        // Refused where it does not exist; every other value is in all kernels' range.
        let _ = sysctls.set(&setting.name, &setting.value.to_string(), semantics);
    }
    sysctls
}
