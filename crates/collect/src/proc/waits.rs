//! The system call that a thread sits in: what it waits for, and whether a connection would wake it.

use halfopen_evidence::{
    Call, CallTarget, Inode, Missing, Reading, SyncKind, Tid, Via, WaitedSocket,
};

use super::calls::{self, Known, Shape};
use super::descriptors::describe;
use super::futex::{self, FutexCall};
use super::parse::{self, Registers};
use super::subject::{Around, Subject};

/// Entries of a poll array that are read: 512 KiB.
const POLL_MAX: u64 = 65_536;

/// Descriptors in the sets of a select that are read.
const SELECT_MAX: u64 = 65_536;

const POLLIN: u16 = 1;
const POLLRDNORM: u16 = 0x40;

/// In the fourth argument of io_uring_enter: the first is not a descriptor but an index.
const IORING_ENTER_REGISTERED_RING: u64 = 1 << 4;

/// What was learnt of a call.
#[derive(Debug)]
pub(super) struct InCall {
    pub(super) call: Call,
    pub(super) waits: Reading<Vec<WaitedSocket>>,
    pub(super) ring: Option<Ring>,
}

/// The io_uring that a thread sits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    Descriptor(u32),
    /// One that was registered and is not known by its descriptor.
    Registered,
}

impl Subject {
    /// What this thread's system call says.
    pub(super) fn in_call(&mut self, tid: Tid, registers: &Registers) -> InCall {
        let number = registers.number;
        // A program for a 32-bit machine has other numbers. All of its addresses are below 4 GiB;
        // of a 64-bit program's, at least those of the stack or of the code are not.
        if registers.sp.max(registers.pc) <= u64::from(u32::MAX) {
            return plain(format!("32-bit syscall {number}"), CallTarget::Unknown);
        }
        match calls::lookup(number) {
            Some(Known { shape: Shape::Restart, name, .. }) => {
                let resumed = self.restarted(tid).map(|known| self.known_call(known, registers));
                resumed.unwrap_or_else(|| plain((*name).to_owned(), CallTarget::Unknown))
            }
            Some(known) => self.known_call(known, registers),
            None => plain(format!("syscall {number}"), CallTarget::Unknown),
        }
    }

    fn known_call(&mut self, known: &Known, registers: &Registers) -> InCall {
        let [first, second, third, fourth, ..] = registers.args;
        let name = known.name.to_owned();
        match known.shape {
            Shape::Plain | Shape::Restart => plain(name, CallTarget::Unknown),
            Shape::Time => plain(name, CallTarget::Time),
            Shape::Child => plain(name, CallTarget::Child),
            Shape::FutexWait => plain(name, unnamed_futex(first)),
            Shape::Futex => plain(name, self.futex(first, low_half(second), low_half(third))),
            Shape::Descriptor => plain(name, self.descriptor(low_half(first)).0),
            Shape::Accept => self.accept(name, low_half(first)),
            Shape::Poll => self.poll(name, first, second),
            Shape::Select => self.select(name, u64::from(low_half(first)), [second, third, fourth]),
            Shape::Epoll => self.epoll(name, low_half(first)),
            Shape::Uring => self.uring(name, low_half(first), fourth),
        }
    }

