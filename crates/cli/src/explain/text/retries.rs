//! Timetables.

use halfopen_model::words::{moments, span};

use super::pages;
use super::sheet::{Sheet, setting};
use crate::explain::entries::{DeferEntry, KernelsServer, Origin, RetriesEntry, SourceEntry};

/// Writes the answer.
pub(super) fn write(sheet: &mut Sheet, retries: &RetriesEntry) {
    let settings: Vec<String> = retries.settings.iter().map(setting).collect();
    sheet.kernel(&retries.kernel, &settings);
    client(sheet, retries);
    server(sheet, retries);
    if let Some(defer) = &retries.defer_accept {
        deferred(sheet, defer, &retries.rules);
    }
    sheet.blank();
    sheet.field("slack", &retries.slack);
    pages::lore(sheet, &retries.lore);
    let given = retries.settings.iter().any(|setting| setting.from == Origin::Given);
    let numbers =
        if given { ", with the given numbers or their defaults" } else { ", with their defaults" };
    sheet.more(&retries.rules, numbers);
}

fn client(sheet: &mut Sheet, retries: &RetriesEntry) {
    let client = &retries.client;
    let end = format!("connect() fails with ETIMEDOUT after {}", span(client.fails_after_ms));
    sheet.heading("CLIENT", &end);
    sheet.field("SYN at", &format!("{} s", moments(&client.syn_sent_ms)));
    sheet.field(
        "sooner",
        if client.user_timeout_counts {
            "by TCP_USER_TIMEOUT, or the program's own time-out"
        } else {
            "by the program's own time-out; TCP_USER_TIMEOUT does not count before 4.15"
        },
    );
    sheet.field("counters", &retries.client_counters);
    sheet.source(&retries.rules, &["syn-retries"]);
    let rows = retries.client_kernels.iter().map(|row| {
        let sent = moments(&row.syn_sent_ms);
        let doubt = if row.confirmed { "" } else { " (derived, UNCONFIRMED)" };
        let end = span(row.fails_after_ms);
        format!("{}: SYN at {sent} s, fails after {end}{doubt}", row.kernels)
    });
    sheet.list("kernels", rows);
}

fn server(sheet: &mut Sheet, retries: &RetriesEntry) {
    let server = &retries.server;
    let end = format!("forgets the request after {}, silently", span(server.forgotten_after_ms));
    sheet.heading("SERVER", &end);
    sheet.field("SYN-ACK at", &format!("{} s", moments(&server.syn_ack_sent_ms)));
    sheet.field("sooner", "in a SYN queue that is more than half full (rule syn-ack-pruning)");
    sheet.field("counters", &retries.server_counters);
    sheet.source(&retries.rules, &["syn-ack-timer"]);
    sheet.list("kernels", retries.server_kernels.iter().map(server_row));
}

fn server_row(row: &KernelsServer) -> String {
    let sent = moments(&row.syn_ack_sent_ms);
    let end = span(row.forgotten_after_ms);
    let defer =
        row.defer_timeouts.map_or_else(String::new, |n| format!(", defers {}", timeouts(n)));
    format!("{}: SYN-ACK at {sent} s, forgotten after {end}{defer}", row.kernels)
}

fn deferred(sheet: &mut Sheet, defer: &DeferEntry, rules: &[SourceEntry]) {
    if defer.timeouts == 0 {
        sheet.heading("TCP_DEFER_ACCEPT", "0 s: off");
        return;
    }
    let count = timeouts(defer.timeouts);
    let back = span(defer.reads_back_ms);
    let becomes = format!("{} s are {count}; getsockopt() gives back {back}", defer.seconds);
    sheet.heading("TCP_DEFER_ACCEPT", &becomes);
    sheet.field("data", "makes the connection at once");
    let taken = span(defer.bare_ack_taken_after_ms);
    sheet.field("bare ACK", &format!("dropped (TCPDeferAcceptDrop) until {taken}, then taken"));
    let sent = moments(&defer.syn_ack_sent_ms);
    sheet.field("SYN-ACK at", &format!("{sent} s, if the bare ACK came"));
    let end = span(defer.forgotten_after_ms);
    sheet.field("forgotten", &format!("after {end}, silently"));
    sheet.source(rules, &["defer-accept"]);
}

fn timeouts(n: u8) -> String {
    if n == 1 { "1 time-out".to_owned() } else { format!("{n} time-outs") }
}
