//! An actor: the process of one server program, or of a command that runs inside the lab.
//!
//! An actor ends with the lab host: the kernel kills it when the host's main thread ends
//! (PR_SET_PDEATHSIG), also while it is stopped. Only the one that removes control groups does not,
//! since it has its work to do then.

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Barrier};
use std::thread;

use anyhow::{Context, Result, bail};
use halfopen_scenario::{Listen, Server, ThreadPlan, Waits};
use rustix::io::{fcntl_dupfd_cloexec, ioctl_fionbio};
use rustix::net::{SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::{
    PTracer, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal,
    set_ptracer, setrlimit,
};
use rustix::stdio::dup2_stdin;

use crate::IpVersion;
use crate::control_groups::remove_as_told;
use crate::locks::Locks;
use crate::protocol::Program;
use crate::serving::{Means, carry_out};
use crate::sys;
use crate::told::{Desk, voice_and_ear};

/// Runs a server program: `PARENT serve JSON`, the parent being the host's process id.
pub(crate) const SERVE: &str = "serve";

/// The same for a server program that is told what to do on its standard input.
pub(crate) const SERVE_AS_TOLD: &str = "serve-as-told";

/// The same for a server program whose listening socket is the standard input.
pub(crate) const SERVE_SHARED: &str = "serve-shared";

/// Removes control groups once the host has ended: `PARENT remove`.
pub(crate) const REMOVE: &str = "remove";

/// Becomes a command that ends with the host: `PARENT exec ARGV…`.
pub(crate) const EXEC: &str = "exec";

/// The main function of an actor; the arguments are those after [`crate::ACTOR`].
#[must_use]
pub fn actor_main(args: &[OsString]) -> ExitCode {
    sys::close_inherited();
    match act(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host reads only the first line.
            let _ = writeln!(io::stdout(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(args: &[OsString]) -> Result<()> {
    let [parent, word, rest @ ..] = args else { bail!("this is a process of the lab's own") };
    if word == REMOVE {
        return remove_as_told(io::stdin().lock());
    }
    end_with_parent(parent)?;
    match (word.to_str(), rest) {
        (Some(word @ (SERVE | SERVE_AS_TOLD | SERVE_SHARED)), [server]) => {
            let program = server.to_str().context("the server is no text")?;
            let program = serde_json::from_str(program).context("the server is not understood")?;
            serve(program, word)
        }
        (Some(EXEC), [program, arguments @ ..]) => {
            let error = Command::new(program).args(arguments).exec();
            Err(error).with_context(|| format!("cannot start {}", program.display()))
        }
        _ => bail!("the lab's actor was told something that it does not know"),
    }
}

fn end_with_parent(parent: &OsString) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent: i32 = parent.to_str().and_then(|pid| pid.parse().ok()).context("no parent")?;
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        bail!("the lab host has gone");
    }
    Ok(())
}

fn serve(Program { server, ip }: Program, word: &str) -> Result<()> {
    // With Yama's ptrace_scope 1 only ancestors could look at this process; a check inside the lab
    // is a sibling. Kernels without Yama refuse the call and need none.
    let _ = set_ptracer(PTracer::Any);
    if let Some(limit) = server.open_files {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(u64::from(limit)), maximum })?;
    }
    let mut desk = Desk::default();
    for plan in &server.listen {
        let listener =
            if word == SERVE_SHARED { take_over_stdin()? } else { open(*plan, &server, ip)? };
        desk.listeners.insert(plan.port, Arc::new(listener));
    }
    // All threads have their names, and one that holds a lock has it, before the host goes on.
    let start = Arc::new(Barrier::new(server.threads.len()));
    let mut threads = Vec::with_capacity(server.threads.len());
    let locks = Arc::new(Locks::of(&server.threads));
    for plan in server.threads {
        let means = means(&plan, &mut desk, &locks, ip);
        threads.push((plan, means));
    }
    let mut threads = threads.into_iter();
    let main = threads.next().context("the server has no thread")?;
    for (plan, means) in threads {
        let start = Arc::clone(&start);
        let builder = thread::Builder::new().name(plan.name.clone());
        builder.spawn(move || {
            prepare(&plan, &means, &start);
            carry_out(&plan, &means)
        })?;
    }
    if word == SERVE_AS_TOLD {
        let builder = thread::Builder::new().name("orders".to_owned());
        builder.spawn(move || desk.work(io::stdin().lock()))?;
    }
    rustix::thread::set_name(&CString::new(server.process)?)?;
    prepare(&main.0, &main.1, &start);
    announce()?;
    carry_out(&main.0, &main.1).context("the main thread failed")
}

fn means(plan: &ThreadPlan, desk: &mut Desk, locks: &Arc<Locks>, ip: IpVersion) -> Means {
    let listener = plan.port.and_then(|port| desk.listeners.get(&port)).map(Arc::clone);
    let ear = plan.port.filter(|_| plan.waits == Waits::Told).map(|port| {
        let (voice, ear) = voice_and_ear();
        desk.voices.insert(port, voice);
        ear
    });
    Means { listener, ear, locks: Arc::clone(locks), ip }
}

fn prepare(plan: &ThreadPlan, means: &Means, start: &Barrier) {
    if let Some(lock) = &plan.holds {
        means.locks.take(lock);
    }
    start.wait();
}

/// Tells the host that the sockets listen.
fn announce() -> Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(b"ready\n")?;
    stdout.flush().context("the lab host does not listen")
}

/// The listening socket that a process of the same program opened, as inetd(8) hands it over.
fn take_over_stdin() -> Result<OwnedFd> {
    let listener = fcntl_dupfd_cloexec(io::stdin(), 3).context("there is no listener")?;
    let nothing = std::fs::File::open("/dev/null").context("cannot open /dev/null")?;
    dup2_stdin(nothing)?;
    Ok(listener)
}

/// Opens a listening socket of a server program.
pub(crate) fn open(plan: Listen, server: &Server, ip: IpVersion) -> Result<OwnedFd> {
    listening(plan, server, ip).with_context(|| format!("cannot listen on {}", plan.port))
}

fn listening(plan: Listen, server: &Server, ip: IpVersion) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let listener = socket_with(ip.family(), SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    sockopt::set_socket_reuseport(&listener, plan.reuseport)?;
    if let Some(time) = plan.defer_accept {
        sys::set_defer_accept(&listener, i32::try_from(time.as_secs().max(1))?)?;
    }
    bind(&listener, &SocketAddr::new(ip.unspecified(), plan.port))?;
    listen(&listener, plan.backlog)?;
    // Whoever waits elsewhere than in accept() must not wait there too.
    let waits_elsewhere =
        |thread: &ThreadPlan| thread.port == Some(plan.port) && thread.waits != Waits::Accept;
    if server.all_threads().any(waits_elsewhere) {
        ioctl_fionbio(&listener, true)?;
    }
    Ok(listener)
}
