//! The clients of a scenario: groups of sockets in the lab host.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use halfopen_scenario::{Arrivals, ClientState, Clients, Handshakes, Way};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with, sockopt,
};

use crate::IpVersion;
use crate::turns::Turns;

/// How long a client that comes in turn waits for what does not come over a path with losses.
const TURN: Duration = Duration::from_millis(250);

/// How often arriving clients are looked after between two arrivals.
const ATTENTION: Duration = Duration::from_millis(10);

/// How often clients notice that the server has closed.
const TENDING: Duration = Duration::from_millis(25);

/// A group of clients, shared by the steps that speak of it.
#[derive(Clone)]
pub(crate) struct Group(Arc<Mutex<Members>>);

struct Members {
    ip: IpVersion,
    clients: Vec<Client>,
    failed: u64,
}

struct Client {
    socket: OwnedFd,
    since: Instant,
    connected: bool,
    /// Bytes to send once connected.
    sends: usize,
}

enum Change {
    None,
    Failed,
    /// The server closed.
    Over,
}

impl Group {
    /// A group without clients yet. A thread sees to it that they close when the server does: a
    /// client that does not would be a leak of its own.
    pub(crate) fn start(ip: IpVersion) -> Result<Self> {
        let members = Members { ip, clients: Vec::new(), failed: 0 };
        let group = Self(Arc::new(Mutex::new(members)));
        let tended = group.clone();
        thread::Builder::new().name("tending".to_owned()).spawn(move || {
            loop {
                thread::sleep(TENDING);
                tended.members().update();
            }
        })?;
        Ok(group)
    }

    /// Lets `clients.count` clients connect, and waits for each where they come in turn.
    pub(crate) fn connect(&self, clients: &Clients) -> Result<()> {
        if clients.way == Way::Loopback {
            return self.members().start_all(clients, clients.count);
        }
        for _ in 0..clients.count {
            self.members().start(clients);
            if clients.handshakes == Handshakes::InTurn {
                self.await_turn();
            }
        }
        Ok(())
    }

    /// Lets clients arrive from now on, in a thread of their own.
    pub(crate) fn arrive(&self, arrivals: Arrivals) -> Result<()> {
        let group = self.clone();
        let name = arrivals.clients.name.chars().take(15).collect();
        thread::Builder::new().name(name).spawn(move || group.keep_arriving(&arrivals))?;
        Ok(())
    }

    /// How many clients are in a state now.
    pub(crate) fn count(&self, state: ClientState) -> u64 {
        let mut members = self.members();
        members.update();
        let of = |connected| members.clients.iter().filter(|c| c.connected == connected).count();
        match state {
            ClientState::Connecting => of(false) as u64,
            ClientState::Connected => of(true) as u64,
            ClientState::Failed => members.failed,
        }
    }

    /// All clients that are connected send.
    pub(crate) fn send(&self, bytes: u32) -> Result<()> {
        let mut members = self.members();
        members.update();
        let data = vec![b'x'; usize::try_from(bytes)?];
        for client in members.clients.iter().filter(|client| client.connected) {
            // A connection may have ended meanwhile; a full buffer takes less.
            let _ = send(&client.socket, &data, SendFlags::NOSIGNAL);
        }
        Ok(())
    }

    /// All clients close.
    pub(crate) fn close(&self) -> Result<()> {
        self.members().clients.clear();
        Ok(())
    }

