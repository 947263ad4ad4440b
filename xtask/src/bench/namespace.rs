//! A network namespace of our own, with its loopback up and room for very many connections.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Settings of the new namespace; all of them are per namespace.
const SYSCTLS: &[(&str, &str)] = &[
    ("net/core/somaxconn", "65535"),
    ("net/ipv4/ip_local_port_range", "1024 65535"),
    ("net/ipv4/tcp_max_syn_backlog", "65535"),
];

/// Moves this thread, and what it starts from now on, into a new network namespace.
///
/// # Errors
/// Where the kernel does not let us make one: that takes CAP_SYS_ADMIN.
pub(crate) fn enter_new() -> io::Result<()> {
    // SAFETY: the file table stays shared; only the network namespace is new.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(io::Error::from)
}

/// Makes the namespace ready for connections over loopback.
pub(crate) fn prepare() -> Result<()> {
    loopback_up().context("lo could not be brought up")?;
    for (name, value) in SYSCTLS {
        let file = format!("/proc/sys/{name}");
        fs::write(&file, value).with_context(|| file.clone())?;
    }
    Ok(())
}

/// How many TCP sockets this thread's namespace has, TIME_WAIT left out.
pub(crate) fn tcp_in_use() -> Result<usize> {
    const FILE: &str = "/proc/thread-self/net/sockstat";
    let text = fs::read_to_string(FILE).context(FILE)?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: inuse "));
    let count = line.and_then(|line| line.split(' ').next()).context("no TCP line in sockstat")?;
    count.parse().context(FILE)
}

fn loopback_up() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: an ifreq is integers and arrays of them, for which zero bytes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = flags.try_into().map_err(io::Error::other)?;
    // SAFETY: the request is a valid ifreq with a terminated name, and lives across the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