    /// Which call restart_syscall(2) goes on with: of those that can be restarted so, poll and futex
    /// sleep in functions of these names, and what else there is are sleeps.
    fn restarted(&self, tid: Tid) -> Option<&'static Known> {
        let wchan = self.tasks.read(&format!("{tid}/wchan")).ok()?;
        let wchan = String::from_utf8_lossy(&wchan);
        calls::named(match &*wchan {
            "" | "0" => return None,
            function if function.contains("poll") => "ppoll",
            function if function.contains("futex") => "futex",
            _ => "clock_nanosleep",
        })
    }

    fn futex(&mut self, address: u64, op: u32, value: u32) -> CallTarget {
        futex::target(FutexCall { address, op, value }, &mut Around(self))
    }

    fn descriptor(&self, fd: u32) -> (CallTarget, Result<Option<Inode>, Missing>) {
        let (what, inode) = match describe(&self.task, fd) {
            Ok((what, inode)) => (what, Ok(inode)),
            Err(why) => (String::new(), Err(why)),
        };
        (CallTarget::Descriptor { fd, what }, inode)
    }

    fn accept(&self, name: String, fd: u32) -> InCall {
        let (target, inode) = self.descriptor(fd);
        let waits = match inode {
            Ok(inode) => {
                let inode = inode.filter(|inode| self.listeners.contains(inode));
                let wait = inode.map(|inode| WaitedSocket { inode, via: Via::Accept });
                Reading::Known(wait.into_iter().collect())
            }
            Err(why) => why.into(),
        };
        InCall { call: Call { name, target }, waits, ring: None }
    }

    fn poll(&mut self, name: String, array: u64, entries: u64) -> InCall {
        if entries == 0 {
            return plain(name, CallTarget::Time);
        }
        let count = u32::try_from(entries).unwrap_or(u32::MAX);
        let mut bytes = vec![0; usize::try_from(entries.min(POLL_MAX)).unwrap_or(0) * 8];
        let waits = match self.memory.read(array, &mut bytes) {
            Some(()) => {
                let (entries, _) = bytes.as_chunks::<8>();
                let fds = entries.iter().filter_map(|&[a, b, c, d, events @ .., _, _]| {
                    let events = u16::from_ne_bytes(events);
                    let fd = u32::try_from(i32::from_ne_bytes([a, b, c, d])).ok()?;
                    (events & (POLLIN | POLLRDNORM) != 0).then_some(fd)
                });
                self.woken_by(fds, Via::Poll)
            }
            None => unreadable_argument(&name),
        };
        InCall { call: Call { name, target: CallTarget::Descriptors { count } }, waits, ring: None }
    }

    fn select(&mut self, name: String, descriptors: u64, sets: [u64; 3]) -> InCall {
        // The kernel reads whole longs.
        let longs = descriptors.min(SELECT_MAX).div_ceil(64);
        let mut sets = sets.map(|address| {
            let mut bytes = vec![0; usize::try_from(longs).unwrap_or(0) * 8];
            match address {
                0 => Some(Vec::new()),
                _ => self.memory.read(address, &mut bytes).map(|()| bytes),
            }
        });
        let count: usize = sets.iter().flatten().map(|set| bits(set).count()).sum();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count == 0 && sets.iter().all(Option::is_some) {
            return plain(name, CallTarget::Time);
        }
        let waits = match sets[0].take() {
            Some(readable) => self.woken_by(bits(&readable), Via::Select),
            None => unreadable_argument(&name),
        };
        InCall { call: Call { name, target: CallTarget::Descriptors { count } }, waits, ring: None }
    }

    fn epoll(&mut self, name: String, epfd: u32) -> InCall {
        let Self { sets, task, descriptors, listeners, .. } = self;
        let (count, waits) = match descriptors.as_ref().map_err(Clone::clone) {
            Ok(known) => {
                let count = sets.set(epfd, task, known, listeners).map_or(0, |set| set.count);
                (count, sets.waits(epfd, task, known, listeners))
            }
            Err(why) => (0, Err(why)),
        };
        let target = CallTarget::Descriptors { count };
        InCall { call: Call { name, target }, waits: reading(waits), ring: None }
    }

    fn uring(&self, name: String, fd: u32, flags: u64) -> InCall {
        let ring = if flags & IORING_ENTER_REGISTERED_RING != 0 {
            Ring::Registered
        } else {
            Ring::Descriptor(fd)
        };
        let count = match ring {
            Ring::Descriptor(fd) => self.poll_list(fd).0,
            Ring::Registered => 0,
        };
        let call = Call { name, target: CallTarget::Descriptors { count } };
        InCall { call, waits: Reading::Known(Vec::new()), ring: Some(ring) }
    }

    /// Requests in the poll list of an io_uring, and whether one of them may be for a connection.
    /// The kernel names their opcodes only, not their sockets.
    pub(super) fn poll_list(&self, fd: u32) -> (u32, bool) {
        const POLL_ADD: u8 = 6;
        const ACCEPT: u8 = 13;
        let mut requests = 0;
        let mut armed = false;
        // A ring that was closed meanwhile has no requests.
        let _ = self.task.lines(&format!("fdinfo/{fd}"), |line| {
            if let Some(opcode) = parse::uring_poll_opcode(line) {
                requests += 1;
                armed |= matches!(opcode, POLL_ADD | ACCEPT);
            }
        });
        (requests, armed)
    }

    /// Which listening sockets wake a thread that waits for these descriptors to become readable.
    fn woken_by(&mut self, fds: impl Iterator<Item = u32>, via: Via) -> Reading<Vec<WaitedSocket>> {
        let Self { sets, task, descriptors, listeners, .. } = self;
        let known = match descriptors {
            Ok(known) => known,
            Err(why) => return why.clone().into(),
        };
        let mut waits = Vec::new();
        for fd in fds {
            if let Some(&inode) = known.listeners.get(&fd) {
                waits.push(WaitedSocket { inode, via });
            } else if known.epoll_sets.contains(&fd) {
                // An event loop within another: readable as soon as its set has an event.
                waits.extend(sets.waits(fd, task, known, listeners).unwrap_or_default());
            }
        }
        waits.sort_unstable();
        waits.dedup();
        Reading::Known(waits)
    }
}

fn unnamed_futex(address: u64) -> CallTarget {
    CallTarget::Futex { address, kind: SyncKind::Unknown }
}

fn plain(name: String, target: CallTarget) -> InCall {
    InCall { call: Call { name, target }, waits: Reading::Known(Vec::new()), ring: None }
}

fn unreadable_argument<T>(name: &str) -> Reading<T> {
    Missing::unreadable(format_args!("arguments of {name} in the process's memory")).into()
}

fn reading<T>(result: Result<T, Missing>) -> Reading<T> {
    match result {
        Ok(value) => Reading::Known(value),
        Err(why) => why.into(),
    }
}

/// Descriptors and numbers are `int`: the upper half of the register means nothing.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low_half(register: u64) -> u32 {
    register as u32
}

/// Numbers of the bits that are set.
fn bits(set: &[u8]) -> impl Iterator<Item = u32> {
    let (longs, _) = set.as_chunks::<8>();
    (0..).step_by(64).zip(longs).flat_map(|(base, long)| {
        let long = u64::from_ne_bytes(*long);
        (0..64).filter(move |bit| long >> bit & 1 == 1).map(move |bit| base + bit)
    })
}
