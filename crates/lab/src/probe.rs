//! What the running kernel does where kernels differ, measured: distributions backport, so a version
//! is only a guess.
//!
//! The measurement is a scenario (`probe.toml`) whose account is read here. Port 8081 gets more SYNs
//! than any SYN queue of its limit holds; ports 8082 and 8083 get a SYN when their accept queues are
//! full, without and with young requests; at port 8084 a peer waits for its SYN-ACK to come again.

use std::net::SocketAddr;

use halfopen_scenario::{Account, Picture, Scenario, ScenarioError, TcpStateName};
use serde::Serialize;
use thiserror::Error;

use crate::packet::flag;
use crate::{IpVersion, Lab, LabError, SkipReason, can_run};

const SCENARIO: &str = include_str!("probe.toml");

const SYN_QUEUE: u16 = 8081;
const FULL: u16 = 8082;
const FULL_WITH_YOUNG: u16 = 8083;
const SCHEDULE: u16 = 8084;

/// The limit of all listeners, as the scenario sets it.
const LIMIT: u32 = 8;

/// The SYNs that are sent to [`SYN_QUEUE`].
const SYNS: u32 = 20;

/// The young requests at [`FULL_WITH_YOUNG`].
const YOUNG: u32 = 2;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The limit of the listener whose SYN queue was filled, without cookies.
    pub syn_queue_limit: u32,
    /// How many SYNs were sent to it.
    pub syns_sent: u32,
    /// How many became requests.
    pub syns_admitted: u32,
    /// What came of a SYN that met a full accept queue and no request.
    pub on_full_accept_queue: SynFate,
    /// What came of a SYN that met a full accept queue and two young requests.
    pub on_full_accept_queue_with_young: SynFate,
    /// After how many milliseconds a SYN-ACK that was not answered came again; none if not within
    /// 1.3 seconds.
    pub syn_ack_again_ms: Option<u64>,
}

