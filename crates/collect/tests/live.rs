//! The collector against the running kernel: listeners and connections of this test's own, on
//! loopback. Nothing here needs privilege, but for what says that it was skipped.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use halfopen_collect::{Collector, NetnsScope, Scope};
use halfopen_evidence::{
    Activity, Call, CallTarget, CloseWaitSide, Endpoint, Inode, Missing, NetnsId, Pid, Reading,
    Snapshot, Want,
};
use halfopen_model::TcpState;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// A listener with a small accept queue, and clients that nobody accepts.
struct Scene {
    listener: TcpListener,
    address: SocketAddr,
    clients: Vec<TcpStream>,
}

impl Scene {
    fn new(bind: &str, backlog: i32, clients: usize) -> Self {
        let listener = TcpListener::bind(bind).expect("a listener");
        // A second listen() only changes the limit.
        rustix::net::listen(&listener, backlog).expect("a smaller backlog");
        let port = listener.local_addr().expect("its address").port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let connect = |_| TcpStream::connect(address).expect("a connection");
        Self { clients: (0..clients).map(connect).collect(), listener, address }
    }

    /// A collector of this scene's connections alone: other tests run at the same time.
    fn collector(&self) -> Collector {
        let ports = Some(BTreeSet::from([self.address.port()]));
        Collector::new(Scope { netns: NetnsScope::Own, ports, ..Scope::default() })
            .expect("a collector")
    }

    fn endpoint<'a>(&self, snapshot: &'a Snapshot) -> (NetnsId, &'a Endpoint) {
        let netns = snapshot.netns.first().expect("the own namespace");
        assert!(netns.is_own);
        let endpoints = netns.endpoints.get().expect("its endpoints");
        let here = |endpoint: &&Endpoint| endpoint.key.local.port() == self.address.port();
        (netns.id, endpoints.iter().find(here).expect("the endpoint"))
    }
}

/// Waits for a state, since the kernel may take a moment.
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn inode_of(socket: impl AsFd) -> Inode {
    Inode(rustix::fs::fstat(socket).expect("a socket").st_ino)
}

#[test]
fn connections_that_nobody_accepts_are_seen_with_their_clients() {
    let mut scene = Scene::new("127.0.0.1:0", 2, 3);
    let mut collector = scene.collector();
    let snapshot = collector.look().expect("a look");
    let (_, endpoint) = scene.endpoint(&snapshot);
    assert_eq!(endpoint.key.local, scene.address);
    let [listener] = endpoint.listeners.as_slice() else {
        panic!("one listener, not {endpoint:?}");
    };
    assert_eq!((listener.depth, listener.limit), (3, 2));
    assert!(listener.accept_queue().is_full());
    assert_eq!(listener.inode, inode_of(&scene.listener));
    assert!(listener.drops.get().is_some(), "{listener:?}");
    assert_eq!((endpoint.never_accepted.established, endpoint.dead_slots()), (3, 0));
    let waiting: BTreeSet<SocketAddr> =
        endpoint.never_accepted.waiting.iter().map(|waiting| waiting.peer).collect();
    let clients = scene.clients.iter().map(|client| client.local_addr().expect("an address"));
    assert_eq!(waiting, clients.collect());

    scene.clients.pop();
    until("the client's end", || {
        let snapshot = collector.look().expect("a look");
        let (_, endpoint) = scene.endpoint(&snapshot);
        let waiting = &endpoint.never_accepted;
        (waiting.established == 2 && waiting.close_wait == 1).then_some(())
    });
}

#[test]
fn a_waiting_connection_tells_its_age() {
    let scene = Scene::new("127.0.0.1:0", 2, 2);
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(150));
    let mut collector = scene.collector();
    let mut snapshot = collector.look().expect("a look");
    let (netns, endpoint) = scene.endpoint(&snapshot);
    let want = Want::Ages { netns, endpoint: endpoint.key };
    collector.fetch(&mut snapshot, &[want]);
    let most = u64::try_from(start.elapsed().as_millis()).expect("a short test") + 50;
    for waiting in &scene.endpoint(&snapshot).1.never_accepted.waiting {
        let age = waiting.age_ms.value().expect("an age");
        assert!((140..=most).contains(&age), "{age} ms, at most {most}");
    }
}

#[test]
fn connections_through_an_ipv6_wildcard_are_ipv4_and_belong_to_it() {
    if TcpListener::bind("[::]:0").is_err() {
        eprintln!("SKIPPED connections_through_an_ipv6_wildcard_are_ipv4: no IPv6 here");
        return;
    }
    let scene = Scene::new("[::]:0", 5, 1);
    let snapshot = scene.collector().look().expect("a look");
    let (_, endpoint) = scene.endpoint(&snapshot);
    assert!(endpoint.key.local.is_ipv6() && !endpoint.key.v6_only);
    let [waiting] = endpoint.never_accepted.waiting.as_slice() else {
        panic!("one connection, not {endpoint:?}");
    };
    assert_eq!(waiting.local, scene.address);
}

