//! The netlink socket. It belongs to the network namespace that its thread was in when it was made,
//! and stays there wherever the thread goes.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::decode::{Answer, DecodeError};
use super::request::{Dialect, DumpRequest, FindRequest};
use super::view::{Messages, SocketView};
use super::{DiagError, uapi};

/// The kernel never sends more than 32 KiB at a time (net/netlink/af_netlink.c `netlink_dump`).
const BUFFER_LEN: usize = 64 << 10;

/// The kernel works while we wait in `recv`, so this only ends what would never end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where answers are read to; one is enough for all sockets.
pub(crate) struct DumpBuffer(Box<[u8]>);

/// Whether a dump saw all sockets at a standstill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Consistency {
    /// Nothing says otherwise.
    Whole,
    /// The kernel set NLM_F_DUMP_INTR: rows may be missing or come twice.
    Interrupted,
}

/// A NETLINK_SOCK_DIAG socket.
#[derive(Debug)]
pub(crate) struct DiagSocket {
    fd: OwnedFd,
    sequence: u32,
    both_families: bool,
}

impl DumpBuffer {
    pub(crate) fn new() -> Self {
        Self(vec![0; BUFFER_LEN].into_boxed_slice())
    }
}

impl DiagSocket {
    /// A socket in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, DiagError> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )
        .map_err(|error| match error {
            Errno::PROTONOSUPPORT => DiagError::NoInetDiag,
            error => call("socket", error),
        })?;
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&fd, direction, Some(PATIENCE))
                .map_err(|error| call("setsockopt", error))?;
        }
        Ok(Self { fd, sequence: 0, both_families: true })
    }

    /// Asks for sockets and hands on each as it comes.
    pub(crate) fn dump(
        &mut self,
        request: &DumpRequest,
        buffer: &mut DumpBuffer,
        mut each: impl FnMut(&SocketView<'_>) -> Result<(), DecodeError>,
    ) -> Result<Consistency, DiagError> {
        if request.asks_for_nothing() {
            return Ok(Consistency::Whole);
        }
        if self.both_families {
            match self.dump_in(Dialect::BothFamilies, request, buffer, &mut each) {
                // Refused before the first row: a kernel, or a sandbox, without the old message.
                Err(DiagError::Refused(_) | DiagError::NoInetDiag) => self.both_families = false,
                ended => return ended,
            }
        }
        let v4 = self.dump_in(Dialect::V4, request, buffer, &mut each)?;
        match self.dump_in(Dialect::V6, request, buffer, &mut each) {
            // A kernel without IPv6.
            Err(DiagError::NoInetDiag) => Ok(v4),
            Ok(v6) if v6 == Consistency::Interrupted => Ok(v6),
            Ok(_) => Ok(v4),
            Err(error) => Err(error),
        }
    }

    /// Asks for one socket with its INET_DIAG_INFO. `None` if there is no such socket.
    pub(crate) fn find<T>(
        &mut self,
        request: &FindRequest,
        buffer: &mut DumpBuffer,
        read: impl FnOnce(&SocketView<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DiagError> {
        let sequence = self.send(|sequence| request.bytes(sequence))?;
        loop {
            let datagram = self.receive(buffer)?;
            for message in Messages::new(datagram) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                match Answer::of(&message)? {
                    Answer::Socket(view) => return Ok(Some(read(&view)?)),
                    Answer::Refused(number) => {
                        return match Errno::from_raw_os_error(number) {
                            // ESTALE: the addresses have another socket now.
                            Errno::NOENT | Errno::STALE => Ok(None),
                            error => Err(refused(error)),
                        };
                    }
                    Answer::Done => return Ok(None),
                    Answer::Other => {}
                }
            }
        }
    }

    fn dump_in(
        &mut self,
        dialect: Dialect,
        request: &DumpRequest,
        buffer: &mut DumpBuffer,
        each: &mut impl FnMut(&SocketView<'_>) -> Result<(), DecodeError>,
    ) -> Result<Consistency, DiagError> {
        let sequence = self.send(|sequence| request.bytes(dialect, sequence))?;
        let mut consistency = Consistency::Whole;
        let mut rows = false;
        loop {
            let datagram = self.receive(buffer)?;
            for message in Messages::new(datagram) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                if message.flags & uapi::NLM_F_DUMP_INTR != 0 {
                    consistency = Consistency::Interrupted;
                }
                match Answer::of(&message)? {
                    Answer::Socket(view) => {
                        rows = true;
                        each(&view)?;
                    }
                    Answer::Done => return Ok(consistency),
                    Answer::Refused(number) if rows => {
                        let source = io::Error::from_raw_os_error(number);
                        return Err(DiagError::Call { operation: "dump", source });
                    }
                    Answer::Refused(number) => {
                        return Err(refused(Errno::from_raw_os_error(number)));
                    }
                    Answer::Other => {}
                }
            }
        }
    }

    /// Sends a request; its sequence number tells its answers from those of one that was given up.
    fn send(&mut self, bytes: impl FnOnce(u32) -> Vec<u8>) -> Result<u32, DiagError> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = bytes(self.sequence);
        loop {
            match rustix::net::send(&self.fd, &request, SendFlags::empty()) {
                Ok(_) => return Ok(self.sequence),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(timed_out()),
                // The kernel checks a request while it takes it (a sandbox may, too).
                Err(Errno::CONNREFUSED) => return Err(DiagError::NoInetDiag),
                Err(error) => return Err(call("send", error)),
            }
        }
    }

    fn receive<'a>(&self, buffer: &'a mut DumpBuffer) -> Result<&'a [u8], DiagError> {
        let length = loop {
            // MSG_TRUNC makes the kernel tell the whole length of what did not fit.
            match rustix::net::recv(&self.fd, &mut buffer.0[..], RecvFlags::TRUNC) {
                Ok((_, length)) => break length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(timed_out()),
                Err(Errno::NOBUFS) => return Err(DiagError::Lost),
                Err(error) => return Err(call("recv", error)),
            }
        };
        if length == 0 {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(DiagError::Call { operation: "recv", source });
        }
        buffer.0.get(..length).ok_or(DiagError::Lost)
    }
}

