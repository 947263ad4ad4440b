//! A server program that is told what to do: a thread of the actor reads the lab host's orders from
//! the standard input and answers each when it has been carried out.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use rustix::net::listen;

use crate::protocol::{Order, receive, send};

/// What a thread that waits to be told hears, and where it says that it is done.
pub(crate) struct Ear {
    counts: Receiver<u32>,
    done: Sender<()>,
}

/// The other end of an [`Ear`].
pub(crate) struct Voice {
    counts: Sender<u32>,
    done: Receiver<()>,
}

pub(crate) fn voice_and_ear() -> (Voice, Ear) {
    let (counts, counts_heard) = mpsc::channel();
    let (done, done_heard) = mpsc::channel();
    (Voice { counts, done: done_heard }, Ear { counts: counts_heard, done })
}

impl Ear {
    /// How many connections to accept next; none when there will be no more orders.
    pub(crate) fn hear(&self) -> Option<u32> {
        self.counts.recv().ok()
    }

    /// The last order has been carried out.
    pub(crate) fn done(&self) {
        // Nobody listens any more only when the actor ends.
        let _ = self.done.send(());
    }
}

/// The orders' way into the program.
#[derive(Default)]
pub(crate) struct Desk {
    /// The listening sockets by port.
    pub(crate) listeners: BTreeMap<u16, Arc<OwnedFd>>,
    /// The threads that wait to be told, by the port that each serves.
    pub(crate) voices: BTreeMap<u16, Voice>,
}

impl Desk {
    /// Reads orders until there are no more.
    pub(crate) fn work(&self, mut orders: impl BufRead) -> io::Result<()> {
        while let Some(order) = receive(&mut orders)? {
            let outcome = self.carry_out(&order).map_err(|error| error.to_string());
            send(&mut io::stdout(), &outcome)?;
        }
        Ok(())
    }

    fn carry_out(&self, order: &Order) -> io::Result<()> {
        match *order {
            Order::Accept { port, count } => {
                let voice = self.voices.get(&port).ok_or_else(|| no_such(port))?;
                voice.counts.send(count).map_err(io::Error::other)?;
                voice.done.recv().map_err(io::Error::other)
            }
            Order::Listen { port, backlog } => {
                let listener = self.listeners.get(&port).ok_or_else(|| no_such(port))?;
                Ok(listen(listener, backlog)?)
            }
        }
    }
}

fn no_such(port: u16) -> io::Error {
    io::Error::other(format!("nothing here serves port {port}"))
}
