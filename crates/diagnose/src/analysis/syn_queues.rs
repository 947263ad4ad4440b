//! The SYN queue of each listening endpoint, beside the limits that its kernel puts on it.
//!
//! No dump of the kernel has its length: the requests in SYN_RECV are counted, all sockets of an
//! endpoint together, since a request does not say which of them it is for. A BPF iterator tells the
//! length of each socket's, as the kernel compares it with the limit.

use halfopen_evidence::{Endpoint, Missing, Netns, Reading, SynRecv, ThirdAcks, Want};
use halfopen_model::{Semantics, SynQueue, SynQueueFull, last_quarter_threshold};

use crate::{Context, Fact, ListenerView, Subject, Verdicts, words};

/// One endpoint's SYN queue.
#[derive(Clone, Debug)]
pub(crate) struct SynQueueView<'a> {
    /// Its namespace.
    pub(crate) netns: &'a Netns,
    /// The endpoint.
    pub(crate) endpoint: &'a Endpoint,
    /// Its listening sockets.
    pub(crate) sockets: Vec<ListenerView<'a>>,
    /// Its requests at the earlier look, if there was one and the endpoint was there.
    pub(crate) earlier: Option<&'a SynRecv>,
    /// Requests that fit.
    pub(crate) capacity: Reading<Capacity>,
    /// Requests from which on SYNs of unknown peers are dropped; `None` while cookies are on.
    pub(crate) reserve: Reading<Option<u64>>,
    /// Segments dropped at its sockets over the window.
    pub(crate) drops: Reading<u64>,
    /// Its lengths by the kernel's own count.
    pub(crate) counted: Reading<Counted>,
}

/// The SYN queues of an endpoint's sockets by the kernel's own count (`reqsk_queue_len`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Requests of all sockets together.
    pub(crate) requests: u64,
    /// Those of them whose SYN-ACK was not sent again.
    pub(crate) young: u64,
    /// Whether one of the sockets drops the next SYN.
    pub(crate) one_is_full: bool,
}

/// How many requests fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// In all sockets of the endpoint together.
    pub(crate) all: u64,
    /// In the smallest of them.
    pub(crate) least: u64,
}

/// What the requests of a SYN queue look like together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Most are younger than the first retransmission.
    Burst,
    /// Many addresses, none of which answers.
    Flood,
    /// A few addresses that do not answer.
    FewDeafClients,
    /// None of these.
    Unclear,
}

/// The SYN queues of a namespace.
pub(crate) fn of_netns<'a>(context: &Context<'a>, netns: &'a Netns) -> Vec<SynQueueView<'a>> {
    netns
        .endpoints
        .get()
        .into_iter()
        .flatten()
        .map(|endpoint| SynQueueView::new(context, netns, endpoint))
        .collect()
}

/// The SYN queues of every namespace.
pub(crate) fn all<'a>(context: &Context<'a>) -> impl Iterator<Item = SynQueueView<'a>> {
    context.endpoints().map(|(netns, endpoint)| SynQueueView::new(context, netns, endpoint))
}

impl<'a> SynQueueView<'a> {
    pub(crate) fn new(context: &Context<'a>, netns: &'a Netns, endpoint: &'a Endpoint) -> Self {
        let sockets = context.sockets_of(netns, endpoint).to_vec();
        let earlier = context
            .interval()
            .and_then(|interval| interval.earlier_endpoint(netns.id, endpoint.key))
            .map(|endpoint| &endpoint.syn_recv);
        let drops = sockets.iter().fold(Reading::Known(0), |sum: Reading<u64>, view| {
            sum.zip(view.drops(context)).map(|(sum, drops)| sum.saturating_add(u64::from(drops)))
        });
        Self {
            netns,
            endpoint,
            earlier,
            capacity: capacity(context.semantics(), netns, endpoint),
            reserve: reserve(netns),
            counted: counted(context.semantics(), netns, endpoint),
            drops,
            sockets,
        }
    }

    /// Requests at the latest look.
    pub(crate) fn now(&self) -> u64 {
        u64::from(self.endpoint.syn_recv.count)
    }

    /// The most requests at either look.
    pub(crate) fn most(&self) -> u64 {
        self.now().max(self.earlier.map_or(0, |earlier| u64::from(earlier.count)))
    }

    /// Whether it is full at every look. An empty queue never counts as full, although kernels
    /// before 6.13 have room for no request at all behind a backlog of 0.
    pub(crate) fn is_full(&self) -> Reading<bool> {
        let earlier = self.earlier.map(|earlier| u64::from(earlier.count));
        let least = earlier.unwrap_or(u64::MAX).min(self.now());
        self.capacity.as_ref().map(|capacity| least >= capacity.all.max(1))
    }