fn call(operation: &'static str, error: Errno) -> DiagError {
    DiagError::Call { operation, source: error.into() }
}

const fn timed_out() -> DiagError {
    DiagError::TimedOut { seconds: PATIENCE.as_secs() }
}

/// ENOENT: no handler for TCP (`inet_diag_lock_handler`) or for the family; EOPNOTSUPP: no handler
/// for the old message (`sock_diag_rcv_msg`). The kernel has tried to load the modules by then.
fn refused(error: Errno) -> DiagError {
    match error {
        Errno::NOENT | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => {
            DiagError::NoInetDiag
        }
        error => DiagError::Refused(error.into()),
    }
}

impl std::fmt::Debug for DumpBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DumpBuffer({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{SocketAddr, TcpListener};

    use halfopen_model::TcpState;

    use super::*;
    use crate::netlink::decode::socket_row;
    use crate::netlink::filter::PortFilter;

    /// Local addresses of the listening sockets among these ports.
    fn listening(socket: &mut DiagSocket, ports: PortFilter) -> BTreeSet<SocketAddr> {
        let request = DumpRequest::new(&[TcpState::Listen]).only_ports(ports);
        let mut found = BTreeSet::new();
        let ended = socket.dump(&request, &mut DumpBuffer::new(), |view| {
            found.insert(socket_row(view)?.local);
            Ok(())
        });
        assert_eq!(ended.expect("a dump"), Consistency::Whole);
        found
    }

    #[test]
    fn both_ways_to_ask_find_the_listeners_of_both_families() {
        let listeners: Vec<TcpListener> = ["127.0.0.1:0", "[::1]:0"]
            .into_iter()
            .filter_map(|a| TcpListener::bind(a).ok())
            .collect();
        let addresses: BTreeSet<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        let ports = || PortFilter::new([], addresses.iter().map(SocketAddr::port));
        let mut socket = DiagSocket::open().expect("a socket");
        assert_eq!(listening(&mut socket, ports()), addresses);
        socket.both_families = false;
        assert_eq!(listening(&mut socket, ports()), addresses);
    }

    #[test]
    fn the_kernel_takes_the_longest_filter_and_keeps_to_it() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("bound");
        let mut socket = DiagSocket::open().expect("a socket");
        let every_other = |parity: u16| {
            let others =
                (1..=63_u16).map(|n| n * 1000).filter(|port| port.abs_diff(address.port()) > 1);
            PortFilter::new([], others.chain([address.port() ^ parity]))
        };
        assert_eq!(listening(&mut socket, every_other(0)), BTreeSet::from([address]));
        assert!(!listening(&mut socket, every_other(1)).contains(&address));
    }

    #[test]
    fn a_socket_that_is_not_there_is_none_and_not_an_error() {
        let request = FindRequest {
            local: "127.0.0.1:1".parse().expect("an address"),
            peer: "127.0.0.1:2".parse().expect("an address"),
            device: 0,
            cookie: Some(1),
        };
        let mut socket = DiagSocket::open().expect("a socket");
        let found = socket.find(&request, &mut DumpBuffer::new(), |view| Ok(view.state()));
        assert_eq!(found.expect("an answer"), None);
    }
}
