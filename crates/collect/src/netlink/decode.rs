//! Answers of `sock_diag` as values that cannot be illegal.
//!
//! Everything here is a function over bytes: a decoder that is given anything at all returns values
//! or an error that says what was wrong and where, and never panics. Addresses come out canonical
//! (no IPv4 in IPv6) for connections; a listening socket keeps the address that it is bound to, for
//! `[::]` and `0.0.0.0` are different listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use halfopen_evidence::SocketRow;
use halfopen_model::TcpState;

use super::uapi;
use super::view::{MessageView, Messages, SocketView, word};

/// What one message of an answer says.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// A socket.
    Socket(SocketView<'a>),
    /// The dump is complete.
    Done,
    /// The kernel refused the request, or broke it off: the positive error number.
    Refused(i32),
    /// Nothing of interest.
    Other,
}

/// Why a message could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a message header.
    #[error("message header cut short: {left} bytes are left of 16")]
    MessageHeader {
        /// Bytes left.
        left: usize,
    },
    /// A message says that it is shorter than its header or longer than what there is.
    #[error("message of {length} bytes where {left} are left")]
    MessageLength {
        /// What it says.
        length: u32,
        /// Bytes left.
        left: usize,
    },
    /// An error message has no error number.
    #[error("error message of {length} bytes")]
    ErrorMessage {
        /// Its length.
        length: usize,
    },
    /// A socket's message is shorter than `struct inet_diag_msg`.
    #[error("inet_diag_msg of {length} bytes, not 72 or more")]
    Socket {
        /// Its length.
        length: usize,
    },
    /// An attribute says that it is shorter than its header or longer than what there is.
    #[error("inet_diag attribute of {length} bytes where {left} are left")]
    Attribute {
        /// What it says.
        length: u16,
        /// Bytes left.
        left: usize,
    },
    /// The address family is neither IPv4 nor IPv6.
    #[error("inet_diag_msg of address family {0}")]
    Family(u8),
    /// The number is no TCP state.
    #[error("inet_diag_msg of state {0}")]
    State(u8),
}

/// What `INET_DIAG_INFO` (`struct tcp_info`) says of the time since something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Milliseconds since data was last sent. The kernel sets it when the socket is made
    /// (`tcp_create_openreq_child`), so for one that never sent it is its age.
    pub sent_ms: u32,
    /// Milliseconds since data last came; set when the socket is made, too.
    pub received_ms: u32,
    /// Milliseconds since an ACK last came; the peer's FIN carries one.
    pub ack_ms: u32,
}

impl<'a> Answer<'a> {
    /// What this message says.
    #[inline]
    pub fn of(message: &MessageView<'a>) -> Result<Self, DecodeError> {
        match message.kind {
            uapi::TCPDIAG_GETSOCK | uapi::SOCK_DIAG_BY_FAMILY => {
                SocketView::new(message.payload).map(Self::Socket)
            }
            // A dump that failed half-way says so in its last message.
            uapi::NLMSG_DONE => Ok(match message.error_number().unwrap_or(0) {
                0.. => Self::Done,
                error => Self::Refused(error.saturating_neg()),
            }),
            uapi::NLMSG_ERROR => Ok(match message.error_number()? {
                0.. => Self::Other,
                error => Self::Refused(error.saturating_neg()),
            }),
            uapi::NLMSG_NOOP => Ok(Self::Other),
            _ => Ok(Self::Other),
        }
    }
}

/// The sockets in a datagram. Ends after the first broken message.
///
/// This is what the fuzz target runs; a collector reads the same way, but message by message.
pub fn decode_messages(
    datagram: &[u8],
) -> impl Iterator<Item = Result<SocketRow, DecodeError>> + '_ {
    Messages::new(datagram).filter_map(|message| {
        match message.and_then(|message| Answer::of(&message)) {
            Ok(Answer::Socket(view)) => Some(socket_row(&view)),
            Ok(Answer::Done | Answer::Refused(_) | Answer::Other) => None,
            Err(error) => Some(Err(error)),
        }
    })
}

/// The socket that a view shows. Attributes are read for listening sockets only.
#[inline]
pub fn socket_row(view: &SocketView<'_>) -> Result<SocketRow, DecodeError> {
    let state = TcpState::from_number(view.state()).ok_or(DecodeError::State(view.state()))?;
    let (local, peer) = (view.local_address(), view.peer_address());
    let (local, peer) = match view.family() {
        uapi::AF_INET => (ip_v4(local), ip_v4(peer)),
        uapi::AF_INET6 if state == TcpState::Listen => {
            (IpAddr::V6(local.into()), IpAddr::V6(peer.into()))
        }
        uapi::AF_INET6 => {
            (Ipv6Addr::from(local).to_canonical(), Ipv6Addr::from(peer).to_canonical())
        }
        family => return Err(DecodeError::Family(family)),
    };
    let device = view.device();
    let mut row = SocketRow {
        state,
        local: socket_address(local, view.local_port(), device),
        peer: socket_address(peer, view.peer_port(), device),
        inode: u64::from(view.inode()),
        cookie: view.cookie(),
        uid: view.uid(),
        rqueue: view.rqueue(),
        wqueue: view.wqueue(),
        retransmits: view.retransmits(),
        timer_ms: view.timer_ms(),
        device,
        drops: None,
        v6_only: false,
    };
    if state == TcpState::Listen {
        read_listener_attributes(view, &mut row)?;
    }
    Ok(row)
}

