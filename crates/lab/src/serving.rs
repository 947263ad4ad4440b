//! What one thread of a server program does: the accept loop and what comes after it.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use halfopen_scenario::{OnConnection, Then, ThreadPlan, Waits};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::time::{ClockId, clock_gettime};

use crate::IpVersion;
use crate::locks::Locks;
use crate::told::Ear;
use crate::waiting::Waiter;

/// What a thread needs for its plan.
#[derive(Default)]
pub(crate) struct Means {
    /// The socket that it serves.
    pub(crate) listener: Option<Arc<OwnedFd>>,
    /// Its orders, if it waits to be told.
    pub(crate) ear: Option<Ear>,
    /// The locks of its process.
    pub(crate) locks: Arc<Locks>,
    /// Over which it connects.
    pub(crate) ip: IpVersion,
}

/// Carries out a thread's plan. Returns only if the plan says that the thread ends.
pub(crate) fn carry_out(plan: &ThreadPlan, means: &Means) -> io::Result<()> {
    let mut kept = Vec::new();
    match (&means.listener, &means.ear) {
        (Some(listener), Some(ear)) => accept_as_told(plan, listener, ear, &mut kept)?,
        (Some(listener), None) => accept_loop(plan, listener, &mut kept)?,
        (None, _) => {}
    }
    match plan.then {
        Then::Exit => {}
        Then::Sleep => sleep_for_ever(),
        Then::Lock { ref name } => {
            means.locks.take(name);
            sleep_for_ever();
        }
        Then::Connect { port } => {
            // However it ends, there is nothing left to do.
            let _ = TcpStream::connect(SocketAddr::new(means.ip.far(), port));
            sleep_for_ever();
        }
    }
    Ok(())
}

fn accept_loop(plan: &ThreadPlan, listener: &OwnedFd, kept: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut accepted = 0;
    let mut waiter = Waiter::new(plan.waits, listener.as_fd())?;
    while plan.accepts.is_none_or(|limit| accepted < limit) {
        waiter.wait()?;
        loop {
            match accept_with(listener, SocketFlags::CLOEXEC) {
                Ok(connection) => {
                    accepted += 1;
                    treat(plan, connection, kept, &mut waiter)?;
                    keep_busy(plan);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // What most servers do: the connection stays in the queue, so without a pause the
                // loop would spin.
                Err(Errno::MFILE | Errno::NFILE) => thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(error.into()),
            }
            let one_each_time = plan.waits != Waits::EpollEdge;
            if one_each_time || plan.accepts.is_some_and(|limit| accepted >= limit) {
                break;
            }
        }
    }
    Ok(())
}

/// Accepts so many connections as each order says, or as there are.
fn accept_as_told(
    plan: &ThreadPlan,
    listener: &OwnedFd,
    ear: &Ear,
    kept: &mut Vec<OwnedFd>,
) -> io::Result<()> {
    let mut waiter = Waiter::new(plan.waits, listener.as_fd())?;
    while let Some(count) = ear.hear() {
        let mut accepted = 0;
        while accepted < count {
            match accept_with(listener, SocketFlags::CLOEXEC) {
                Ok(connection) => {
                    accepted += 1;
                    treat(plan, connection, kept, &mut waiter)?;
                    keep_busy(plan);
                }
                Err(Errno::AGAIN | Errno::MFILE | Errno::NFILE) => break,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
        ear.done();
    }
    Ok(())
}

fn treat(
    plan: &ThreadPlan,
    connection: OwnedFd,
    kept: &mut Vec<OwnedFd>,
    waiter: &mut Waiter<'_>,
) -> io::Result<()> {
    match plan.connection {
        OnConnection::Close => {}
        OnConnection::Keep => kept.push(connection),
        OnConnection::ReadRequest => {
            // One read is a request here; an error ends the connection as well.
            let _ = TcpStream::from(connection).read(&mut [0; 4096]);
        }
        OnConnection::Serve => match waiter {
            Waiter::Epoll(epoll) => epoll.serve(connection)?,
            Waiter::Accept | Waiter::Poll(_) | Waiter::Select(_) => {
                thread::Builder::new().name("connection".to_owned()).spawn(|| {
                    let mut stream = TcpStream::from(connection);
                    while stream.read(&mut [0; 4096]).is_ok_and(|received| received > 0) {}
                })?;
            }
        },
    }
    Ok(())
}

/// What each connection costs before the next one is taken.
fn keep_busy(plan: &ThreadPlan) {
    let cpu_time = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let done = cpu_time() + plan.work;
    while cpu_time() < done {
        std::hint::spin_loop();
    }
    if !plan.pause.is_zero() {
        thread::sleep(plan.pause);
    }
}

fn sleep_for_ever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
