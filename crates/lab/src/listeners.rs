//! The listeners of the namespace with their limits, which /proc does not tell.
//!
//! One sock_diag request (net/ipv4/inet_diag.c), in as few words as it takes. The tool that the lab
//! tests has a reader of its own; nothing is shared with it, as the module `look` says.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halfopen_scenario::ListenerPicture;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};

use crate::look::state;

/// SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;

/// NLM_F_REQUEST and NLM_F_DUMP of linux/netlink.h.
const REQUEST_DUMP: u16 = 0x001 | 0x300;

/// NLMSG_ERROR and NLMSG_DONE.
const ERROR: u16 = 2;
const DONE: u16 = 3;

const HEADER: usize = 16;
const TCP: u8 = 6;

/// All listening sockets of the namespace, in order.
pub(crate) fn listeners() -> Result<Vec<ListenerPicture>> {
    let flags = SocketFlags::CLOEXEC;
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
        .context("no netlink socket")?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(5)))?;
    let mut found = Vec::new();
    // A kernel without IPv6 answers like one that has no such sockets.
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        send(&socket, &request(family)?, SendFlags::empty())?;
        read_answer(&socket, &mut found)?;
    }
    found.sort_unstable();
    Ok(found)
}

fn read_answer(socket: &OwnedFd, found: &mut Vec<ListenerPicture>) -> Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let (received, _) = recv(socket, &mut buffer, RecvFlags::empty())?;
        let mut rest = buffer.get(..received).unwrap_or_default();
        while let Some((kind, body, next)) = message(rest) {
            rest = next;
            match kind {
                BY_FAMILY => found.push(listener(body).context("a listener is cut short")?),
                DONE => return Ok(()),
                ERROR => bail!("the kernel does not tell its listeners (is there inet_diag?)"),
                _ => {}
            }
        }
    }
}

/// An `nlmsghdr` and an `inet_diag_req_v2` that asks for listeners and no attributes.
fn request(family: AddressFamily) -> Result<Vec<u8>> {
    let listening = 1u32 << state::LISTEN;
    let socket_id = [0; 48];
    let mut bytes = Vec::with_capacity(72);
    bytes.extend_from_slice(&72u32.to_ne_bytes());
    bytes.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]); // sequence and port
    bytes.extend_from_slice(&[u8::try_from(family.as_raw())?, TCP, 0, 0]);
    bytes.extend_from_slice(&listening.to_ne_bytes());
    bytes.extend_from_slice(&socket_id);
    Ok(bytes)
}

/// The first message: its type, its body, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
    let body = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes(array(bytes, 4)?), body, next))
}

/// An `inet_diag_msg`: for a listener the queues are its accept queue and the limit of that.
fn listener(body: &[u8]) -> Option<ListenerPicture> {
    Some(ListenerPicture {
        port: u16::from_be_bytes(array(body, 4)?),
        depth: u32::from_ne_bytes(array(body, 56)?),
        limit: u32::from_ne_bytes(array(body, 60)?),
    })
}

fn array<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_one_behind_the_other_and_cut_ones_not_at_all() {
        let mut bytes = Vec::new();
        for kind in [BY_FAMILY, DONE] {
            bytes.extend_from_slice(&18u32.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&[0; 10]);
            bytes.extend_from_slice(&[7, 7, 0, 0]);
        }
        let (kind, body, rest) = message(&bytes).expect("a message");
        assert_eq!((kind, body), (BY_FAMILY, &[7, 7][..]));
        assert_eq!(message(rest).map(|(kind, ..)| kind), Some(DONE));
        assert_eq!(message(&bytes[..17]), None);
    }

    #[test]
    fn a_listener_is_read_from_its_message() {
        let mut body = vec![0; 72];
        body[4..6].copy_from_slice(&8080u16.to_be_bytes());
        body[56..60].copy_from_slice(&6u32.to_ne_bytes());
        body[60..64].copy_from_slice(&5u32.to_ne_bytes());
        assert_eq!(listener(&body), Some(ListenerPicture { port: 8080, limit: 5, depth: 6 }));
        assert_eq!(listener(&body[..60]), None);
    }
}