/// Connects with the third ACK delayed, so that several SYNs are answered before the first ACK comes.
fn connect_late(address: SocketAddr) -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
        .expect("a socket");
    rustix::net::sockopt::set_tcp_quickack(&socket, false).expect("no quick ACK");
    let _ = rustix::net::connect(&socket, &address);
    socket
}

/// Six of nine places are taken, and the third ACKs of six more come together. `None` if this
/// machine was too slow, so that each came before the next SYN.
fn overlapping_handshakes() -> Option<(Scene, Vec<OwnedFd>, Snapshot)> {
    let scene = Scene::new("127.0.0.1:0", 8, 6);
    let late = (0..6).map(|_| connect_late(scene.address)).collect();
    let mut collector = scene.collector();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let snapshot = collector.look().expect("a look");
        let (_, endpoint) = scene.endpoint(&snapshot);
        if endpoint.depth() == 9 && endpoint.syn_recv.count > 0 {
            return Some((scene, late, snapshot));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

#[test]
fn the_client_of_a_dropped_third_ack_is_found_established() {
    let (scene, _late, mut snapshot) = until("a full queue and requests", overlapping_handshakes);
    let mut collector = scene.collector();
    collector.look().expect("a look");
    let (netns, endpoint) = scene.endpoint(&snapshot);
    let want = Want::ClientEnds { netns, endpoint: endpoint.key };
    collector.fetch(&mut snapshot, &[want]);
    let requests = &scene.endpoint(&snapshot).1.syn_recv.sample;
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!(request.local, scene.address);
        assert_eq!(request.client, Reading::Known(TcpState::Established), "{request:?}");
    }
}

#[test]
fn a_dropped_third_ack_is_known_to_have_arrived() {
    let (scene, _late, mut snapshot) = until("a full queue and requests", overlapping_handshakes);
    let mut collector = scene.collector();
    collector.look().expect("a look");
    let (netns, endpoint) = scene.endpoint(&snapshot);
    let want = Want::SynQueues { netns, endpoint: endpoint.key };
    collector.fetch(&mut snapshot, &[want]);
    let (_, endpoint) = scene.endpoint(&snapshot);
    if let Reading::Missing(Missing::NotPermitted { needs }) = &endpoint.syn_recv.third_acks {
        println!("SKIPPED: BPF programs need {needs}");
        return;
    }
    let acks = endpoint.syn_recv.third_acks.value().expect("third ACKs");
    let queue = endpoint.listeners[0].syn_queue.value().expect("a SYN queue");
    assert_eq!((acks.dropped, acks.deferred), (queue.length, 0), "{acks:?} {queue:?}");
    assert!(queue.length > 0);
}

#[test]
fn a_connection_that_was_accepted_and_not_closed_is_close_wait_with_its_idle_time() {
    let mut scene = Scene::new("127.0.0.1:0", 5, 1);
    let (accepted, _) = scene.listener.accept().expect("the connection");
    scene.clients.clear();
    let mut collector = scene.collector();
    let mut snapshot = until("CLOSE_WAIT", || {
        let snapshot = collector.look().expect("a look");
        let netns = snapshot.netns.first()?;
        netns.close_wait.get().is_some_and(|groups| !groups.is_empty()).then_some(snapshot)
    });
    let (netns, endpoint) = scene.endpoint(&snapshot);
    let side = CloseWaitSide::AcceptedAt(endpoint.key);
    let inode = inode_of(&accepted);
    let wants =
        [Want::CloseWaitIdle { netns, inode }, Want::Holders { netns, inodes: vec![inode] }];
    collector.fetch(&mut snapshot, &wants);
    let groups = snapshot.netns[0].close_wait.get().expect("groups");
    let [group] = groups.as_slice() else {
        panic!("one group, not {groups:?}");
    };
    assert_eq!((group.side, group.count, group.sample[0].1), (side, 1, inode));
    assert!(group.idle_ms.value().is_some_and(|idle| idle < 60_000), "{group:?}");
    let held = group.held.get().expect("its holder");
    assert_eq!((held[0].pid, held[0].count), (Pid(std::process::id()), 1));
}

#[test]
fn a_queue_that_fills_between_two_looks_has_a_track() {
    let mut scene = Scene::new("127.0.0.1:0", 2, 2);
    let mut collector = scene.collector();
    let snapshot = collector.look().expect("a look");
    let (netns, endpoint) = scene.endpoint(&snapshot);
    let cookie = endpoint.listeners[0].cookie;
    let between = collector.watch(&snapshot, Duration::from_millis(450), &|| false);
    let track = between.queues.iter().find(|track| track.cookie == cookie).expect("a track");
    assert_eq!((track.netns, track.min, track.max, track.falls), (netns, 2, 2, 0));
    assert!((1..=4).contains(&track.samples), "{track:?}");
    scene.clients.clear();
    let start = Instant::now();
    collector.watch(&snapshot, Duration::from_secs(600), &|| true);
    assert!(start.elapsed() < Duration::from_secs(10), "a stop ends the watch");
}

#[test]
fn holders_and_threads_of_a_listener_are_fetched() {
    let mut scene = Scene::new("127.0.0.1:0", 5, 1);
    let (mut accepted, peer) = scene.listener.accept().expect("the connection");
    let (sender, receiver) = std::sync::mpsc::channel();
    let client = scene.clients.remove(0);
    let thread = std::thread::spawn(move || {
        let _ = sender.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        let mut client = client;
        let _ = std::io::Read::read(&mut client, &mut [0]);
    });
    let tid = receiver.recv().expect("a thread");
    let mut collector = scene.collector();
    let own = Pid(std::process::id());
    let expected = format!("socket {peer} -> {}", scene.address);
    until("the thread's read", || {
        let mut snapshot = collector.look().expect("a look");
        let (netns, endpoint) = scene.endpoint(&snapshot);
        let inode = endpoint.listeners[0].inode;
        let wants = [Want::Holders { netns, inodes: vec![inode] }, Want::Process { pid: own }];
        collector.fetch(&mut snapshot, &wants);
        let (_, endpoint) = scene.endpoint(&snapshot);
        let holders = endpoint.listeners[0].holders.get().expect("holders");
        assert!(holders.found.iter().any(|holder| holder.pid == own), "{holders:?}");
        let threads = snapshot.processes.get(&own)?.threads.get()?;
        let thread = threads.iter().find(|thread| thread.tid.0 == tid)?;
        match thread.activity.get()? {
            Activity::Blocked(Call { target: CallTarget::Descriptor { what, .. }, .. }) => {
                assert_eq!(*what, expected);
                Some(())
            }
            _ => None,
        }
    });
    accepted.write_all(b"x").expect("a byte");
    thread.join().expect("the thread");
}

#[test]
fn a_process_that_is_gone_is_in_the_snapshot_as_dead() {
    let scene = Scene::new("127.0.0.1:0", 5, 0);
    let mut collector = scene.collector();
    let mut snapshot = collector.look().expect("a look");
    let pid = Pid(u32::MAX);
    collector.fetch(&mut snapshot, &[Want::Process { pid }]);
    let process = snapshot.processes.get(&pid).expect("a stub");
    assert_eq!(process.threads.missing(), Some(&Missing::Vanished));
    assert_eq!(process.state, 'X');
}

#[test]
fn counters_and_settings_of_the_own_namespace_are_there() {
    let mut collector =
        Collector::new(Scope { netns: NetnsScope::Own, ..Scope::default() }).expect("a collector");
    let snapshot = collector.look().expect("a look");
    let netns = &snapshot.netns[0];
    assert!(netns.counters.get().is_some(), "{:?}", netns.counters);
    assert!(netns.sysctls.somaxconn.get().is_some(), "{:?}", netns.sysctls);
    assert!(netns.tcp_use.get().is_some() && netns.ports.get().is_some());
    assert!(netns.close_wait.get().is_some() && netns.connecting.get().is_some());
}

/// A process in a network namespace of its own.
struct Elsewhere(Child);

impl Elsewhere {
    fn start() -> Result<Self, String> {
        let child = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare(1): {error}"))?;
        let mut elsewhere = Self(child);
        let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
        let own = link("self").map_err(|error| error.to_string())?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Ok(Some(status)) = elsewhere.0.try_wait() {
                return Err(format!("unshare --net: {status}, needs CAP_SYS_ADMIN"));
            }
            if link(&elsewhere.0.id().to_string()).is_ok_and(|theirs| theirs != own) {
                return Ok(elsewhere);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("unshare --net did not begin".to_owned())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_namespace_is_found_and_entered_and_costs_only_itself_when_it_goes() {
    let elsewhere = match Elsewhere::start() {
        Ok(elsewhere) => elsewhere,
        Err(why) => {
            eprintln!("SKIPPED another_namespace_is_found_and_entered: {why}");
            return;
        }
    };
    let pid = Pid(elsewhere.0.id());
    let scope = Scope { netns: NetnsScope::OfProcess(pid), ..Scope::default() };
    let snapshot = Collector::new(scope).and_then(|mut c| c.look()).expect("a look");
    let [netns] = snapshot.netns.as_slice() else {
        panic!("one namespace, not {:?}", snapshot.netns);
    };
    assert!(!netns.is_own);
    assert_eq!(netns.endpoints, Reading::Known(Vec::new()));
    assert_eq!(netns.member, Some(pid));
    let id = netns.id;

    let everything =
        || Collector::new(Scope::default()).and_then(|mut c| c.look()).expect("a look");
    assert!(everything().netns(id).is_some());
    assert!(everything().netns[0].is_own);
    drop(elsewhere);
    assert!(everything().netns(id).is_none());
}
