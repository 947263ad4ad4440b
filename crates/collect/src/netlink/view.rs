//! Netlink bytes as views: lengths are checked, meanings are not.
//!
//! Three shapes nest in each other: a datagram holds messages (`struct nlmsghdr`), an answer of
//! `sock_diag` is a `struct inet_diag_msg`, and behind it follow attributes (`struct rtattr`). All
//! are in the byte order of the machine but for ports and addresses. Next: [`super::decode`].

use super::decode::DecodeError;

/// Length of `struct nlmsghdr`.
pub(crate) const MESSAGE_HEADER_LEN: usize = 16;
/// Length of `struct inet_diag_msg`.
pub(crate) const SOCKET_LEN: usize = 72;
/// Length of `struct rtattr`.
pub(crate) const ATTRIBUTE_HEADER_LEN: usize = 4;

/// The messages of one datagram. Ends after the first broken one.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: that of the request it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// A `struct inet_diag_msg` and its attributes.
#[derive(Clone, Copy, Debug)]
pub struct SocketView<'a> {
    fixed: &'a [u8; SOCKET_LEN],
    attributes: &'a [u8],
}

/// The attributes behind a message. Ends after the first broken one.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The messages in these bytes.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<MessageView<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let Some((header, _)) = bytes.split_first_chunk::<MESSAGE_HEADER_LEN>() else {
            return Some(Err(DecodeError::MessageHeader { left: bytes.len() }));
        };
        let length = u32_at(header, 0);
        let end = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(payload) = bytes.get(MESSAGE_HEADER_LEN..end) else {
            return Some(Err(DecodeError::MessageLength { length, left: bytes.len() }));
        };
        self.rest = bytes.get(aligned(end)..).unwrap_or_default();
        Some(Ok(MessageView {
            kind: u16_at(header, 4),
            flags: u16_at(header, 6),
            sequence: u32_at(header, 8),
            payload,
        }))
    }
}

impl<'a> MessageView<'a> {
    /// The error number that NLMSG_ERROR carries first, and NLMSG_DONE too: 0 or negative.
    pub fn error_number(&self) -> Result<i32, DecodeError> {
        match self.payload.first_chunk::<4>() {
            Some(bytes) => Ok(i32::from_ne_bytes(*bytes)),
            None => Err(DecodeError::ErrorMessage { length: self.payload.len() }),
        }
    }
}

impl<'a> SocketView<'a> {
    /// The socket in a message's payload.
    #[inline]
    pub fn new(payload: &'a [u8]) -> Result<Self, DecodeError> {
        match payload.split_first_chunk() {
            Some((fixed, attributes)) => Ok(Self { fixed, attributes }),
            None => Err(DecodeError::Socket { length: payload.len() }),
        }
    }

    /// `idiag_family`.
    #[must_use]
    pub const fn family(&self) -> u8 {
        self.fixed[0]
    }

    /// `idiag_state`.
    #[must_use]
    pub const fn state(&self) -> u8 {
        self.fixed[1]
    }

    /// `idiag_retrans`.
    #[must_use]
    pub const fn retransmits(&self) -> u8 {
        self.fixed[3]
    }

