//! The raw peers beyond the wire: who they are, and what each is told to send.
//!
//! A segment that is written to the wire has been treated by the kernel, and its answer is on the
//! way back, when the write returns: a TUN device hands it to the stack in the caller's context
//! (tun_get_user). So what peers send is treated in the order of sending. The answers are read by
//! another thread; an echo that is sent behind a step's segments says when it has read them all.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halfopen_scenario::{PeerSegment, Peers, PeersSend};

use crate::packet::{Segment, checksum, ipv4};
use crate::peer::Peer;
use crate::wire::{Link, NEAR};

/// The first address of the peers, in the last byte; the last is 250.
const FIRST_PEER: u8 = 16;

/// An address to which there is no route: the network of the documentation (RFC 5737).
const UNROUTABLE: [u8; 4] = [198, 51, 100, 7];

/// Where the echoes come from.
const ECHO: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

/// The protocol number of ICMP, and its messages.
const ICMP: u8 = 1;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// How long an echo may take.
const ECHO_TIME: Duration = Duration::from_secs(5);

/// All raw peers of a wire.
pub(crate) struct RawPeers {
    link: Arc<Link>,
    state: Mutex<State>,
    /// Something has come for a peer.
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// How many addresses have been used, each once.
    used: u32,
    peers: BTreeMap<SocketAddrV4, Peer>,
    groups: BTreeMap<String, Vec<SocketAddrV4>>,
    echoes_sent: u32,
    echoes_back: u32,
}

impl RawPeers {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link, state: Mutex::default(), arrived: Condvar::new() }
    }

    /// A new group, each of whose peers sends a SYN.
    pub(crate) fn start(&self, group: &Peers) -> Result<()> {
        for _ in 0..group.count {
            // Held over the write: the answer finds the peer.
            let mut state = self.state();
            let peer = Peer::new(state.address(false), server(group.port), group.answers);
            self.link.send(&peer.syn())?;
            state.peers.insert(peer.address(), peer);
            state.groups.entry(group.name.clone()).or_default().push(peer.address());
        }
        self.settle()
    }

    /// A peer that sends a SYN and is never heard of again.
    pub(crate) fn send_syn(&self, port: u16, unroutable: bool) -> io::Result<()> {
        let address = self.state().address(unroutable);
        self.link.send(&Peer::new(address, server(port), false).syn())
    }

    /// The first peers of a group send.
    pub(crate) fn send(&self, step: &PeersSend) -> Result<()> {
        let state = self.state();
        let group = state.groups.get(&step.peers);
        let group = group.with_context(|| format!("there are no peers \"{}\"", step.peers))?;
        let members: Vec<_> = group.iter().copied().take(usize::try_from(step.count)?).collect();
        let all_answered = |state: &State| {
            members.iter().all(|peer| state.peers.get(peer).is_some_and(Peer::has_syn_ack))
        };
        let waits = step.segment != PeerSegment::Syn;
        let missing = |state: &mut State| waits && !all_answered(state);
        let (mut state, _) = self
            .arrived
            .wait_timeout_while(state, PeersSend::PATIENCE, missing)
            .unwrap_or_else(PoisonError::into_inner);
        for address in members {
            let peer = state.peers.get_mut(&address);
            if let Some(segment) = peer.and_then(|peer| peer.send(step.segment)) {
                self.link.send(&segment)?;
            }
        }
        drop(state);
        self.settle()
    }

    /// A packet went out over the wire; true if it was for this side of it.
    pub(crate) fn receive(&self, packet: &[u8]) -> bool {
        let Some(&[_, _, _, host]) = packet.get(16..20) else { return false };
        if packet[0] >> 4 != 4 {
            return false;
        }
        if host == ECHO.octets()[3] {
            self.echo_is_back(packet);
            return true;
        }
        if host < FIRST_PEER {
            return false;
        }
        if let Some(segment) = Segment::of(packet) {
            let answer =
                self.state().peers.get_mut(&segment.to).and_then(|peer| peer.receive(&segment));
            if let Some(answer) = answer {
                // What the kernel does not take is lost, as on any wire.
                let _ = self.link.send(&answer);
            }
            self.arrived.notify_all();
        }
        true
    }

    /// Waits until everything that is on the way to the peers has been received.
    fn settle(&self) -> Result<()> {
        let mut state = self.state();
        state.echoes_sent += 1;
        let awaited = state.echoes_sent;
        self.link.write(&echo_request(awaited))?;
        let missing = |state: &mut State| state.echoes_back < awaited;
        let waited = self.arrived.wait_timeout_while(state, ECHO_TIME, missing);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            bail!("the wire does not answer");
        }
        Ok(())
    }

    fn echo_is_back(&self, packet: &[u8]) {
        let icmp = packet.get(20..).unwrap_or_default();
        if packet.get(9) != Some(&ICMP) || icmp.first() != Some(&ECHO_REPLY) {
            return;
        }
        if let Some(Ok(number)) = icmp.get(4..8).map(<[u8; 4]>::try_from) {
            let mut state = self.state();
            state.echoes_back = state.echoes_back.max(u32::from_be_bytes(number));
            drop(state);
            self.arrived.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// An address that was not used before.
    fn address(&mut self, unroutable: bool) -> SocketAddrV4 {
        let number = self.used;
        self.used += 1;
        // Both steps keep the pair of address and port apart for longer than a lab lives.
        let host = FIRST_PEER.saturating_add(number.to_le_bytes()[0] % (250 - FIRST_PEER));
        let source = if unroutable { UNROUTABLE } else { [10, 77, 0, host] };
        let port = u16::try_from(20_000 + number % 40_000).unwrap_or(20_000);
        SocketAddrV4::new(source.into(), port)
    }
}

fn server(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(NEAR, port)
}

/// Identifier and sequence number of the message are the halves of its number here.
fn echo_request(number: u32) -> Vec<u8> {
    let [a, b, c, d] = number.to_be_bytes();
    let mut icmp = [ECHO_REQUEST, 0, 0, 0, a, b, c, d];
    let sum = checksum(&icmp, 0);
    icmp[2..4].copy_from_slice(&sum);
    ipv4(ICMP, ECHO.octets(), NEAR.octets(), &icmp)
}