/// What came of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SynFate {
    /// A SYN-ACK.
    Answered,
    /// Nothing.
    Dropped,
}

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The scenario of the measurement is broken.
    #[error("the scenario of the measurement is broken")]
    Scenario(#[from] ScenarioError),
    /// The machine does not offer what it takes.
    #[error("it takes a network namespace of its own and a TUN device in it: {0}")]
    Unavailable(SkipReason),
    /// The measurement did not come about.
    #[error("the measurement did not come about")]
    Lab(#[from] LabError),
    /// The kernel did what none that was read does.
    #[error("port {port} has {found} {what}, which is not understood")]
    NotUnderstood {
        /// The port of the measurement.
        port: u16,
        /// What was counted.
        what: &'static str,
        /// How many there were.
        found: u32,
    },
}

/// Measures, in about two seconds, in a network namespace of its own.
///
/// # Errors
///
/// Why that is not possible here.
pub fn probe() -> Result<Probe, ProbeError> {
    let scenario = Scenario::parse("probe", SCENARIO)?;
    can_run(&scenario, IpVersion::V4).map_err(ProbeError::Unavailable)?;
    Probe::of(&Lab::account(&scenario, IpVersion::V4, None, |_| {})?)
}

impl Probe {
    fn of(account: &Account) -> Result<Self, ProbeError> {
        let picture = account.looks.first().cloned().unwrap_or_default();
        Ok(Self {
            syn_queue_limit: LIMIT,
            syns_sent: SYNS,
            syns_admitted: requests(&picture, SYN_QUEUE),
            on_full_accept_queue: fate(&picture, FULL, 0)?,
            on_full_accept_queue_with_young: fate(&picture, FULL_WITH_YOUNG, YOUNG)?,
            syn_ack_again_ms: syn_ack_again(account),
        })
    }
}

/// What came of the SYN that came last to a port with so many requests.
fn fate(picture: &Picture, port: u16, before: u32) -> Result<SynFate, ProbeError> {
    let depth = picture.listeners.iter().find(|listener| listener.port == port);
    let depth = depth.map_or(0, |listener| listener.depth);
    if depth != LIMIT + 1 {
        let what = "connections in its accept queue";
        return Err(ProbeError::NotUnderstood { port, what, found: depth });
    }
    match requests(picture, port).checked_sub(before) {
        Some(0) => Ok(SynFate::Dropped),
        Some(1) => Ok(SynFate::Answered),
        _ => {
            let found = requests(picture, port);
            Err(ProbeError::NotUnderstood { port, what: "requests", found })
        }
    }
}

fn requests(picture: &Picture, port: u16) -> u32 {
    let of_port = picture.sockets.iter().filter(|socket| socket.port == port);
    of_port.filter(|socket| socket.state == TcpStateName::SynRecv).map(|socket| socket.count).sum()
}

fn syn_ack_again(account: &Account) -> Option<u64> {
    let is_syn_ack =
        |from: SocketAddr, flags: u8| from.port() == SCHEDULE && flags == flag::SYN | flag::ACK;
    let mut times =
        account.segments.iter().filter(|s| is_syn_ack(s.from, s.flags)).map(|s| s.at_us);
    let (first, second) = (times.next()?, times.next()?);
    Some(second.saturating_sub(first) / 1000)
}

#[cfg(test)]
mod tests {
    use halfopen_scenario::{Interface, ListenerPicture, SeenSegment, Side, SocketCount};

    use super::*;

    /// An account with so many requests at each port, full accept queues, and SYN-ACKs at these
    /// times.
    fn account(requests: &[(u16, u32)], syn_acks_us: &[u64]) -> Account {
        let listener = |port| ListenerPicture { port, limit: LIMIT, depth: LIMIT + 1 };
        let request = |&(port, count): &(u16, u32)| SocketCount {
            port,
            side: Side::Server,
            state: TcpStateName::SynRecv,
            accepted: None,
            count,
        };
        let segment = |&at_us: &u64| SeenSegment {
            at_us,
            interface: Interface::Wire,
            from: IpVersion::V4.server(SCHEDULE),
            to: SocketAddr::new(IpVersion::V4.on_wire(16), 20_000),
            flags: flag::SYN | flag::ACK,
            seq: 1,
            ack: 2,
            payload: 0,
        };
        let picture = Picture {
            listeners: vec![listener(FULL), listener(FULL_WITH_YOUNG)],
            sockets: requests.iter().map(request).collect(),
            ..Picture::default()
        };
        let segments = syn_acks_us.iter().map(segment).collect();
        Account { looks: vec![picture], segments, segments_omitted: 0 }
    }

    #[test]
    fn old_and_new_rules_are_told_apart() {
        let new = account(&[(SYN_QUEUE, 9), (FULL_WITH_YOUNG, 2)], &[5_000, 1_025_000]);
        let expected = Probe {
            syn_queue_limit: LIMIT,
            syns_sent: SYNS,
            syns_admitted: 9,
            on_full_accept_queue: SynFate::Dropped,
            on_full_accept_queue_with_young: SynFate::Dropped,
            syn_ack_again_ms: Some(1020),
        };
        assert_eq!(Probe::of(&new).expect("a probe"), expected);

        let old = account(&[(SYN_QUEUE, 16), (FULL, 1), (FULL_WITH_YOUNG, 2)], &[5_000]);
        let expected = Probe {
            syns_admitted: 16,
            on_full_accept_queue: SynFate::Answered,
            syn_ack_again_ms: None,
            ..expected
        };
        assert_eq!(Probe::of(&old).expect("a probe"), expected);
    }

    #[test]
    fn what_no_kernel_does_is_not_taken_for_a_measurement() {
        let error = Probe::of(&account(&[(FULL_WITH_YOUNG, 1)], &[])).expect_err("no probe");
        assert_eq!(error.to_string(), "port 8083 has 1 requests, which is not understood");
        let error = Probe::of(&Account::default()).expect_err("no probe");
        let expected = "port 8082 has 0 connections in its accept queue, which is not understood";
        assert_eq!(error.to_string(), expected);
    }
}
