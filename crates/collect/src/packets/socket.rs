//! A packet socket in the calling thread's network namespace. It stays there wherever the thread goes.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::block::{Packets, RingPacket};
use super::filter::PacketFilter;
use super::sys::{self, Ring, RingSize};

/// Smaller ones make more system calls, larger ones must be found in one piece by the kernel.
const BLOCK_BYTES: u32 = 128 << 10;

/// Blocks that a ring has: at the most 16 MiB of memory.
const BLOCKS: std::ops::RangeInclusive<usize> = 4..=128;

/// See the module's text.
#[derive(Debug)]
pub(super) struct PacketSocket {
    ring: Ring,
    socket: OwnedFd,
}

impl PacketSocket {
    /// Opens one with a ring of about so many bytes.
    pub(super) fn open(filter: &PacketFilter, ring_bytes: usize) -> io::Result<Self> {
        // Without a protocol it receives nothing until it is bound: no packet comes past the filter.
        let socket =
            socket_with(AddressFamily::PACKET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        sys::attach_filter(&socket, &filter.program())?;
        let blocks = (ring_bytes / BLOCK_BYTES as usize).clamp(*BLOCKS.start(), *BLOCKS.end());
        let blocks = u32::try_from(blocks).map_err(io::Error::other)?;
        let ring = sys::make_ring(&socket, RingSize { block_bytes: BLOCK_BYTES, blocks })?;
        sys::bind(&socket)?;
        Ok(Self { ring, socket })
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.socket
    }

    pub(super) fn set_filter(&self, filter: &PacketFilter) -> io::Result<()> {
        sys::attach_filter(&self.socket, &filter.program())
    }

    pub(super) fn take_block(&mut self, each: &mut impl FnMut(RingPacket<'_>)) -> bool {
        self.ring.take(|block| Packets::of(block).for_each(each)).is_some()
    }

    pub(super) fn dropped(&self) -> u32 {
        // What cannot be counted was not dropped as far as anybody knows: the socket has a ring, and
        // then the kernel always answers.
        sys::dropped(&self.socket).unwrap_or(0)
    }
}
