//! A network namespace of the calling thread's own, with the loopback interface up.

use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::Outcome;
use crate::tracer::netns_of;

/// Runs a test on a thread in a namespace of its own; it is told the namespace's number.
pub(crate) fn inside(test: impl FnOnce(&str) -> Outcome + Send) -> Outcome {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match enter() {
            Ok(()) => test(&netns_of("thread-self")),
            Err(why) => Outcome::Skipped(format!("no network namespace of its own: {why}")),
        });
        thread.join().expect("a test does not panic")
    })
}

/// An address that nobody listens on in a namespace of one's own. No port that a client may be given: to
/// connect from a port to itself succeeds.
pub(crate) const fn unused(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 9)
}

fn enter() -> rustix::io::Result<()> {
    // SAFETY: only the network namespace is left; the danger of this call is with CLONE_FILES.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET)? };
    // Protocol 0 is NETLINK_ROUTE.
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    // struct nlmsghdr with RTM_NEWLINK and NLM_F_REQUEST | NLM_F_ACK, struct ifinfomsg with IFF_UP of
    // interface 1.
    let words: [u32; 8] = [32, 5 << 16 | 16, 1, 0, 0, 1, 1, 1];
    let request: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0; 256];
    rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match answer[16..20] {
        [0, 0, 0, 0] => Ok(()),
        _ => Err(rustix::io::Errno::PERM),
    }
}
