//! The wire: a TUN device whose far side is a thread of the lab host.
//!
//! One namespace has both ends. The device has the address [`IpVersion::near`]; a client connects from
//! there to [`IpVersion::far`], and the thread swaps source and destination of each packet and writes it
//! back. So the server, which listens on every address, sees a client at the far one, and the client
//! sees a server there. On its way the thread drops what the path is to lose, and answers what it is to
//! reject, as a firewall on the way does.
//!
//! Raw peers live beyond the wire too (module `peers`); what goes to them does not come back.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use halfopen_scenario::{Loss, Lost, Reject};

use crate::interface;
use crate::ip::swap_ends;
use crate::ip_version::IpVersion;
use crate::packet::{Segment, flag};
use crate::peers::RawPeers;
use crate::{icmp, sys};

const DEVICE: &str = "tun0";

/// A running wire. It ends with the process.
pub(crate) struct Wire {
    link: Arc<Link>,
    peers: Arc<RawPeers>,
}

/// The device, and what is lost on the way to it and from it.
pub(crate) struct Link {
    tun: OwnedFd,
    losses: Mutex<Vec<Loss>>,
}

impl Wire {
    /// Makes the device and starts its thread.
    pub(crate) fn start(ip: IpVersion) -> Result<Self> {
        let tun = sys::open_tun(DEVICE).context("cannot open /dev/net/tun")?;
        interface::set_up(DEVICE, ip).context("cannot switch on the wire")?;
        let link = Arc::new(Link { tun, losses: Mutex::default() });
        let wire = Self { peers: Arc::new(RawPeers::new(Arc::clone(&link), ip)), link };
        let (link, peers) = (Arc::clone(&wire.link), Arc::clone(&wire.peers));
        thread::Builder::new().name("wire".to_owned()).spawn(move || carry(&link, &peers))?;
        Ok(wire)
    }

    /// From now on loses these packets as well.
    pub(crate) fn lose(&self, loss: Loss) {
        self.link.losses.lock().unwrap_or_else(PoisonError::into_inner).push(loss);
    }

    /// The raw peers beyond it.
    pub(crate) fn peers(&self) -> &Arc<RawPeers> {
        &self.peers
    }
}

impl Link {
    /// Sends a segment to this host, unless it is lost.
    pub(crate) fn send(&self, segment: &Segment) -> io::Result<()> {
        match self.loss_of(segment) {
            Some(_) => Ok(()),
            None => self.write(&segment.to_packet()),
        }
    }

    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.tun, packet)?;
        Ok(())
    }

    fn loss_of(&self, segment: &Segment) -> Option<Loss> {
        let losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        losses.iter().copied().find(|loss| is_lost(segment, *loss))
    }
}

fn carry(link: &Link, peers: &RawPeers) {
    let mut buffer = [0; 65_536];
    while let Ok(length) = rustix::io::read(&link.tun, &mut buffer) {
        let Some(packet) = buffer.get_mut(..length) else { return };
        let segment = Segment::of(packet);
        if let Some(segment) = segment
            && let Some(loss) = link.loss_of(&segment)
        {
            let answer = loss.rejected.and_then(|with| rejection(packet, &segment, with));
            // A packet that the kernel does not take is a packet lost, as on any wire.
            answer.map(|answer| link.write(&answer));
            continue;
        }
        if peers.receive(packet) || segment.is_none() {
            continue;
        }
        swap_ends(packet);
        // A packet that the kernel does not take is a packet lost, as on any wire.
        let _ = link.write(packet);
    }
}

/// What a firewall answers to a packet that it rejects (net/ipv4/netfilter/nf_reject_ipv4.c
/// `nf_send_reset`, `nf_send_unreach`, and net/ipv6/netfilter/nf_reject_ipv6.c), in the name of whom
/// the packet is for.
fn rejection(packet: &[u8], segment: &Segment, with: Reject) -> Option<Vec<u8>> {
    match with {
        Reject::TcpReset => segment.reset().map(Segment::to_packet),
        other => icmp::rejection(packet, other),
    }
}

fn is_lost(segment: &Segment, loss: Loss) -> bool {
    let (syn, ack) = (segment.has(flag::SYN), segment.has(flag::ACK));
    match loss.lost {
        Lost::Syns => syn && !ack && segment.to.port() == loss.port,
        Lost::SynAcks => syn && ack && segment.from.port() == loss.port,
        Lost::ThirdAcks => !syn && segment.to.port() == loss.port,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_path_loses_what_it_was_told_and_nothing_else() {
        let segment = Segment {
            from: SocketAddr::new(IpVersion::V4.near(), 20_000),
            to: SocketAddr::new(IpVersion::V4.far(), 8080),
            flags: flag::SYN,
            seq: 1,
            ack: 0,
            payload: 0,
        };
        let lost = |lost, port| is_lost(&segment, Loss { lost, port, rejected: None });
        assert!(lost(Lost::Syns, 8080));
        assert!(!lost(Lost::Syns, 8081));
        assert!(!lost(Lost::SynAcks, 8080));
        assert!(!lost(Lost::ThirdAcks, 8080));
    }
}
