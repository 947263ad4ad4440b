//! Connections over loopback, IPv4 and IPv6, each of which must come out as it was made.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde_json::Value;

use crate::common::repository_file;
use crate::tracer::{Backend, Traced, Tracer, outcome};
use crate::{Outcome, Test, scratch};

/// Within this time the kernel sends a SYN again that was not answered.
const AGAIN: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Test> {
    let loopback: [(&str, IpAddr); 2] =
        [("IPv4", Ipv4Addr::LOCALHOST.into()), ("IPv6", Ipv6Addr::LOCALHOST.into())];
    let backends = [("kernel", Backend::Kernel), ("packets", Backend::Packets)];
    let both = loopback.into_iter().flat_map(|family| backends.map(|backend| (family, backend)));
    let calls = loopback.map(|(family, ip)| {
        let test = move || scratch::inside(|netns| failing_calls_are_told(ip, netns));
        let test: Test =
            (format!("kernel: calls over {family} that fail at once are told"), Box::new(test));
        test
    });
    let tests = both.flat_map(|((family, ip), (name, backend))| {
        let each = move || scratch::inside(|netns| each_comes_out(backend, ip, netns));
        let only = move || scratch::inside(|netns| a_filter_leaves_out(backend, ip, netns));
        let tests: [Test; 2] = [
            (format!("{name}: connections over {family} come out as made"), Box::new(each)),
            (format!("{name}: a filter over {family} leaves other ports out"), Box::new(only)),
        ];
        tests
    });
    tests.chain(calls).collect()
}

/// Made: a connection that talks, one that nobody listens for, and a full accept queue.
fn each_comes_out(backend: Backend, ip: IpAddr, netns: &str) -> Outcome {
    let tracer = match Tracer::start(backend, &["--all", "--json", "--netns", netns]) {
        Ok(tracer) => tracer,
        Err(outcome) => return outcome,
    };
    let Ok(talking) = TcpListener::bind((ip, 0)) else {
        return Outcome::Skipped(format!("no address {ip} here"));
    };
    talk(&talking);
    let refused = scratch::unused(ip);
    assert!(TcpStream::connect(refused).is_err());
    let full = TcpListener::bind((ip, 0)).expect("a listener");
    rustix::net::listen(&full, 0).expect("room for one");
    let queued = TcpStream::connect(address(&full)).expect("the one");
    let unanswered = connect_in_vain(address(&full));
    let traced = match tracer.end() {
        Ok(traced) => traced,
        Err(why) => return Outcome::Failed(why),
    };
    drop((queued, unanswered));
    let expected = BTreeMap::from([
        ((address(&talking), "established".to_owned()), 1),
        ((refused, "refused".to_owned()), 1),
        ((address(&full), "established".to_owned()), 1),
        ((address(&full), "syn-unanswered".to_owned()), 1),
    ]);
    let found = by_server(&traced);
    if found != expected {
        return Outcome::Failed(format!("{found:?}, not {expected:?}"));
    }
    let trouble = traced
        .of_type("handshake")
        .find(|it| it["phase"] == "open" && it["server"] == address(&full).to_string());
    let Some(trouble) = trouble else {
        return Outcome::Failed("the trouble was not told while it was open".to_owned());
    };
    let own = std::process::id();
    if [&trouble["server_process"]["pid"], &trouble["client_process"]["pid"]]
        .into_iter()
        .any(|pid| *pid != own)
    {
        return Outcome::Failed(format!("other processes than {own}: {trouble}"));
    }
    if traced.status != 2 {
        return Outcome::Failed(format!("exit status {}", traced.status));
    }
    follows_schema(&traced)
}

