//! The wire: a TUN device whose far side is a thread of the lab host.
//!
//! One namespace has both ends. The device has the address [`NEAR`]; a client connects from there to
//! [`FAR`], and the thread swaps source and destination of each packet and writes it back. So the
//! server, which listens on every address, sees a client at [`FAR`], and the client sees a server
//! there. The TCP checksum stays right, because the sum over both addresses does not depend on their
//! order. On its way the thread drops what the path is to lose.
//!
//! Silent peers live beyond the wire too: they send a SYN and never anything else.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use halfopen_scenario::{Loss, Lost};

use crate::namespace::set_sysctls;
use crate::sys;

/// The address of this host on the wire.
pub(crate) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The address at which the two ends see each other.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The first address of the silent peers, in the last byte; the last is 250.
const FIRST_PEER: u8 = 16;

/// An address to which there is no route: the network of the documentation (RFC 5737).
const UNROUTABLE: [u8; 4] = [198, 51, 100, 7];

const DEVICE: &str = "tun0";

/// A running wire. It ends with the process.
pub(crate) struct Wire {
    tun: Arc<OwnedFd>,
    losses: Arc<Mutex<Vec<Loss>>>,
    /// Silent peers that have been used up.
    peers: Arc<AtomicU32>,
}

/// The silent peers beyond a wire.
pub(crate) struct SilentPeers {
    tun: Arc<OwnedFd>,
    used: Arc<AtomicU32>,
}

impl Wire {
    /// Makes the device and starts its thread.
    pub(crate) fn start() -> Result<Self> {
        let tun = sys::open_tun(DEVICE).context("cannot open /dev/net/tun")?;
        sys::set_address(DEVICE, NEAR).context("cannot give the wire an address")?;
        sys::set_up(DEVICE).context("cannot switch on the wire")?;
        // A namespace takes these from the host; the strict mode would drop what has no way back
        // before the listener sees it (fib_validate_source).
        let no_filter = |scope: &str| (format!("net.ipv4.conf.{scope}.rp_filter"), "0".to_owned());
        set_sysctls(&[no_filter("all"), no_filter(DEVICE)])?;
        let wire = Self { tun: Arc::new(tun), losses: Arc::default(), peers: Arc::default() };
        let (tun, losses) = (Arc::clone(&wire.tun), Arc::clone(&wire.losses));
        thread::Builder::new().name("wire".to_owned()).spawn(move || carry(&tun, &losses))?;
        Ok(wire)
    }

    /// From now on loses these packets as well.
    pub(crate) fn lose(&self, loss: Loss) {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).push(loss);
    }

    /// The silent peers, each of which is used once.
    pub(crate) fn silent_peers(&self) -> SilentPeers {
        SilentPeers { tun: Arc::clone(&self.tun), used: Arc::clone(&self.peers) }
    }
}

impl SilentPeers {
    /// Lets the next one send a SYN to a port.
    pub(crate) fn send_syn(&self, port: u16, unroutable: bool) -> io::Result<()> {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        // Both steps keep the pair of address and port apart for longer than a lab lives.
        let host = FIRST_PEER.saturating_add(number.to_le_bytes()[0] % (250 - FIRST_PEER));
        let source = if unroutable { UNROUTABLE } else { [10, 77, 0, host] };
        let source_port = u16::try_from(20_000 + number % 40_000).unwrap_or(20_000);
        rustix::io::write(&self.tun, &syn(source, source_port, NEAR.octets(), port))?;
        Ok(())
    }
}

fn carry(tun: &OwnedFd, losses: &Mutex<Vec<Loss>>) {
    let mut buffer = [0; 65_536];
    while let Ok(length) = rustix::io::read(tun, &mut buffer) {
        let Some(packet) = buffer.get_mut(..length) else { return };
        let Some(segment) = Segment::of(packet) else { continue };
        let lost = losses.lock().unwrap_or_else(PoisonError::into_inner);
        if segment.to_silent_peer || lost.iter().any(|loss| segment.is_lost(*loss)) {
            continue;
        }
        drop(lost);
        let (source, destination) = (packet[12..16].to_owned(), packet[16..20].to_owned());
        packet[12..16].copy_from_slice(&destination);
        packet[16..20].copy_from_slice(&source);
        // A packet that the kernel does not take is a packet lost, as on any wire.
        let _ = rustix::io::write(tun, packet);
    }
}

