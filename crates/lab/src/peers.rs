//! The raw peers beyond the wire: who they are, and what each is told to send.
//!
//! A segment that is written to the wire has been treated by the kernel, and its answer is on the
//! way back, when the write returns: a TUN device hands it to the stack in the caller's context
//! (tun_get_user). So what peers send is treated in the order of sending. The answers are read by
//! another thread; an echo that is sent behind a step's segments says when it has read them all.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halfopen_scenario::{PeerSegment, Peers, PeersSend};

use crate::icmp;
use crate::ip::Packet;
use crate::ip_version::IpVersion;
use crate::packet::Segment;
use crate::peer::Peer;
use crate::wire::Link;

/// The first host that is a peer; the last is 250.
const FIRST_PEER: u8 = 16;

/// Where the echoes come from.
const ECHO: u8 = 3;

/// How long an echo may take.
const ECHO_TIME: Duration = Duration::from_secs(5);

/// All raw peers of a wire.
pub(crate) struct RawPeers {
    link: Arc<Link>,
    ip: IpVersion,
    state: Mutex<State>,
    /// Something has come for a peer.
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// How many addresses have been used, each once.
    used: u32,
    peers: BTreeMap<SocketAddr, Peer>,
    groups: BTreeMap<String, Vec<SocketAddr>>,
    echoes_sent: u32,
    echoes_back: u32,
}

impl RawPeers {
    pub(crate) fn new(link: Arc<Link>, ip: IpVersion) -> Self {
        Self { link, ip, state: Mutex::default(), arrived: Condvar::new() }
    }

    /// A new group, each of whose peers sends a SYN.
    pub(crate) fn start(&self, group: &Peers) -> Result<()> {
        for _ in 0..group.count {
            // Held over the write: the answer finds the peer.
            let mut state = self.state();
            let address = state.address(self.ip, false);
            let peer = Peer::new(address, self.ip.server(group.port), group.answers);
            self.link.send(&peer.syn())?;
            state.peers.insert(peer.address(), peer);
            state.groups.entry(group.name.clone()).or_default().push(peer.address());
        }
        self.settle()
    }

    /// A peer that sends a SYN and is never heard of again.
    pub(crate) fn send_syn(&self, port: u16, unroutable: bool) -> io::Result<()> {
        let address = self.state().address(self.ip, unroutable);
        self.link.send(&Peer::new(address, self.ip.server(port), false).syn())
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
        let Some(read) = Packet::of(packet) else { return false };
        match self.ip.host(read.to) {
            Some(ECHO) => {
                self.echo_is_back(&read);
                return true;
            }
            Some(FIRST_PEER..) => {}
            _ => return false,
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
        let echo = icmp::echo_request(awaited, self.ip.on_wire(ECHO), self.ip.near());
        self.link.write(&echo)?;
        let missing = |state: &mut State| state.echoes_back < awaited;
        let waited = self.arrived.wait_timeout_while(state, ECHO_TIME, missing);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            bail!("the wire does not answer");
        }
        Ok(())
    }

    fn echo_is_back(&self, packet: &Packet<'_>) {
        if let Some(number) = icmp::echo_reply(packet) {
            let mut state = self.state();
            state.echoes_back = state.echoes_back.max(number);
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
    fn address(&mut self, ip: IpVersion, unroutable: bool) -> SocketAddr {
        let number = self.used;
        self.used += 1;
        // Both steps keep the pair of address and port apart for longer than a lab lives.
        let host = FIRST_PEER.saturating_add(number.to_le_bytes()[0] % (250 - FIRST_PEER));
        let source = if unroutable { ip.unroutable() } else { ip.on_wire(host) };
        let port = u16::try_from(20_000 + number % 40_000).unwrap_or(20_000);
        SocketAddr::new(source, port)
    }
}
