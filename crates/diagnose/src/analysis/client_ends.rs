//! What the clients of half-open requests believe, where their ends of the connections are on this
//! host too, and which requests have been there for how long.

use std::net::SocketAddr;

use halfopen_evidence::{Missing, RequestSample, Want};
use halfopen_model::TcpState;

use crate::analysis::syn_queues::SynQueueView;
use crate::{Fact, Verdicts, words};

/// The requests of one endpoint, by their clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientEnds {
    /// The client is connected, and the SYN-ACK was sent again all the same.
    pub(crate) connected: u32,
    /// The client is connected, the request was there at both looks, and its SYN-ACK was not sent
    /// again: what TCP_DEFER_ACCEPT looks like, unless the accept queue is full.
    pub(crate) connected_unrepeated: u32,
    /// The client still waits for an answer to its SYN, and the SYN-ACK was sent again.
    pub(crate) waiting: u32,
    /// Requests whose SYN-ACK was sent again between the looks.
    pub(crate) repeated_in_window: u32,
    /// Repeated requests of local clients that were there at both looks.
    pub(crate) seen_twice: u32,
    /// A client of the kind that there is more of.
    pub(crate) example: Option<SocketAddr>,
}

/// Sorts the requests that were kept as examples.
///
/// A request counts only if the third ACK is overdue: its SYN-ACK was sent again, or it was there at
/// both looks. On one host the ACK of a sound handshake takes microseconds.
pub(crate) fn of(queue: &SynQueueView<'_>) -> ClientEnds {
    let mut ends = ClientEnds::default();
    let (mut connected, mut waiting) = (None, None);
    for request in &queue.endpoint.syn_recv.sample {
        let before = earlier(queue, request);
        ends.repeated_in_window +=
            u32::from(before.is_some_and(|before| before.retransmits < request.retransmits));
        let repeated = request.retransmits > 0;
        match request.client.value() {
            Some(client) if is_connected(client) && repeated => {
                connected.get_or_insert(request.peer);
                ends.connected += 1;
            }
            Some(client) if is_connected(client) && before.is_some() => {
                connected.get_or_insert(request.peer);
                ends.connected_unrepeated += 1;
            }
            Some(TcpState::SynSent) if repeated => {
                waiting.get_or_insert(request.peer);
                ends.waiting += 1;
            }
            _ => continue,
        }
        ends.seen_twice += u32::from(repeated && before.is_some());
    }
    ends.example = connected.or(waiting);
    ends
}

/// Asks for the clients' ends of an endpoint's requests, unless it was done.
pub(crate) fn want(queue: &SynQueueView<'_>, verdicts: &mut Verdicts) {
    let sample = &queue.endpoint.syn_recv.sample;
    if sample.iter().any(|request| request.client.missing() == Some(&Missing::NotCollected)) {
        verdicts.want(Want::ClientEnds { netns: queue.netns.id, endpoint: queue.endpoint.key });
    }
}

impl ClientEnds {
    /// Clients whose end is on this host.
    pub(crate) const fn local(&self) -> u32 {
        self.connected + self.connected_unrepeated + self.waiting
    }

    /// The figures that were found.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let example =
            self.example.map_or_else(String::new, |example| format!(", for example {example}"));
        let mut facts = Vec::new();
        let connected = self.connected + self.connected_unrepeated;
        if connected > 0 {
            let clients = words::count(connected, "client");
            let text =
                format!("{clients} on this host connected while the server is half open{example}");
            facts.push(Fact::number("clients-established", connected, text));
        }
        if self.waiting > 0 {
            let clients = words::count(self.waiting, "client");
            let example = if connected > 0 { String::new() } else { example };
            let text = format!("{clients} on this host still in SYN_SENT{example}");
            facts.push(Fact::number("clients-syn-sent", self.waiting, text));
        }
        if self.repeated_in_window > 0 {
            let requests = words::count(self.repeated_in_window, "request");
            let text = format!("SYN-ACK sent again between the looks for {requests}");
            facts.push(Fact::number("syn-ack-repeated", self.repeated_in_window, text));
        }
        facts
    }
}

/// Whether a client in this state has taken the handshake for complete.
const fn is_connected(client: TcpState) -> bool {
    match client {
        TcpState::Established
        | TcpState::FinWait1
        | TcpState::FinWait2
        | TcpState::CloseWait
        | TcpState::LastAck
        | TcpState::Closing => true,
        TcpState::SynSent
        | TcpState::SynRecv
        | TcpState::NewSynRecv
        | TcpState::TimeWait
        | TcpState::Close
        | TcpState::Listen => false,
    }
}

fn earlier<'a>(queue: &SynQueueView<'a>, request: &RequestSample) -> Option<&'a RequestSample> {
    queue
        .earlier?
        .sample
        .iter()
        .find(|before| (before.peer, before.local) == (request.peer, request.local))
}
