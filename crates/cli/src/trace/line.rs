//! A traced handshake as a line, in columns that stay where they are.

use std::net::SocketAddr;

use halfopen_collect::WatchedNetns;
use halfopen_diagnose::report::layout::{Ink, Page, Span};
use halfopen_diagnose::words::{harmless, process_name};
use halfopen_evidence::{
    Dropped, DroppedSegment, Outcome, Phase, ProcessName, Reading, Reset, Traced, TracedEnd,
};
use halfopen_model::AcceptQueue;
use halfopen_trace::{FailedCall, Listens};

use super::backend::About;
use super::calls;
use super::drops::Rise;
use crate::handshakes::words::{clock, counted, span};
use crate::handshakes::{class, notes, tables};

/// Lines of handshakes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    width: usize,
    colour: bool,
}

impl Lines {
    /// For so many columns.
    pub(super) const fn new(width: usize, colour: bool) -> Self {
        Self { width, colour }
    }

    /// What watches, what cannot be seen so, and the header of the columns.
    pub(super) fn header(self, namespaces: usize, about: &About) -> String {
        let mut page = Page::new(self.width, self.colour);
        let places = counted(namespaces as u64, "network namespace");
        let not_seen = harmless(&about.not_seen.join(", "));
        let watching = format!("{} in {places}; not seen so: {not_seen}", about.name);
        page.paragraph(2, &[Span::new(Ink::Dim, watching)]);
        for note in &about.notes {
            page.paragraph(2, &[Span::new(Ink::Warning, harmless(note))]);
        }
        let columns = format!("{:12} {:17} {:>8}  client > server", "UTC", "outcome", "connect");
        page.put(Ink::Dim, &columns);
        page.blank();
        page.finish()
    }

    /// A handshake.
    pub(super) fn line(self, traced: &Traced) -> String {
        let handshake = &traced.handshake;
        let mut page = Page::new(self.width, self.colour);
        let class = class::of(handshake.outcome);
        page.put(Ink::Plain, &format!("{} ", clock(handshake.began_ns)));
        page.put(tables::ink(class::gravity(handshake.outcome)), &format!("{:17}", class.short));
        let connect = handshake.stages.connect_ns.map_or_else(|| "-".to_owned(), span);
        page.put(
            Ink::Plain,
            &format!(" {connect:>8}  {} > {}", handshake.client, handshake.server),
        );
        page.put(Ink::Subject, &processes(traced));
        let notes = notes(traced);
        if !notes.is_empty() {
            page.put(Ink::Plain, &format!("  {}", harmless(&notes.join(" · "))));
        }
        page.blank();
        page.finish()
    }

    /// A call that failed before anything was sent.
    pub(super) fn failed_call(self, netns: &WatchedNetns, failed: &FailedCall) -> String {
        let lacks_port = calls::lacks_port(failed.call, failed.errno);
        let ink = if lacks_port { Ink::Failure } else { Ink::Warning };
        let note = format!("{} failed with {}", calls::name(failed.call), calls::reason(failed));
        self.event(&Event {
            at_ns: failed.at_ns,
            what: Span::new(ink, calls::label(failed)),
            server: failed.address,
            process: failed.caller.as_ref().map(name),
            note: Span::new(Ink::Plain, note),
            netns,
        })
    }

    /// A socket that listens.
    pub(super) fn listens(self, netns: &WatchedNetns, listens: &Listens) -> String {
        let Listens { backlog, limit, .. } = listens;
        let ink = if listens.is_cut() { Ink::Warning } else { Ink::Plain };
        let cut = if listens.is_cut() { ", cut by net.core.somaxconn" } else { "" };
        let note = format!("listen() with backlog {backlog}, limit {limit}{cut}");
        self.event(&Event {
            at_ns: listens.at_ns,
            what: Span::new(ink, "listens"),
            server: listens.local,
            process: listens.caller.as_ref().map(|it| format!("> {}", name(it))),
            note: Span::new(ink, note),
            netns,
        })
    }

    /// Segments that a listener has dropped.
    pub(super) fn drops(self, rise: &Rise, at_ns: i64) -> String {
        let AcceptQueue { depth, limit } = rise.listener.queue;
        let full = if rise.listener.queue.is_full() { ", full" } else { "" };
        let segments = counted(rise.count.into(), "segment");
        let note = format!("{segments} dropped · accept queue {depth}/{limit}{full}");
        let holder = rise.process.get().and_then(Option::as_ref);
        self.event(&Event {
            at_ns,
            what: Span::new(Ink::Failure, "listener drops"),
            server: rise.listener.key.local,
            process: holder.map(|it| format!("> {}", name(it))),
            note: Span::new(Ink::Plain, note),
            netns: &rise.netns,
        })
    }

