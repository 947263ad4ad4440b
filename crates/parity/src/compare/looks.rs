//! The pictures of two accounts, look by look.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use halfopen_scenario::{Account, ListenerPicture, Picture, Side, SocketCount, TcpStateName};

use super::{Aspect, Disagreement, counters};

pub(super) fn compare(kernel: &Account, model: &Account) -> Vec<Disagreement> {
    let mut found = Vec::new();
    if kernel.looks.len() != model.looks.len() {
        found.push(Disagreement {
            aspect: Aspect::Listeners,
            place: "the whole scenario".to_owned(),
            kernel: format!("{} looks", kernel.looks.len()),
            model: format!("{} looks", model.looks.len()),
        });
    }
    for (kernel, model) in kernel.looks.iter().zip(&model.looks) {
        let look = match &kernel.name {
            Some(name) => format!("look \"{name}\""),
            None => "the end".to_owned(),
        };
        compare_pictures(&look, kernel, model, &mut found);
    }
    found
}

fn compare_pictures(look: &str, kernel: &Picture, model: &Picture, found: &mut Vec<Disagreement>) {
    let mut differ = |aspect, what: &str, kernel: String, model: String| {
        found.push(Disagreement { aspect, place: format!("{look}, {what}"), kernel, model });
    };
    let (ours, theirs) = (listeners(kernel), listeners(model));
    for port in keys(&ours, &theirs) {
        let (kernel, model) = (ours.get(&port), theirs.get(&port));
        if kernel != model {
            differ(Aspect::Listeners, &format!(":{port}"), queues(kernel), queues(model));
        }
    }
    let (ours, theirs) = (sockets(kernel), sockets(model));
    for kind in keys(&ours, &theirs) {
        let (kernel, model) = (ours.get(&kind).unwrap_or(&0), theirs.get(&kind).unwrap_or(&0));
        if kernel != model {
            let is_request = kind.state == TcpStateName::SynRecv;
            let aspect = if is_request { Aspect::Requests } else { Aspect::Sockets };
            differ(aspect, &kind.to_string(), kernel.to_string(), model.to_string());
        }
    }
    for (name, kernel, model) in counters::differing(&kernel.counters, &model.counters) {
        differ(Aspect::Counters, &name, kernel.to_string(), model.to_string());
    }
}

/// The listeners of each port, in order; a SO_REUSEPORT group has more than one.
fn listeners(picture: &Picture) -> BTreeMap<u16, Vec<ListenerPicture>> {
    let mut by_port: BTreeMap<u16, Vec<ListenerPicture>> = BTreeMap::new();
    for &listener in &picture.listeners {
        by_port.entry(listener.port).or_default().push(listener);
    }
    by_port.values_mut().for_each(|group| group.sort_unstable());
    by_port
}

fn queues(group: Option<&Vec<ListenerPicture>>) -> String {
    let Some(group) = group else { return "no listener".to_owned() };
    let words = group.iter().map(|listener| {
        format!("{} in the accept queue, limit {}", listener.depth, listener.limit)
    });
    words.collect::<Vec<String>>().join("; ")
}

/// Sockets that look the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    port: u16,
    side: Side,
    state: TcpStateName,
    accepted: Option<bool>,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Server => "server's",
            Side::Client => "client's",
        };
        let accepted = match self.accepted {
            Some(true) => ", accepted",
            Some(false) => ", not accepted",
            None => "",
        };
        let state = format!("{:?}", self.state);
        write!(f, ":{} {side} {state}{accepted}", self.port)
    }
}

fn sockets(picture: &Picture) -> BTreeMap<Kind, u32> {
    let mut counts = BTreeMap::new();
    for &SocketCount { port, side, state, accepted, count } in &picture.sockets {
        *counts.entry(Kind { port, side, state, accepted }).or_default() += count;
    }
    counts
}

fn keys<K: Copy + Ord, V>(one: &BTreeMap<K, V>, other: &BTreeMap<K, V>) -> BTreeSet<K> {
    one.keys().chain(other.keys()).copied().collect()
}