/// The times in a socket's INET_DIAG_INFO; `None` if the answer has none.
pub fn idle(view: &SocketView<'_>) -> Result<Option<Idle>, DecodeError> {
    for attribute in view.attributes() {
        let (uapi::INET_DIAG_INFO, info) = attribute? else {
            continue;
        };
        // struct tcp_info: eight bytes of flags, then words; tcpi_last_data_sent is at byte 44.
        let times = (word(info, 11), word(info, 13), word(info, 14));
        let (Some(sent_ms), Some(received_ms), Some(ack_ms)) = times else {
            return Ok(None);
        };
        return Ok(Some(Idle { sent_ms, received_ms, ack_ms }));
    }
    Ok(None)
}

fn read_listener_attributes(view: &SocketView<'_>, row: &mut SocketRow) -> Result<(), DecodeError> {
    for attribute in view.attributes() {
        match attribute? {
            (uapi::INET_DIAG_SKMEMINFO, figures) => {
                row.drops = word(figures, uapi::SK_MEMINFO_DROPS);
            }
            (uapi::INET_DIAG_SKV6ONLY, flag) => row.v6_only = flag.first() == Some(&1),
            _ => {}
        }
    }
    Ok(())
}

#[inline]
const fn ip_v4(bytes: [u8; 16]) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
}