    /// `idiag_sport`.
    #[must_use]
    pub const fn local_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// `idiag_dport`.
    #[must_use]
    pub const fn peer_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]])
    }

    /// `idiag_src`; of an IPv4 address only the first four bytes count.
    #[must_use]
    pub fn local_address(&self) -> [u8; 16] {
        chunk_at(self.fixed, 8)
    }

    /// `idiag_dst`.
    #[must_use]
    pub fn peer_address(&self) -> [u8; 16] {
        chunk_at(self.fixed, 24)
    }

    /// `idiag_if`.
    #[must_use]
    pub fn device(&self) -> u32 {
        u32_at(self.fixed, 40)
    }

    /// `idiag_cookie`: two words, the low one first on every machine.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        u64::from(u32_at(self.fixed, 44)) | u64::from(u32_at(self.fixed, 48)) << 32
    }

    /// `idiag_expires`, in milliseconds.
    #[must_use]
    pub fn timer_ms(&self) -> u32 {
        u32_at(self.fixed, 52)
    }

    /// `idiag_rqueue`.
    #[must_use]
    pub fn rqueue(&self) -> u32 {
        u32_at(self.fixed, 56)
    }

    /// `idiag_wqueue`.
    #[must_use]
    pub fn wqueue(&self) -> u32 {
        u32_at(self.fixed, 60)
    }

    /// `idiag_uid`.
    #[must_use]
    pub fn uid(&self) -> u32 {
        u32_at(self.fixed, 64)
    }

    /// `idiag_inode`.
    #[must_use]
    pub fn inode(&self) -> u32 {
        u32_at(self.fixed, 68)
    }

    /// What follows the fixed part.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.attributes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    /// Type and payload.
    type Item = Result<(u16, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let Some((header, _)) = bytes.split_first_chunk::<ATTRIBUTE_HEADER_LEN>() else {
            return Some(Err(DecodeError::Attribute { length: 0, left: bytes.len() }));
        };
        let length = u16_at(header, 0);
        let Some(payload) = bytes.get(ATTRIBUTE_HEADER_LEN..usize::from(length)) else {
            return Some(Err(DecodeError::Attribute { length, left: bytes.len() }));
        };
        self.rest = bytes.get(aligned(usize::from(length))..).unwrap_or_default();
        Some(Ok((u16_at(header, 2), payload)))
    }
}

/// The word at this index of an attribute that is an array of words; `None` if it is shorter.
#[must_use]
pub fn word(payload: &[u8], index: usize) -> Option<u32> {
    let bytes = payload.get(index.checked_mul(4)?..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*bytes))
}

/// Messages and attributes begin at multiples of four (`NLMSG_ALIGN`, `RTA_ALIGN`).
const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_ne_bytes(chunk_at(bytes, at))
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes(chunk_at(bytes, at))
}

/// Every caller's place is a constant inside the array, so the zeros are never seen and the test is
/// compiled away.
#[inline]
fn chunk_at<const N: usize, const M: usize>(bytes: &[u8; N], at: usize) -> [u8; M] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; M])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn messages_follow_each_other_at_multiples_of_four() {
        let mut datagram = message(17, 7, &[1, 0, 0, 0]);
        datagram.extend(message(16, 8, &[]));
        let kinds: Vec<(u16, usize)> = Messages::new(&datagram)
            .map(|message| message.map(|m| (m.kind, m.payload.len())).expect("a message"))
            .collect();
        assert_eq!(kinds, [(7, 1), (8, 0)]);
    }

    #[test]
    fn a_length_outside_its_bytes_ends_the_datagram() {
        for length in [0, 15, 17, u32::MAX] {
            let datagram = message(length, 7, &[]);
            let found: Vec<_> = Messages::new(&datagram).collect();
            assert_eq!(found, [Err(DecodeError::MessageLength { length, left: 16 })]);
        }
        let found: Vec<_> = Messages::new(&[0; 15]).collect();
        assert_eq!(found, [Err(DecodeError::MessageHeader { left: 15 })]);
    }

    #[test]
    fn an_attribute_outside_its_message_ends_the_attributes() {
        let mut payload = vec![0; SOCKET_LEN];
        payload.extend([5, 0, 8, 0, 1, 0, 0, 0]);
        payload.extend([200, 0, 8, 0]);
        let view = SocketView::new(&payload).expect("a socket");
        let found: Vec<_> = view.attributes().collect();
        if cfg!(target_endian = "little") {
            assert_eq!(
                found,
                [Ok((8, &[1_u8][..])), Err(DecodeError::Attribute { length: 200, left: 4 })]
            );
        }
        assert!(SocketView::new(&payload[..71]).is_err());
    }
}
