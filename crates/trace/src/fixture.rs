//! Events, for tests.

use std::net::SocketAddr;

use halfopen_evidence::{Inode, KernelEvent, KernelEventKind, NetnsId};
use halfopen_model::AcceptQueue;
use halfopen_model::tcp::Flags;

use crate::{Assembled, Assembler, Told};

pub(crate) const CLIENT: &str = "10.0.0.2:40000";
pub(crate) const SERVER: &str = "10.0.0.1:80";

pub(crate) const FULL: AcceptQueue = AcceptQueue { depth: 6, limit: 5 };
pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const SYN_ACK: Flags = Flags::from_byte(0x12);
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const DATA: Flags = Flags::from_byte(0x18);

/// An event of the connection at its client's end, so many milliseconds after the first second.
pub(crate) fn at_client(ms: u64, what: KernelEventKind) -> KernelEvent {
    event(ms, CLIENT, SERVER, Some(7), what)
}

/// An event at its server's end, where the listening socket is known.
pub(crate) fn at_server(ms: u64, what: KernelEventKind) -> KernelEvent {
    event(ms, SERVER, CLIENT, Some(5), what)
}

/// An event at its server's end before any process has it open.
pub(crate) fn at_child(ms: u64, what: KernelEventKind) -> KernelEvent {
    event(ms, SERVER, CLIENT, None, what)
}

fn event(
    ms: u64,
    local: &str,
    peer: &str,
    inode: Option<u64>,
    what: KernelEventKind,
) -> KernelEvent {
    KernelEvent {
        at_ns: (1000 + ms) * 1_000_000,
        netns: NetnsId(1),
        local: address(local),
        peer: address(peer),
        inode: inode.map(Inode),
        process: None,
        what,
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What is told of the connection.
pub(crate) fn told(awaits_accept: bool, events: &[KernelEvent]) -> Vec<Told> {
    let mut assembler = Assembler::new(0, awaits_accept);
    let mut told = Vec::new();
    for event in events {
        assembler.on_event(event, &mut |it| told.push(it));
    }
    assembler.finish(&mut |it| told.push(it));
    told
}

/// The handshakes among what is told.
pub(crate) fn handshakes(awaits_accept: bool, events: &[KernelEvent]) -> Vec<Assembled> {
    told(awaits_accept, events)
        .into_iter()
        .map(|told| match told {
            Told::Handshake(handshake) => *handshake,
            other => panic!("no handshake: {other:?}"),
        })
        .collect()
}
