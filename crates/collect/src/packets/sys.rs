//! The system calls of packet sockets, which rustix does not wrap: all of the crate's `unsafe`.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::block::STATUS_AT;
use super::program::Instruction;

/// A ring of blocks that the kernel fills and this process empties, in memory that both see.
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    block_bytes: usize,
    blocks: usize,
    /// The block that comes next.
    next: usize,
}

// SAFETY: the mapping belongs to the value alone, and is used through `&mut self` only.
unsafe impl Send for Ring {}

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingSize {
    /// A multiple of the page size.
    pub(super) block_bytes: u32,
    pub(super) blocks: u32,
}

/// After so many milliseconds a block is handed over although it is not full.
const RETIRE_MS: u32 = 30;

/// Room for a packet with all its headers, a multiple of TPACKET_ALIGNMENT. Packets in a block lie as
/// close as they can; this bounds their number only.
const FRAME_BYTES: u32 = 256;

/// Lets only those packets through that a program wants. Replaces another program.
pub(super) fn attach_filter(socket: impl AsFd, program: &[Instruction]) -> io::Result<()> {
    const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// Gives a packet socket a ring.
pub(super) fn make_ring(socket: &OwnedFd, size: RingSize) -> io::Result<Ring> {
    let version = libc::tpacket_versions::TPACKET_V3 as c_int;
    set_option(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
    let request = libc::tpacket_req3 {
        tp_block_size: size.block_bytes,
        tp_block_nr: size.blocks,
        tp_frame_size: FRAME_BYTES,
        tp_frame_nr: size.block_bytes / FRAME_BYTES * size.blocks,
        tp_retire_blk_tov: RETIRE_MS,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    set_option(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
    let (block_bytes, blocks) = (size.block_bytes as usize, size.blocks as usize);
    // SAFETY: a new mapping at a place of the kernel's choice, of the whole ring that the socket was
    // just given; no memory of this process is touched.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            block_bytes * blocks,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            socket.as_raw_fd(),
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let memory = NonNull::new(memory.cast::<u8>()).ok_or_else(|| io::Error::other("no memory"))?;
    Ok(Ring { memory, block_bytes, blocks, next: 0 })
}

/// Begins to receive the packets of every protocol and interface.
pub(super) fn bind(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: a sockaddr_ll is plain data, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    // One protocol alone would leave out what this host sends (net/core/dev.c dev_queue_xmit_nit).
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be();
    let address: *const libc::sockaddr_ll = &raw const address;
    let size = option_size::<libc::sockaddr_ll>()?;
    // SAFETY: the address lives over the call, and its size is passed.
    checked(unsafe { libc::bind(socket.as_raw_fd(), address.cast(), size) })
}

/// How many packets the ring had no room for since this was asked last.
pub(super) fn dropped(socket: impl AsFd) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut size = option_size::<libc::tpacket_stats_v3>()?;
    let value: *mut libc::tpacket_stats_v3 = &raw mut statistics;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the option's value is a tpacket_stats_v3 on a socket with such a ring; it lives over the
    // call, and its size is passed.
    checked(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            value.cast::<c_void>(),
            &raw mut size,
        )
    })?;
    Ok(statistics.tp_drops)
}

impl Ring {
    /// Hands the next block on, if the kernel has filled it, and gives it back.
    pub(super) fn take<T>(&mut self, each: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // SAFETY: `next` is below `blocks`, so the block lies in the mapping.
        let block = unsafe { self.memory.add(self.next * self.block_bytes) };
        // SAFETY: the status is an aligned word within the block, which kernel and process both use
        // atomically.
        let status = unsafe { AtomicU32::from_ptr(block.add(STATUS_AT).cast().as_ptr()) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the block lies in the mapping, and the kernel leaves it alone until its status is
        // set back; the slice does not outlive that.
        let taken = each(unsafe { std::slice::from_raw_parts(block.as_ptr(), self.block_bytes) });
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
        Some(taken)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length and nothing else uses it.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.block_bytes * self.blocks) };
    }
}

fn set_option<T>(socket: impl AsFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let size = option_size::<T>()?;
    let value: *const T = value;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the callers pass the type that the option has, which lives over the call, as does what
    // it points to, and its size is passed.
    checked(unsafe { libc::setsockopt(fd, level, name, value.cast::<c_void>(), size) })
}

fn option_size<T>() -> io::Result<libc::socklen_t> {
    libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)
}

fn checked(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