    /// Whether one of its sockets may have been full at some look.
    pub(crate) fn may_have_been_full(&self) -> bool {
        self.capacity.value().is_some_and(|capacity| self.most() >= capacity.least)
    }

    /// Whether it reached the last quarter of `tcp_max_syn_backlog` while it was not full, with
    /// cookies off.
    pub(crate) fn reached_the_reserve(&self) -> bool {
        let reserve = self.reserve.value().flatten();
        // The rule looks at one socket's requests; those of a group are spread over its sockets.
        let sockets = self.sockets.len().max(1) as u64;
        reserve.is_some_and(|reserve| self.most() >= reserve.saturating_mul(sockets))
            && !self.may_have_been_full()
    }

    /// Whether the accept queue of one of its sockets was full at the latest look.
    pub(crate) fn accept_queue_is_full(&self) -> bool {
        self.sockets.iter().any(|view| view.listener.accept_queue().is_full())
    }

    /// Whether the accept queue of one of its sockets was full at any look or sample.
    pub(crate) fn accept_queue_was_full(&self) -> bool {
        self.sockets.iter().any(ListenerView::was_full)
    }

    /// The socket that the trouble is at, if only one can be meant, else the endpoint.
    pub(crate) fn subject(&self, context: &Context<'a>) -> Subject {
        let dropped = |view: &&ListenerView<'a>| view.drops(context).value().unwrap_or(0) > 0;
        let mut dropping = self.sockets.iter().filter(dropped);
        match (self.sockets.as_slice(), dropping.next(), dropping.next()) {
            ([only], _, _) | (_, Some(only), None) => only.subject(),
            _ => Subject::endpoint(self.netns, self.endpoint),
        }
    }

    /// Asks for the processes behind its sockets, so that the finding can name them.
    pub(crate) fn want_holders(&self, verdicts: &mut Verdicts) {
        let unknown = self
            .sockets
            .iter()
            .filter(|view| view.listener.holders.missing() == Some(&Missing::NotCollected));
        let inodes: Vec<_> = unknown.map(|view| view.listener.inode).collect();
        if !inodes.is_empty() {
            verdicts.want(Want::Holders { netns: self.netns.id, inodes });
        }
    }

    /// Asks for its lengths and whether the third ACKs of its requests have arrived, unless it was done.
    pub(crate) fn want_inside(&self, verdicts: &mut Verdicts) {
        if self.endpoint.syn_recv.third_acks.is_not_collected() {
            verdicts.want(Want::SynQueues { netns: self.netns.id, endpoint: self.endpoint.key });
        }
    }

    /// What has become of the third ACKs of its requests, if the kernel said so.
    pub(crate) fn third_acks(&self) -> Option<ThirdAcks> {
        self.endpoint.syn_recv.third_acks.value()
    }

    /// What its requests look like together.
    pub(crate) fn pattern(&self) -> Pattern {
        let requests = &self.endpoint.syn_recv;
        let many = requests.sources_capped
            || (requests.count >= 64 && requests.sources >= requests.count / 4 * 3);
        if requests.retransmitted(1) < requests.count.div_ceil(2) {
            Pattern::Burst
        } else if many {
            Pattern::Flood
        } else if requests.sources <= 16 && requests.sources <= requests.count / 2 {
            Pattern::FewDeafClients
        } else {
            Pattern::Unclear
        }
    }

    /// That the accept queues of its sockets have room, as figures.
    pub(crate) fn accept_queue_facts(&self) -> impl Iterator<Item = Fact> {
        self.sockets.iter().map(|view| {
            let (longest, limit) = (view.longest(), view.listener.limit);
            let text = format!("accept queue at most {longest}/{limit}");
            Fact::number("accept-queue-longest", longest, text)
        })
    }

    /// Its length, its limit and where its requests come from, as figures.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let requests = &self.endpoint.syn_recv;
        let text = format!("{} in SYN_RECV", words::count(requests.count, "request"));
        let mut facts = vec![Fact::number("syn-queue-length", requests.count, text)];
        if let Some(capacity) = self.capacity.value() {
            let text = format!("the SYN queue holds {}", capacity.all);
            facts.push(Fact::number("syn-queue-capacity", capacity.all, text));
        }
        if let Some(Counted { requests, young, .. }) = self.counted.value() {
            let text = format!("{requests} by the kernel's own count, {young} of them young");
            facts.push(Fact::number("syn-queue-counted", requests, text));
        }
        if requests.count > 0 {
            let sources = requests.sources;
            let more = if requests.sources_capped { "more than " } else { "" };
            let addresses = if sources == 1 { "address" } else { "addresses" };
            facts.push(Fact::number(
                "syn-queue-sources",
                sources,
                format!("requests from {more}{sources} {addresses}"),
            ));
            facts.push(retransmit_fact(requests));
        }
        facts
    }
}

