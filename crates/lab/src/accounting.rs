//! The account of a scenario while it runs: pictures when they are asked for, segments all along.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use halfopen_scenario::{Account, Picture, Scenario, Side, SocketCount, Step, TcpStateName};

use crate::capture::{Capture, Captured};
use crate::listeners::listeners;
use crate::look::{self, Socket, state};

/// The tables whose counters are told.
const TABLES: &[&str] = &["Tcp", "TcpExt"];

/// The namespace is at rest when nothing has changed for that long.
const REST: Duration = Duration::from_millis(30);

/// How often it is looked at until it is. Where traffic goes on, the last look counts.
const LOOKS_AT_MOST: u32 = 30;

pub(crate) struct Accounting {
    began: Instant,
    /// The counters at the beginning.
    base: BTreeMap<String, u64>,
    /// The ports on which servers of the scenario listen at some time.
    ports: BTreeSet<u16>,
    looks: Vec<Picture>,
    capture: Capture,
}

impl Accounting {
    /// Begins: the scenario's first step is next. Packets go to a capture file too, if one is named.
    pub(crate) fn start(scenario: &Scenario, pcap: Option<&Path>) -> Result<Self> {
        let servers = scenario.steps.iter().filter_map(|step| match step {
            Step::Serve(server) => Some(server),
            _ => None,
        });
        let ports = servers.flat_map(|server| &server.listen).map(|listen| listen.port).collect();
        let base = look::counters(TABLES)?;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let capture = Capture::start(since_1970, pcap)?;
        Ok(Self { began: Instant::now(), base, ports, looks: Vec::new(), capture })
    }

    /// Takes a picture when the namespace has come to rest.
    pub(crate) fn look(&mut self, name: Option<&str>) -> Result<()> {
        let mut picture = self.picture(name)?;
        for _ in 1..LOOKS_AT_MOST {
            thread::sleep(REST);
            let again = self.picture(name)?;
            let at_rest = Picture { at_us: picture.at_us, ..again.clone() } == picture;
            picture = again;
            if at_rest {
                break;
            }
        }
        self.looks.push(picture);
        Ok(())
    }

    /// Takes the last picture and ends.
    pub(crate) fn finish(mut self) -> Result<Account> {
        self.look(None)?;
        let Captured { segments, omitted } = self.capture.finish()?;
        Ok(Account { looks: self.looks, segments, segments_omitted: omitted })
    }

    fn picture(&self, name: Option<&str>) -> Result<Picture> {
        let mut counters = look::counters(TABLES)?;
        counters.retain(|name, value| {
            *value = value.saturating_sub(self.base.get(name).copied().unwrap_or(0));
            *value > 0
        });
        Ok(Picture {
            name: name.map(str::to_owned),
            at_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            listeners: listeners()?,
            sockets: self.sockets(&look::sockets()?),
            counters,
        })
    }

    fn sockets(&self, sockets: &[Socket]) -> Vec<SocketCount> {
        let mut counts = BTreeMap::<SocketCount, u32>::new();
        for socket in sockets {
            let Some(state) = state_name(socket.state) else { continue };
            let side =
                if self.ports.contains(&socket.local_port) { Side::Server } else { Side::Client };
            let (port, accepted) = match side {
                Side::Server => (socket.local_port, accepted(socket)),
                Side::Client => (socket.remote_port, None),
            };
            let alike = SocketCount { port, side, state, accepted, count: 0 };
            *counts.entry(alike).or_default() += 1;
        }
        counts.into_iter().map(|(alike, count)| SocketCount { count, ..alike }).collect()
    }
}

/// Whether a process has accepted a server's socket, where that can be told.
fn accepted(socket: &Socket) -> Option<bool> {
    matches!(socket.state, state::ESTABLISHED | state::CLOSE_WAIT).then_some(socket.inode != 0)
}

/// Names for the column `st` (include/net/tcp_states.h); none for a listener.
fn state_name(state: u8) -> Option<TcpStateName> {
    Some(match state {
        state::ESTABLISHED => TcpStateName::Established,
        2 => TcpStateName::SynSent,
        state::SYN_RECV => TcpStateName::SynRecv,
        4 => TcpStateName::FinWait1,
        5 => TcpStateName::FinWait2,
        6 => TcpStateName::TimeWait,
        7 => TcpStateName::Close,
        state::CLOSE_WAIT => TcpStateName::CloseWait,
        9 => TcpStateName::LastAck,
        11 => TcpStateName::Closing,
        _ => return None,
    })
}
