//! Pictures of the servers' host, in the words in which the lab gives its own.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_model::tcp::SocketView;
use halfopen_model::{CounterTable, TcpState};
use halfopen_scenario::{ListenerPicture, Picture, Side, SocketCount, TcpStateName};

use crate::world::World;

impl World {
    /// The state of the servers' host now.
    pub(crate) fn picture(&self, name: Option<String>) -> Picture {
        let stack = &self.hosts[0].stack;
        let mut listeners: Vec<ListenerPicture> = stack
            .listener_views()
            .map(|(_, view)| ListenerPicture {
                port: view.local.port(),
                limit: view.accept_queue.limit,
                depth: view.accept_queue.depth,
            })
            .collect();
        listeners.sort_unstable();
        let ports = &self.hosts[0].served;
        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        // Neighbours are alike more often than not.
        let keys = stack.socket_views(self.now).filter_map(|view| key_of(&view, ports));
        let mut alike = None;
        for key in keys {
            match &mut alike {
                Some((of, count)) if *of == key => *count += 1,
                _ => {
                    if let Some((of, count)) = alike.replace((key, 1)) {
                        *counts.entry(of).or_default() += count;
                    }
                }
            }
        }
        if let Some((of, count)) = alike {
            *counts.entry(of).or_default() += count;
        }
        let sockets = counts.into_iter().map(|((port, side, state, accepted), count)| {
            SocketCount { port, side, state, accepted, count }
        });
        let counters = stack
            .counters()
            .moved()
            .filter(|(counter, _)| counter.table() != CounterTable::Ip)
            .map(|(counter, value)| (format!("{}.{counter}", counter.table().name()), value));
        Picture {
            name,
            at_us: self.now.as_micros(),
            listeners,
            sockets: sockets.collect(),
            counters: counters.collect(),
        }
    }
}

fn key_of(
    view: &SocketView,
    ports: &BTreeSet<u16>,
) -> Option<(u16, Side, TcpStateName, Option<bool>)> {
    let state = name_of(view.state)?;
    if ports.contains(&view.local.port()) {
        let tells = matches!(view.state, TcpState::Established | TcpState::CloseWait);
        Some((view.local.port(), Side::Server, state, tells.then_some(view.held)))
    } else {
        Some((view.peer.port(), Side::Client, state, None))
    }
}

const fn name_of(state: TcpState) -> Option<TcpStateName> {
    Some(match state {
        TcpState::Established => TcpStateName::Established,
        TcpState::SynSent => TcpStateName::SynSent,
        TcpState::SynRecv | TcpState::NewSynRecv => TcpStateName::SynRecv,
        TcpState::FinWait1 => TcpStateName::FinWait1,
        TcpState::FinWait2 => TcpStateName::FinWait2,
        TcpState::TimeWait => TcpStateName::TimeWait,
        TcpState::Close => TcpStateName::Close,
        TcpState::CloseWait => TcpStateName::CloseWait,
        TcpState::LastAck => TcpStateName::LastAck,
        TcpState::Closing => TcpStateName::Closing,
        TcpState::Listen => return None,
    })
}