impl Pattern {
    /// What the pattern speaks for, as a sentence.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Burst => {
                "most requests are less than a second old, which speaks for a burst of real clients"
            }
            Self::Flood => {
                "the requests come from many addresses and none of them answers, which speaks for a SYN flood with forged addresses"
            }
            Self::FewDeafClients => {
                "the requests come from a few addresses that do not answer: their way back is broken or filtered, or they scan"
            }
            Self::Unclear => {
                "whether the requests are a flood or clients that cannot answer does not show"
            }
        }
    }
}

/// What has become of the third ACKs, as far as the kernel said so.
pub(crate) fn third_ack_facts(acks: ThirdAcks) -> Vec<Fact> {
    let kinds = [
        (acks.dropped, "third-acks-dropped", "whose ACK arrived and was dropped"),
        (
            acks.deferred,
            "third-acks-deferred",
            "whose ACK arrived: TCP_DEFER_ACCEPT waits for data",
        ),
        (
            acks.overdue,
            "third-acks-overdue",
            "whose ACK has not arrived although the SYN-ACK was sent again",
        ),
    ];
    let some = kinds.into_iter().filter(|&(count, ..)| count > 0);
    some.map(|(count, name, what)| {
        Fact::number(name, count, format!("{} {what}", words::count(count, "request")))
    })
    .collect()
}

/// How often the SYN-ACKs were sent again.
pub(crate) fn retransmit_fact(requests: &SynRecv) -> Fact {
    let repeated = requests.retransmitted(1);
    let parts: Vec<String> = requests
        .by_retransmits
        .iter()
        .enumerate()
        .skip(1)
        .filter(|&(_, &count)| count > 0)
        .map(|(times, count)| {
            let or_more = if times + 1 == requests.by_retransmits.len() { " or more" } else { "" };
            format!("{count} × {times}{or_more}")
        })
        .collect();
    let text = if parts.is_empty() {
        "no SYN-ACK was sent again".to_owned()
    } else {
        format!(
            "SYN-ACK sent again for {repeated} of {} (requests × times: {})",
            requests.count,
            parts.join(", ")
        )
    };
    Fact::number("syn-ack-retransmitted", repeated, text)
}

/// What each limit comes to on this kernel.
fn capacity_of(
    semantics: &Reading<Semantics>,
    netns: &Netns,
) -> Reading<impl Fn(u32) -> u64 + use<>> {
    let sysctl = netns.sysctls.tcp_max_syn_backlog.clone();
    let needs_sysctl =
        semantics.get().is_some_and(|s| s.queues.syn_queue_full == SynQueueFull::PowerOfTwoTable);
    let max_syn_backlog = if needs_sysctl { sysctl } else { Reading::Known(0) };
    semantics.clone().zip(max_syn_backlog).map(|(semantics, max_syn_backlog)| {
        move |limit| SynQueue::of_listener(limit, max_syn_backlog, &semantics).capacity
    })
}

fn capacity(
    semantics: &Reading<Semantics>,
    netns: &Netns,
    endpoint: &Endpoint,
) -> Reading<Capacity> {
    capacity_of(semantics, netns).map(|of| {
        let each = || endpoint.listeners.iter().map(|listener| of(listener.limit));
        Capacity { all: each().fold(0, u64::saturating_add), least: each().min().unwrap_or(0) }
    })
}

fn counted(semantics: &Reading<Semantics>, netns: &Netns, endpoint: &Endpoint) -> Reading<Counted> {
    let none = Counted { requests: 0, young: 0, one_is_full: false };
    let begin = capacity_of(semantics, netns).map(|of| (of, none));
    let sum = endpoint.listeners.iter().fold(begin, |sum, listener| {
        sum.zip(listener.syn_queue.clone()).map(|((of, sum), queue)| {
            let length = u64::from(queue.length);
            let is_full = length >= of(listener.limit).max(1);
            let counted = Counted {
                requests: sum.requests + length,
                young: sum.young + u64::from(queue.young),
                one_is_full: sum.one_is_full || is_full,
            };
            (of, counted)
        })
    });
    sum.map(|(_, counted)| counted)
}

fn reserve(netns: &Netns) -> Reading<Option<u64>> {
    let sysctls = &netns.sysctls;
    match sysctls.tcp_syncookies.clone() {
        Reading::Known(0) => sysctls
            .tcp_max_syn_backlog
            .clone()
            .map(|max| Some(u64::from(last_quarter_threshold(max)))),
        Reading::Known(_) => Reading::Known(None),
        Reading::Missing(why) => why.into(),
    }
}