    /// What is no handshake, in the columns of one.
    fn event(self, event: &Event<'_>) -> String {
        let mut page = Page::new(self.width, self.colour);
        page.put(Ink::Plain, &format!("{} ", clock(event.at_ns)));
        page.put(event.what.ink, &format!("{:17}", event.what.text));
        page.put(Ink::Plain, &format!(" {:>8}  > {}", "-", event.server));
        if let Some(process) = &event.process {
            page.put(Ink::Subject, &format!("  {process}"));
        }
        page.put(event.note.ink, &format!("  {}", event.note.text));
        if !event.netns.is_own {
            page.put(Ink::Plain, &format!(" · {}", harmless(&event.netns.label)));
        }
        page.blank();
        page.finish()
    }

    /// Lines that were left out.
    pub(super) fn suppressed(self, count: u64) -> String {
        let mut page = Page::new(self.width, self.colour);
        let lines = counted(count, "handshake");
        page.put(Ink::Warning, &format!("{:12} {lines} not shown: too many a second", ""));
        page.blank();
        page.finish()
    }
}

/// Something that is no handshake.
struct Event<'a> {
    at_ns: i64,
    what: Span,
    server: SocketAddr,
    process: Option<String>,
    note: Span,
    netns: &'a WatchedNetns,
}

/// `web[812]`.
fn name(process: &ProcessName) -> String {
    process_name(&process.comm, process.pid)
}

/// `curl[77] > web[812]`, as far as known.
fn processes(traced: &Traced) -> String {
    let of = |process: &Reading<Option<ProcessName>>| process.get()?.as_ref().map(name);
    match (of(&traced.client_process), of(&traced.server_process)) {
        (None, None) => String::new(),
        (Some(client), None) => format!("  {client}"),
        (None, Some(server)) => format!("  > {server}"),
        (Some(client), Some(server)) => format!("  {client} > {server}"),
    }
}

/// What does not fit into columns.
fn notes(traced: &Traced) -> Vec<String> {
    let handshake = &traced.handshake;
    let mut notes: Vec<String> = Vec::new();
    if let (Some(syn_ack), Some(ack)) = (handshake.stages.syn_ack_ns, handshake.stages.ack_ns) {
        notes.push(format!("SYN-ACK after {}, ACK after {}", span(syn_ack), span(ack)));
    } else if let Some(syn_ack) = handshake.stages.syn_ack_ns {
        notes.push(format!("SYN-ACK after {}", span(syn_ack)));
    }
    notes.extend(notes::of(handshake));
    if let Some(Some(waited)) = traced.accept_queue_ns.get() {
        notes.push(format!("accepted after {}", span(*waited)));
    }
    notes.extend(traced.drops.get().into_iter().flatten().map(dropped));
    notes.extend(traced.reset.get().and_then(Option::as_ref).map(reset));
    if traced.phase == Phase::Open && may_go_on(handshake.outcome) {
        notes.push("so far".to_owned());
    }
    if !traced.is_own_netns {
        notes.push(traced.netns_label.clone());
    }
    if !handshake.scope.is_empty() {
        notes.push(handshake.scope.clone());
    }
    notes
}

/// Whether a handshake that has come so far may still come out otherwise. Of a third ACK that is ignored
/// the notes say so.
const fn may_go_on(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::SynUnanswered | Outcome::ThirdAckMissing | Outcome::Challenged)
}

fn dropped(dropped: &Dropped) -> String {
    let Dropped { what, at, reason, count, .. } = dropped;
    let what = match what {
        DroppedSegment::Syn => "SYN",
        DroppedSegment::SynAck => "SYN-ACK",
        DroppedSegment::ThirdAck => "third ACK",
        DroppedSegment::Data => "data",
        DroppedSegment::Other => "segment",
    };
    let times = if *count > 1 { format!(", {count} times") } else { String::new() };
    format!("{what} dropped by the {}: {reason}{times}", end(*at))
}

fn reset(Reset { by, reason, cause }: &Reset) -> String {
    match cause {
        Some(cause) => format!("reset by the {}: {cause} (kernel: {reason})", end(*by)),
        None => format!("reset by the {}: {reason}", end(*by)),
    }
}

/// An end in a word.
pub(super) const fn end(end: TracedEnd) -> &'static str {
    match end {
        TracedEnd::Client => "client",
        TracedEnd::Server => "server",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_line_says_when_who_how_and_what_was_sent_again_and_nothing_raw() {
        let lines = Lines::new(100, false);
        let about = About {
            id: "packets",
            name: "packet sockets",
            not_seen: vec!["drops".to_owned(), "resets".to_owned()],
            notes: vec!["blue is not watched: not permitted (needs \u{1b}root)".to_owned()],
        };
        let mut text = lines.header(2, &about);
        text.extend(fixture::some().iter().map(|traced| lines.line(traced)));
        text.push_str(&lines.suppressed(1_234));
        assert!(!text.contains('\u{1b}'), "{text}");
        insta::assert_snapshot!(text);
    }
}