    /// All clients abort.
    pub(crate) fn reset(&self) -> Result<()> {
        let mut members = self.members();
        for client in &members.clients {
            // close() then sends RST instead of FIN (tcp_close).
            sockopt::set_socket_linger(&client.socket, Some(Duration::ZERO))?;
        }
        members.clients.clear();
        Ok(())
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Over the wire, the last client has its turn until it is connected or has failed; what is
    /// lost there gives no sign, so its turn ends with the time.
    fn await_turn(&self) {
        let deadline = Instant::now() + TURN;
        loop {
            let mut members = self.members();
            members.update();
            let connecting = members.clients.last().is_some_and(|client| !client.connected);
            drop(members);
            if !connecting || Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn keep_arriving(&self, arrivals: &Arrivals) {
        let mut left = arrivals.at_most;
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            let mut members = self.members();
            if now >= next && left > 0 {
                next = now + arrivals.every;
                let arriving = arrivals.clients.count.min(left);
                left -= arriving;
                // Only the namespace's end can keep them from coming.
                let _ = members.start_all(&arrivals.clients, arriving);
            }
            members.update();
            members.clients.retain(|client| {
                let stays = if client.connected { arrivals.stays } else { arrivals.patience };
                stays.is_none_or(|stays| now.duration_since(client.since) < stays)
            });
            let over = left == 0 && members.clients.is_empty();
            drop(members);
            if over {
                return;
            }
            thread::sleep(next.saturating_duration_since(now).min(ATTENTION));
        }
    }
}

impl Members {
    /// Starts clients at once, or, over loopback, in turn if that is how they come.
    fn start_all(&mut self, clients: &Clients, count: u32) -> Result<()> {
        let in_turn = clients.handshakes == Handshakes::InTurn && clients.way == Way::Loopback;
        let turns = in_turn.then(Turns::begin).transpose()?;
        for _ in 0..count {
            self.start(clients);
            if let Some(turns) = &turns {
                turns.pass()?;
            }
        }
        Ok(())
    }

    /// Starts a client. Its failure is part of some scenarios, so it is counted, not reported.
    fn start(&mut self, clients: &Clients) {
        match start(clients, self.ip) {
            Ok(client) => self.clients.push(client),
            Err(_) => self.failed += 1,
        }
    }

    /// Lets each client notice what happened to its connection.
    fn update(&mut self) {
        let wanted = |client: &Client| {
            if client.connected { PollFlags::IN } else { PollFlags::OUT }
        };
        let mut ready: Vec<PollFd<'_>> =
            self.clients.iter().map(|c| PollFd::new(&c.socket, wanted(c))).collect();
        if poll(&mut ready, Some(&Timespec::default())) == Ok(0) {
            return;
        }
        let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        let mut failed = 0;
        self.clients.retain_mut(|client| {
            if ready.next() != Some(true) {
                return true;
            }
            match client.notice() {
                Change::None => true,
                Change::Over => false,
                Change::Failed => {
                    failed += 1;
                    false
                }
            }
        });
        self.failed += failed;
    }
}

impl Client {
    /// Something happened to the socket.
    fn notice(&mut self) -> Change {
        if !self.connected {
            if !matches!(sockopt::socket_error(&self.socket), Ok(Ok(()))) {
                return Change::Failed;
            }
            self.connected = true;
            self.since = Instant::now();
            if self.sends > 0 {
                let data = vec![b'x'; self.sends];
                // A full buffer sends less, which is no matter here.
                let _ = send(&self.socket, &data, SendFlags::NOSIGNAL);
            }
            return Change::None;
        }
        match recv(&self.socket, &mut [0; 4096], RecvFlags::empty()) {
            Ok((0, _)) => Change::Over,
            Ok(_) | Err(Errno::AGAIN) => Change::None,
            Err(_) => Change::Failed,
        }
    }
}

fn start(clients: &Clients, ip: IpVersion) -> Result<Client> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(ip.family(), SocketType::STREAM, flags, None)?;
    if clients.handshakes == Handshakes::Overlapping {
        // The socket then delays the ACK of the SYN-ACK (tcp_rcv_synsent_state_process), so that
        // the SYNs of its siblings come first.
        sockopt::set_tcp_quickack(&socket, false)?;
    }
    let host = match clients.way {
        Way::Loopback => ip.loopback(),
        Way::Wire => ip.far(),
        Way::Network => bail!("there is no network in the lab"),
    };
    match connect(&socket, &SocketAddr::new(host, clients.port)) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let sends = usize::try_from(clients.sends)?;
    Ok(Client { socket, since: Instant::now(), connected: false, sends })
}