/// Link-local addresses mean something only together with their interface, to which the kernel binds
/// such sockets.
#[inline]
fn socket_address(ip: IpAddr, port: u16, device: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, device))
        }
        ip => SocketAddr::new(ip, port),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A whole netlink message that answers with one socket.
    pub(crate) struct Sample {
        pub(crate) family: u8,
        pub(crate) state: u8,
        pub(crate) local: (Vec<u8>, u16),
        pub(crate) peer: (Vec<u8>, u16),
        pub(crate) attributes: Vec<(u16, Vec<u8>)>,
    }

    impl Sample {
        pub(crate) fn bytes(&self) -> Vec<u8> {
            let mut body = vec![self.family, self.state, 1, 3];
            body.extend(self.local.1.to_be_bytes());
            body.extend(self.peer.1.to_be_bytes());
            for address in [&self.local.0, &self.peer.0] {
                body.extend(address);
                body.resize(body.len() + 16 - address.len(), 0);
            }
            for word in [7_u32, 0x11, 0x22, 950, 4, 5, 1000, 4242] {
                body.extend(word.to_ne_bytes());
            }
            for (kind, payload) in &self.attributes {
                let length = u16::try_from(payload.len() + 4).expect("a short attribute");
                body.extend(length.to_ne_bytes());
                body.extend(kind.to_ne_bytes());
                body.extend(payload);
                body.resize(body.len().next_multiple_of(4), 0);
            }
            message(uapi::SOCK_DIAG_BY_FAMILY, &body)
        }
    }

    pub(crate) fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 16).expect("a short message");
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([2, 0]);
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes
    }

    fn mapped(last: u8) -> Vec<u8> {
        let mut bytes = vec![0; 10];
        bytes.extend([0xff, 0xff, 10, 0, 0, last]);
        bytes
    }

    fn rows(bytes: &[u8]) -> Vec<Result<SocketRow, DecodeError>> {
        decode_messages(bytes).collect()
    }

    #[test]
    fn every_field_of_a_connection_comes_out() {
        let sample = Sample {
            family: uapi::AF_INET,
            state: 1,
            local: (vec![10, 0, 0, 1], 80),
            peer: (vec![10, 0, 0, 9], 40000),
            attributes: vec![(8, vec![0])],
        };
        assert_eq!(
            rows(&sample.bytes()),
            [Ok(SocketRow {
                state: TcpState::Established,
                local: "10.0.0.1:80".parse().expect("an address"),
                peer: "10.0.0.9:40000".parse().expect("an address"),
                inode: 4242,
                cookie: 0x22_0000_0011,
                uid: 1000,
                rqueue: 4,
                wqueue: 5,
                retransmits: 3,
                timer_ms: 950,
                device: 7,
                drops: None,
                v6_only: false,
            })]
        );
    }

    #[test]
    fn connections_are_canonical_and_listeners_keep_their_address() {
        let sample = |state, local: Vec<u8>| {
            let sample = Sample {
                family: uapi::AF_INET6,
                state,
                local: (local, 80),
                peer: (mapped(9), 40000),
                attributes: Vec::new(),
            };
            rows(&sample.bytes()).remove(0).expect("a row").local.to_string()
        };
        assert_eq!(sample(1, mapped(1)), "10.0.0.1:80");
        assert_eq!(sample(10, mapped(1)), "[::ffff:10.0.0.1]:80");
        assert_eq!(sample(10, vec![0; 16]), "[::]:80");
        let mut link_local = vec![0; 16];
        link_local[..2].copy_from_slice(&[0xfe, 0x80]);
        assert_eq!(sample(1, link_local), "[fe80::%7]:80");
    }

    #[test]
    fn drops_and_v6_only_of_a_listener_are_in_its_attributes() {
        let figures: Vec<u8> = (0..9_u32).flat_map(|n| (n * 10).to_ne_bytes()).collect();
        let mut sample = Sample {
            family: uapi::AF_INET6,
            state: 10,
            local: (vec![0; 16], 80),
            peer: (vec![0; 16], 0),
            attributes: vec![
                (uapi::INET_DIAG_SKMEMINFO, figures),
                (uapi::INET_DIAG_SKV6ONLY, vec![1]),
            ],
        };
        let row = rows(&sample.bytes()).remove(0).expect("a row");
        assert_eq!((row.drops, row.v6_only), (Some(80), true));
        sample.attributes[0].1.truncate(32);
        let row = rows(&sample.bytes()).remove(0).expect("a row");
        assert_eq!(row.drops, None, "kernels before 4.6 send eight figures");
    }

    #[test]
    fn times_come_out_of_tcp_info() {
        let info: Vec<u8> = (0..30_u32).flat_map(|n| (n * 100).to_ne_bytes()).collect();
        let sample = |info| Sample {
            family: uapi::AF_INET,
            state: 1,
            local: (vec![0; 4], 80),
            peer: (vec![0; 4], 1),
            attributes: vec![(uapi::INET_DIAG_INFO, info)],
        };
        let idle_of = |bytes: &[u8]| {
            let view = SocketView::new(&bytes[16..]).expect("a socket");
            idle(&view).expect("attributes")
        };
        let expected = Idle { sent_ms: 1100, received_ms: 1300, ack_ms: 1400 };
        assert_eq!(idle_of(&sample(info).bytes()), Some(expected));
        assert_eq!(idle_of(&sample(vec![0; 40]).bytes()), None);
    }

    #[test]
    fn values_that_mean_nothing_are_errors() {
        let mut sample = Sample {
            family: 1,
            state: 1,
            local: (vec![0; 4], 80),
            peer: (vec![0; 4], 1),
            attributes: Vec::new(),
        };
        assert_eq!(rows(&sample.bytes()), [Err(DecodeError::Family(1))]);
        (sample.family, sample.state) = (uapi::AF_INET, 13);
        assert_eq!(rows(&sample.bytes()), [Err(DecodeError::State(13))]);
        let short = message(uapi::SOCK_DIAG_BY_FAMILY, &[0; 71]);
        assert_eq!(rows(&short), [Err(DecodeError::Socket { length: 71 })]);
    }

    #[test]
    fn an_error_number_is_read_from_errors_and_from_the_end_of_a_dump() {
        let of = |kind, body: &[u8]| {
            let bytes = message(kind, body);
            let view = Messages::new(&bytes).next().expect("a message").expect("a whole one");
            Answer::of(&view).map(|answer| format!("{answer:?}"))
        };
        assert_eq!(of(uapi::NLMSG_ERROR, &(-2_i32).to_ne_bytes()), Ok("Refused(2)".to_owned()));
        assert_eq!(of(uapi::NLMSG_DONE, &(-22_i32).to_ne_bytes()), Ok("Refused(22)".to_owned()));
        assert_eq!(of(uapi::NLMSG_DONE, &[]), Ok("Done".to_owned()));
        assert_eq!(
            of(uapi::NLMSG_ERROR, &i32::MIN.to_ne_bytes()),
            Ok("Refused(2147483647)".to_owned())
        );
        assert_eq!(of(uapi::NLMSG_ERROR, &[1]), Err(DecodeError::ErrorMessage { length: 1 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let read = decode_messages(&bytes).count();
            prop_assert!(read <= bytes.len() / 16 + 1);
            if let Ok(view) = SocketView::new(&bytes) {
                let _ = idle(&view);
            }
        }

        #[test]
        fn a_real_message_with_some_bytes_changed_gives_rows_or_an_error(
            changes in proptest::collection::vec((0..116_usize, any::<u8>()), 1..6),
        ) {
            let figures = vec![1; 36];
            let sample = Sample {
                family: uapi::AF_INET6,
                state: 10,
                local: (vec![0; 16], 80),
                peer: (vec![0; 16], 0),
                attributes: vec![(uapi::INET_DIAG_SKMEMINFO, figures)],
            };
            let mut bytes = sample.bytes();
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            for row in decode_messages(&bytes).flatten() {
                prop_assert!(row.state as u8 <= 12);
            }
        }
    }
}