/// What the wire needs to know of a TCP segment.
struct Segment {
    source_port: u16,
    destination_port: u16,
    syn: bool,
    ack: bool,
    to_silent_peer: bool,
}

impl Segment {
    /// None for what is not TCP over IPv4.
    fn of(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        if first >> 4 != 4 || *packet.get(9)? != 6 {
            return None;
        }
        let tcp = packet.get(usize::from(first & 0x0f) * 4..)?;
        let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
        let flags = *tcp.get(13)?;
        Some(Self {
            source_port: port(0)?,
            destination_port: port(2)?,
            syn: flags & 0x02 != 0,
            ack: flags & 0x10 != 0,
            to_silent_peer: *packet.get(19)? >= FIRST_PEER,
        })
    }

    fn is_lost(&self, loss: Loss) -> bool {
        match loss.lost {
            Lost::Syns => self.syn && !self.ack && self.destination_port == loss.port,
            Lost::SynAcks => self.syn && self.ack && self.source_port == loss.port,
            Lost::ThirdAcks => !self.syn && self.destination_port == loss.port,
        }
    }
}

/// A SYN with the option MSS 1460, as an IPv4 packet.
fn syn(source: [u8; 4], source_port: u16, destination: [u8; 4], port: u16) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend_from_slice(&source);
    ip.extend_from_slice(&destination);
    let ip_sum = checksum(&ip, 0);
    ip[10..12].copy_from_slice(&ip_sum);

    let mut tcp = Vec::with_capacity(24);
    tcp.extend_from_slice(&source_port.to_be_bytes());
    tcp.extend_from_slice(&port.to_be_bytes());
    tcp.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]); // sequence number, no acknowledgement
    tcp.extend_from_slice(&[6 << 4, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]); // 6 words, SYN, window 64240
    tcp.extend_from_slice(&[2, 4, 0x05, 0xb4]);
    // The pseudo-header: both addresses, the protocol and the length of the segment.
    let addresses = word_sum(&source) + word_sum(&destination);
    let tcp_sum = checksum(&tcp, addresses + 6 + 24);
    tcp[16..18].copy_from_slice(&tcp_sum);
    ip.extend_from_slice(&tcp);
    ip
}

fn word_sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum()
}

/// The Internet checksum (RFC 1071) of an even number of bytes, on top of a sum.
fn checksum(bytes: &[u8], on_top_of: u32) -> [u8; 2] {
    let mut sum = on_top_of + word_sum(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums_to_zero(bytes: &[u8], on_top_of: u32) -> bool {
        checksum(bytes, on_top_of) == [0, 0]
    }

    #[test]
    fn a_silent_syn_has_right_checksums_also_with_its_addresses_swapped() {
        let (from, to) = ([10, 77, 0, 16], [10, 77, 0, 1]);
        let packet = syn(from, 20_000, to, 8080);
        assert_eq!(packet.len(), 44);
        assert!(sums_to_zero(&packet[..20], 0));
        assert!(sums_to_zero(&packet[20..], word_sum(&from) + word_sum(&to) + 6 + 24));
    }

    #[test]
    fn a_path_loses_what_it_was_told_and_nothing_else() {
        let packet = syn([10, 77, 0, 1], 20_000, [10, 77, 0, 2], 8080);
        let segment = Segment::of(&packet).expect("a segment");
        let lost = |lost, port| segment.is_lost(Loss { lost, port });
        assert!(lost(Lost::Syns, 8080));
        assert!(!lost(Lost::Syns, 8081));
        assert!(!lost(Lost::SynAcks, 8080));
        assert!(!lost(Lost::ThirdAcks, 8080));
    }

    #[test]
    fn a_packet_cut_anywhere_is_no_segment_or_a_whole_one() {
        let packet = syn([10, 77, 0, 16], 20_000, [10, 77, 0, 1], 8080);
        for length in 0..34 {
            assert!(Segment::of(&packet[..length]).is_none(), "{length} bytes");
        }
    }
}
