//! The tracer against the running kernel: connections of this test's own, on loopback.

mod again;

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use halfopen_collect::bpf::{TraceWanted, Tracer};
use halfopen_evidence::{KernelEvent, KernelEventKind, Missing, Pid, SocketCall};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

/// A tracer of these ports; none where programs may not be loaded, which is said.
fn tracer(ports: &[u16]) -> Option<Tracer> {
    let wanted = TraceWanted {
        ports: (!ports.is_empty()).then(|| ports.iter().copied().collect::<BTreeSet<u16>>()),
        all: true,
        accepts: true,
        ..TraceWanted::default()
    };
    match Tracer::start(&wanted) {
        Ok(tracer) => Some(tracer),
        Err(why @ (Missing::NotPermitted { .. } | Missing::NotOnThisKernel)) => {
            println!("SKIPPED: BPF programs: {why}");
            None
        }
        Err(why) => panic!("the programs do not run: {why}"),
    }
}

/// The first event for which something is found.
fn find<T>(tracer: &mut Tracer, mut what: impl FnMut(&KernelEvent) -> Option<T>) -> T {
    let start = Instant::now();
    let mut seen = Vec::new();
    loop {
        let mut found = None;
        let each = |event: KernelEvent| {
            found = found.take().or_else(|| what(&event));
            seen.push(event);
        };
        tracer.wait(Duration::from_millis(20), each).expect("to wait");
        if let Some(found) = found {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "only {seen:#?}");
    }
}

fn own() -> Pid {
    Pid(std::process::id())
}

fn pid_of(event: &KernelEvent) -> Option<Pid> {
    event.process.as_ref().map(|process| process.pid)
}

/// The errno of this process's connect() to a peer, told as a call that failed before a SYN.
fn errno_of_connect(tracer: &mut Tracer, peer: SocketAddr) -> i32 {
    find(tracer, |event| match event.what {
        KernelEventKind::CallFailed { call: SocketCall::Connect, errno } => {
            assert_eq!((event.peer, pid_of(event)), (peer, Some(own())));
            Some(errno)
        }
        _ => None,
    })
}

fn stages_are_told(bind: SocketAddr) {
    let listener = TcpListener::bind(bind).expect("a listener");
    let server = listener.local_addr().expect("its address");
    let Some(mut tracer) = tracer(&[server.port()]) else { return };
    let client = TcpStream::connect(server).expect("a connection");
    let client = client.local_addr().expect("its address");
    std::thread::sleep(Duration::from_millis(30));
    let accepted = listener.accept().expect("the connection");

    let (mut connected, mut queued) = (false, false);
    let (accepted_by, waited_us) = find(&mut tracer, |event| {
        match event.what {
            KernelEventKind::Connected { repeats: 0, .. } => {
                assert_eq!(pid_of(event), Some(own()));
                assert_eq!((event.local, event.peer), (client, server));
                assert!(event.inode.is_some());
                connected = true;
            }
            KernelEventKind::Queued { repeats: 0, .. } => {
                assert_eq!((event.local, event.peer), (server, client));
                queued = true;
            }
            KernelEventKind::Accepted { waited_us } => {
                assert_eq!((event.local, event.peer), (server, client));
                return Some((pid_of(event), waited_us));
            }
            _ => {}
        }
        None
    });
    assert!(connected && queued);
    assert!((30_000..10_000_000).contains(&waited_us), "{waited_us} µs");
    assert_eq!(accepted_by, Some(own()));
    let waits = tracer.accept_waits();
    assert_eq!(waits.len(), 1, "{waits:?}");
    assert_eq!((waits[0].local, waits[0].buckets.iter().sum()), (server, 1_u64));
    let counts = tracer.counts();
    assert_eq!((counts.connected, counts.queued, counts.accepted), (1, 1, 1));
    assert_eq!((counts.held_back, counts.lost), (0, 0));
    drop(accepted);
}

#[test]
fn the_stages_of_a_connection_are_told() {
    stages_are_told(SocketAddr::from(([127, 0, 0, 1], 0)));
}

#[test]
fn the_stages_of_an_ipv6_connection_are_told() {
    stages_are_told(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
}

#[test]
fn a_refused_connect_is_told_with_its_error_and_port() {
    // No test that asks for any port is given this one.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let Some(mut tracer) = tracer(&[nobody.port()]) else { return };
    TcpStream::connect(nobody).expect_err("nobody listens");
    let local = find(&mut tracer, |event| match event.what {
        KernelEventKind::ConnectFailed { errno, repeats: 0, .. } => {
            assert_eq!((event.peer, errno), (nobody, Errno::CONNREFUSED.raw_os_error()));
            Some(event.local)
        }
        _ => None,
    });
    assert_ne!(local.port(), 0);
}

#[test]
fn a_bind_to_an_address_in_use_is_told_with_its_caller() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let Some(mut tracer) = tracer(&[address.port()]) else { return };
    TcpListener::bind(address).expect_err("it is in use");
    let errno = find(&mut tracer, |event| match event.what {
        KernelEventKind::CallFailed { call: SocketCall::Bind, errno } => {
            assert_eq!((event.local, pid_of(event)), (address, Some(own())));
            Some(errno)
        }
        _ => None,
    });
    assert_eq!(errno, Errno::ADDRINUSE.raw_os_error());
}

#[test]
fn a_connect_that_fails_before_a_syn_is_told_with_its_error() {
    let peer = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
    let Some(mut tracer) = tracer(&[peer.port()]) else { return };
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("one");
    let error = rustix::net::connect(&socket, &peer).expect_err("it is of another family");
    let errno = errno_of_connect(&mut tracer, peer);
    assert_eq!(errno, error.raw_os_error());
}

#[test]
fn a_port_that_is_bound_but_used_for_this_peer_is_no_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let peer = listener.local_addr().expect("its address");
    let Some(mut tracer) = tracer(&[peer.port()]) else { return };
    let client = |at: SocketAddr| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &at)?;
        let at = rustix::net::getsockname(&socket)?;
        rustix::net::connect(&socket, &peer).map(|()| (socket, at))
    };
    let (_connected, at) = client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a connection");
    let at = SocketAddr::try_from(at).expect("an address");
    assert_eq!(client(at).expect_err("the pair is in use"), Errno::ADDRNOTAVAIL);
    let errno = errno_of_connect(&mut tracer, peer);
    assert_eq!(errno, Errno::ADDRNOTAVAIL.raw_os_error());
}

#[test]
fn in_a_pid_namespace_callers_are_told_by_their_numbers_there() {
    again::in_a_pid_namespace("a_bind_to_an_address_in_use_is_told_with_its_caller");
}

#[test]
fn the_backlog_is_told_as_it_was_asked_for() {
    let Some(mut tracer) = tracer(&[]) else { return };
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("one");
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    rustix::net::listen(&socket, 1_000_000).expect("to listen");
    let limit = find(&mut tracer, |event| match event.what {
        KernelEventKind::Listening { backlog: 1_000_000, limit }
            if pid_of(event) == Some(own()) =>
        {
            Some(limit)
        }
        _ => None,
    });
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("somaxconn");
    assert_eq!(somaxconn.trim(), limit.to_string());
}
