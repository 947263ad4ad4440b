//! Packet sockets on the running kernel, in a network namespace of the test's own: its loopback
//! interface, and listeners on IPv4 and IPv6. Needs root, or says that it was skipped.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use halfopen_collect::packets::{Flow, PacketFilter, PacketSockets};
use halfopen_collect::{NetnsScope, SocketLookups};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{UnshareFlags, unshare_unsafe};

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Runs a test in a namespace of its own, once for each family.
fn inside(name: &str, test: fn(IpAddr)) {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        std::thread::spawn(move || enter().map(|()| test(ip)))
            .join()
            .expect("the test passes")
            .unwrap_or_else(|why| println!("SKIPPED {name}: no network namespace: {why}"));
    }
}

/// Moves this thread into a new network namespace with its loopback interface up.
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
    rustix::net::recv(&socket, &mut [0; 256][..], RecvFlags::empty())?;
    Ok(())
}

fn open(filter: &PacketFilter) -> PacketSockets {
    let sockets = PacketSockets::open(NetnsScope::Own, filter).expect("a packet socket");
    assert_eq!(sockets.namespaces().count(), 1);
    sockets
}

/// Ports and flags of the segments that were seen, once there are so many.
fn segments(sockets: &mut PacketSockets, least: usize) -> Vec<(u16, u16, u8)> {
    let start = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < least {
        assert!(start.elapsed() < Duration::from_secs(20), "{seen:?}");
        sockets.wait(Duration::from_millis(100)).expect("packets");
        while sockets.take_block(0, |packet| {
            let tcp = &packet.bytes[if packet.ether_type == 0x0800 { 20 } else { 40 }..];
            let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
            seen.push((port(0), port(2), tcp[13]));
        }) {}
    }
    assert_eq!(sockets.dropped(0), 0);
    seen
}

fn listener(ip: IpAddr) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip, 0)).expect("a listener");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

#[test]
fn a_handshake_over_loopback_is_seen_once_and_its_ends_are_known() {
    inside("a_handshake_over_loopback", |ip| {
        let (_listener, server) = listener(ip);
        let mut sockets = open(&PacketFilter::default());
        let stream = TcpStream::connect(server).expect("a connection");
        let client = stream.local_addr().expect("its address");
        let (c, s) = (client.port(), server.port());
        assert_eq!(segments(&mut sockets, 3), [(c, s, SYN), (s, c, SYN | ACK), (c, s, ACK)]);

        let mut lookups = SocketLookups::open(NetnsScope::Own).expect("a socket");
        let netns = lookups.namespaces().next().expect("the own namespace").id;
        let listening = lookups.listening(netns).known().expect("the listeners");
        assert!(matches!(listening.as_slice(), [one] if one.key.covers(server)), "{listening:?}");
        let inode = rustix::fs::fstat(&stream).expect("the socket").st_ino;
        let found = lookups.connected(netns, client, server).known().expect("an answer");
        assert_eq!(found.map(|inode| inode.0), Some(inode));
        let none = SocketAddr::new(ip, 1);
        assert_eq!(lookups.connected(netns, none, server).known(), Some(None));
    });
}

#[test]
fn the_kernel_leaves_out_other_ports_and_what_goes_on_in_busy_flows() {
    inside("the_kernel_leaves_out_other_ports", |ip| {
        let ((wanted, server), (_unwanted, elsewhere)) = (listener(ip), listener(ip));
        let filter = PacketFilter {
            ports: Some(BTreeSet::from([server.port()])),
            ..PacketFilter::default()
        };
        let mut sockets = open(&filter);
        let _other = TcpStream::connect(elsewhere).expect("a connection");
        let mut stream = TcpStream::connect(server).expect("a connection");
        let client = stream.local_addr().expect("its address");
        let (c, s) = (client.port(), server.port());
        assert_eq!(segments(&mut sockets, 3), [(c, s, SYN), (s, c, SYN | ACK), (c, s, ACK)]);

        let busy = vec![Flow { one: server, other: client }];
        sockets.set_filter(0, &PacketFilter { busy, ..filter });
        for _ in 0..10 {
            std::io::Write::write_all(&mut stream, b"data").expect("sent");
        }
        let (accepted, _) = wanted.accept().expect("the connection");
        drop(stream);
        drop(accepted);
        let ends = segments(&mut sockets, 1);
        assert!(ends.iter().all(|(.., flags)| flags & (FIN | 4) != 0), "{ends:?}");
    });
}
