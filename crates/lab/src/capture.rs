//! The segments that cross the interfaces of the namespace, from a packet socket on all of them.
//!
//! The socket must ask for every protocol: one that asks for IP alone is not shown what this host
//! sends (dev_queue_xmit_nit). Over loopback that would be each packet twice, so what goes out there
//! is left out.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use halfopen_scenario::{Interface, SeenSegment};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, SocketFlags, SocketType, socket_with, sockopt,
};

use crate::packet::Segment;
use crate::pcap::Pcap;
use crate::sys;

/// The most segments that are kept.
const AT_MOST: usize = 200_000;

/// What is read of a packet: long enough for the headers.
const HEADERS: usize = 128;

/// What the socket may hold until the thread has read it. Only root gets it all.
const BUFFER: usize = 16 << 20;

/// How often the thread looks whether it is to end.
const ATTENTION: Duration = Duration::from_millis(20);

/// A running capture.
pub(crate) struct Capture {
    over: Arc<AtomicBool>,
    reader: JoinHandle<Result<Captured>>,
}

/// What was captured.
#[derive(Default)]
pub(crate) struct Captured {
    pub(crate) segments: Vec<SeenSegment>,
    pub(crate) omitted: u64,
}

impl Capture {
    /// Begins; times count from `began`, a time since 1970. The packets go to a file too, if one is
    /// named.
    pub(crate) fn start(began: Duration, file: Option<&Path>) -> Result<Self> {
        let create = |path: &Path| {
            let path_text = path.display();
            Pcap::create(path, HEADERS).with_context(|| format!("cannot write {path_text}"))
        };
        let mut file = file.map(create).transpose()?;
        let every_protocol = u32::from(u16::try_from(libc::ETH_P_ALL)?.to_be());
        let protocol = RawProtocol::new(every_protocol).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol)
            .context("no packet socket")?;
        if sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
        }
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ATTENTION))?;
        sys::set_timestamps(&socket)?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let reader = thread::Builder::new().name("capture".to_owned()).spawn(move || {
            let captured = read(&socket, began, &ends, file.as_mut());
            file.map_or(Ok(()), Pcap::finish).context("cannot write the capture")?;
            captured
        })?;
        Ok(Self { over, reader })
    }

    /// Ends, when all that was seen so far has been read.
    pub(crate) fn finish(self) -> Result<Captured> {
        self.over.store(true, Ordering::Relaxed);
        self.reader.join().map_err(|_| anyhow!("the capture broke off"))?
    }
}

fn read(
    socket: &OwnedFd,
    began: Duration,
    over: &AtomicBool,
    mut file: Option<&mut Pcap>,
) -> Result<Captured> {
    let mut captured = Captured::default();
    let mut headers = [0; HEADERS];
    loop {
        let ends = over.load(Ordering::Relaxed);
        let origin = match sys::receive_packet(socket, &mut headers) {
            Ok(origin) => origin,
            Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => {
                if !ends {
                    continue;
                }
                captured.omitted += u64::from(sys::packets_dropped(socket)?);
                return Ok(captured);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("cannot read packets"),
        };
        let loopback = origin.hardware == libc::ARPHRD_LOOPBACK;
        let is_ip = [libc::ETH_P_IP, libc::ETH_P_IPV6].contains(&i32::from(origin.protocol));
        if !is_ip || (loopback && origin.outgoing) {
            continue;
        }
        let Some(packet) = headers.get(..origin.length) else { continue };
        if let Some(file) = &mut file {
            file.add(origin.at, packet).context("cannot write the capture")?;
        }
        let Some(segment) = Segment::of(packet) else { continue };
        if captured.segments.len() == AT_MOST {
            captured.omitted += 1;
            continue;
        }
        let since = origin.at.saturating_sub(began);
        captured.segments.push(SeenSegment {
            at_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
            interface: if loopback { Interface::Loopback } else { Interface::Wire },
            from: segment.from,
            to: segment.to,
            flags: segment.flags,
            seq: segment.seq,
            ack: segment.ack,
            payload: segment.payload,
        });
    }
}
