//! Handshakes one after another over the loopback interface.
//!
//! What a CPU sends over loopback goes to the end of that CPU's backlog (`netif_rx`), which the
//! kernel mostly empties at once, but on a busy machine leaves to ksoftirqd; connect() returns all
//! the same. So each client is followed by two datagrams from the same CPU to ourselves. The first
//! comes back when the SYN has been treated, the second when the SYN-ACK has: by then the client is
//! connected, or its SYN was dropped.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Keeps the thread on its CPU, so that what it sends stays in order, until dropped.
pub(crate) struct Turns {
    echo: UdpSocket,
    before: CpuSet,
}

impl Turns {
    pub(crate) fn begin() -> Result<Self> {
        let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no socket for turns")?;
        echo.connect(echo.local_addr()?)?;
        echo.set_read_timeout(Some(Duration::from_secs(5)))?;
        let before = sched_getaffinity(None)?;
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        sched_setaffinity(None, &here)?;
        Ok(Self { echo, before })
    }

    /// Waits until the handshake that was begun last is over.
    pub(crate) fn pass(&self) -> io::Result<()> {
        for _ in 0..2 {
            self.echo.send(b"?")?;
            self.echo.recv(&mut [0])?;
        }
        Ok(())
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        // A CPU may have been taken away; then the kernel has moved the thread already.
        let _ = sched_setaffinity(None, &self.before);
    }
}
