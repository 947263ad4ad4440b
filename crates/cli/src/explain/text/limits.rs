//! Room of the two queues.

use super::pages;
use super::sheet::{Sheet, setting};
use crate::explain::entries::{Cut, KernelsLimits, LimitsEntry, QueuesEntry};

/// Writes the answer.
pub(super) fn write(sheet: &mut Sheet, limits: &LimitsEntry) {
    let one = match limits.listeners.as_slice() {
        [one] if one.backlog.is_some() => Some(one),
        _ => None,
    };
    let asked = one.and_then(|queues| queues.backlog);
    let mut settings: Vec<String> = limits.settings.iter().map(setting).collect();
    settings.extend(asked.map(|backlog| format!("backlog {backlog} (given)")));
    sheet.kernel(&limits.kernel, &settings);
    if let Some(queues) = one {
        let room = format!("room for {}, limit {}", queues.room, queues.limit);
        sheet.heading("ACCEPT QUEUE", &room);
        sheet.field("limit", &cut_in_words(queues, limits));
    } else {
        by_backlog(sheet, limits);
        sheet.heading("ACCEPT QUEUE", "room for its limit and one more");
    }
    sheet.field("full", "when more than the limit wait; at the limit it is not full yet");
    sheet.field("then", &format!("a SYN is {}", limits.accept_queue_full_then));
    sheet.source(&limits.rules, &["somaxconn", "syn-on-full-accept-queue"]);
    let room = one.map_or_else(
        || "requests that wait for the third ACK".to_owned(),
        |queues| format!("room for {}", queues.syn_queue),
    );
    sheet.heading("SYN QUEUE", &room);
    sheet.field("room", &limits.syn_queue_rule);
    sheet.field("then", &limits.syn_queue_full_then);
    sheet.field("reserve", &reserve_in_words(limits, one.map(|queues| queues.syn_queue)));
    sheet.source(&limits.rules, &["syn-queue-full", "last-quarter"]);
    let numbers = match asked {
        Some(_) => "room of both queues, with the same numbers".to_owned(),
        None => format!("room of both queues, for a backlog of {} or more", somaxconn(limits)),
    };
    sheet.heading("ALL KERNELS", &numbers);
    let header = ["", "accept", "SYN", "a full accept queue drops a SYN"];
    sheet.table(&header, &limits.kernels.iter().map(row_of).collect::<Vec<_>>());
    sheet.blank();
    pages::lore(sheet, &limits.lore);
    sheet.more(&limits.rules, "");
}

fn by_backlog(sheet: &mut Sheet, limits: &LimitsEntry) {
    sheet.heading("BY BACKLOG", "the number that a program gives to listen()");
    let rows: Vec<Vec<String>> = limits
        .listeners
        .iter()
        .map(|queues| {
            vec![
                backlog_label(queues, limits),
                queues.room.to_string(),
                queues.syn_queue.to_string(),
                match queues.cut {
                    None => String::new(),
                    Some(Cut::Somaxconn) => "cut by somaxconn".to_owned(),
                    Some(Cut::SixteenBits) => format!("cut to 16 bits: limit {}", queues.limit),
                },
            ]
        })
        .collect();
    sheet.table(&["backlog", "accept queue", "SYN queue", ""], &rows);
}

/// What became of the backlog.
fn cut_in_words(queues: &QueuesEntry, limits: &LimitsEntry) -> String {
    let somaxconn = somaxconn(limits);
    match queues.cut {
        None => format!("the backlog; somaxconn {somaxconn} does not cut it"),
        Some(Cut::Somaxconn) => format!("the backlog is cut by somaxconn to {somaxconn}"),
        Some(Cut::SixteenBits) => format!(
            "the backlog passes somaxconn {somaxconn}, but this kernel keeps 16 bits of it: {}",
            queues.limit
        ),
    }
}

fn backlog_label(queues: &QueuesEntry, limits: &LimitsEntry) -> String {
    match queues.backlog {
        Some(backlog) => backlog.to_string(),
        None => format!("{} or more, or negative", somaxconn(limits)),
    }
}

fn somaxconn(limits: &LimitsEntry) -> i64 {
    let setting = limits.settings.iter().find(|setting| setting.name == "somaxconn");
    setting.map_or(0, |setting| setting.value)
}

/// When the last quarter of tcp_max_syn_backlog matters.
fn reserve_in_words(limits: &LimitsEntry, capacity: Option<u64>) -> String {
    let from = limits.reserve_from_requests;
    let reached = capacity.is_none_or(|capacity| u64::from(from) < capacity);
    let rule = format!("from {from} requests on, SYNs of unknown peers are dropped");
    match (limits.reserve_is_on, reached) {
        (true, true) if limits.reserve_is_counted => {
            format!("{rule} (ListenDrops alone counts them)")
        }
        (true, true) => format!("{rule}; counted nowhere"),
        (true, false) => format!("{rule}; this queue is full before"),
        (false, true) => format!("off, for tcp_syncookies is on; with 0, {rule}"),
        (false, false) => {
            "off, for tcp_syncookies is on; with 0 this queue is full before".to_owned()
        }
    }
}

fn row_of(row: &KernelsLimits) -> Vec<String> {
    let kernels = row.kernels.clone();
    match &row.queues {
        None => vec![kernels, format!("refuses {}", row.refused.as_deref().unwrap_or_default())],
        Some(queues) => vec![
            kernels,
            queues.room.to_string(),
            queues.syn_queue.to_string(),
            row.drops_syns.clone().unwrap_or_default(),
        ],
    }
}