fn a_filter_leaves_out(backend: Backend, ip: IpAddr, netns: &str) -> Outcome {
    let Ok(wanted) = TcpListener::bind((ip, 0)) else {
        return Outcome::Skipped(format!("no address {ip} here"));
    };
    let other = TcpListener::bind((ip, 0)).expect("a listener");
    let filter = format!("sport = :{}", address(&wanted).port());
    let arguments = ["--all", "--json", "--netns", netns, &filter];
    let tracer = match Tracer::start(backend, &arguments) {
        Ok(tracer) => tracer,
        Err(outcome) => return outcome,
    };
    (0..3).for_each(|_| talk(&other));
    talk(&wanted);
    let traced = match tracer.end() {
        Ok(traced) => traced,
        Err(why) => return Outcome::Failed(why),
    };
    let expected = BTreeMap::from([((address(&wanted), "established".to_owned()), 1)]);
    let found = by_server(&traced);
    let seen = traced.of_type("summary").next().and_then(|it| it["seen"].as_u64());
    // The connections that were left out have as many segments or events each.
    if found == expected && seen.is_some_and(|seen| (3..20).contains(&seen)) {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("{found:?} of {seen:?} packets or events, not {expected:?}"))
    }
}

/// Made: a bind() to an address in use, and a connect() that no route leads to.
fn failing_calls_are_told(ip: IpAddr, netns: &str) -> Outcome {
    let Ok(listener) = TcpListener::bind((ip, 0)) else {
        return Outcome::Skipped(format!("no address {ip} here"));
    };
    let taken = address(&listener);
    let far = match ip {
        IpAddr::V4(_) => SocketAddr::from(([192, 0, 2, 1], 9)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
    };
    let tracer = match Tracer::start(Backend::Kernel, &["--all", "--json", "--netns", netns]) {
        Ok(tracer) => tracer,
        Err(outcome) => return outcome,
    };
    assert!(TcpListener::bind(taken).is_err());
    assert!(TcpStream::connect(far).is_err());
    let traced = match tracer.end() {
        Ok(traced) => traced,
        Err(why) => return Outcome::Failed(why),
    };
    let told: Vec<String> = traced
        .of_type("call-failed")
        .filter(|call| call["process"]["pid"] == std::process::id())
        .map(|call| format!("{} {} {}", call["call"], call["address"], call["error"]))
        .collect();
    let expected = [
        format!("\"bind\" \"{taken}\" \"EADDRINUSE\""),
        format!("\"connect\" \"{far}\" \"ENETUNREACH\""),
    ];
    if told != expected {
        return Outcome::Failed(format!("{told:?}, not {expected:?}"));
    }
    follows_schema(&traced)
}

/// A connection with a request, an answer and an end.
fn talk(listener: &TcpListener) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 4];
            stream.read_exact(&mut request).expect("a request");
            stream.write_all(&request).expect("an answer");
        });
        let mut stream = TcpStream::connect(address(listener)).expect("a connection");
        stream.write_all(b"ping").expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert_eq!(answer, b"ping");
    });
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("its address")
}

/// Begins to connect, and waits until the kernel has sent a second SYN.
fn connect_in_vain(to: SocketAddr) -> OwnedFd {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
    assert_eq!(rustix::net::connect(&socket, &to), Err(rustix::io::Errno::INPROGRESS));
    let deadline = Instant::now() + AGAIN;
    while syns_sent_again() == 0 {
        assert!(Instant::now() < deadline, "no SYN was sent again");
        thread::sleep(Duration::from_millis(20));
    }
    socket
}

/// The counter of this namespace, which is new.
fn syns_sent_again() -> u64 {
    let netstat = std::fs::read_to_string("/proc/thread-self/net/netstat").expect("counters");
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs.find(|(name, _)| *name == "TCPSynRetrans").expect("since 3.15");
    value.parse().expect("a number")
}

fn by_server(traced: &Traced) -> BTreeMap<(SocketAddr, String), usize> {
    let mut found = BTreeMap::new();
    for handshake in traced.of_type("handshake").filter(|it| it["phase"] == "ended") {
        let server = handshake["server"].as_str().and_then(|it| it.parse().ok());
        *found.entry((server.expect("an address"), outcome(handshake))).or_default() += 1;
    }
    found
}

fn follows_schema(traced: &Traced) -> Outcome {
    let schema: Value =
        serde_json::from_str(&repository_file("docs/schema/trace.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let error = traced.lines.iter().find_map(|line| {
        let error = validator.iter_errors(line).next()?;
        Some(format!("{error} in {line}"))
    });
    error.map_or(Outcome::Passed, Outcome::Failed)
}
