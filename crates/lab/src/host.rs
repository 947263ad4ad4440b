//! The lab host: makes the namespace, plays the steps, then waits for requests.
//!
//! Its main thread starts every actor, since an actor ends with the thread that started it. Another
//! thread reads the requests: when the parent is gone, however it went, its end of the pipe closes
//! and the host exits, in whatever step it is.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halfopen_scenario::{Arrivals, Clients, Handshakes, Need, Scenario, Server, Step};
use rustix::process::{Pid, Signal, kill_process};

use crate::clients::Group;
use crate::protocol::{Event, Ran, Request, receive, send};
use crate::wire::Wire;
use crate::{ACTOR, actor, look, namespace, sys};

/// A lab ends after that long even if its parent forgets it.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// How often an awaited state is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// The name of the process whose sockets the clients are.
const CLIENTS: &str = "clients";

/// Asks the host only whether it can make a namespace.
pub(crate) const PROBE: &str = "probe";

/// The main function of the lab host; the arguments are those after [`crate::HOST`].
#[must_use]
pub fn host_main(args: &[OsString]) -> ExitCode {
    sys::close_inherited();
    let outcome = if args.iter().any(|arg| arg == PROBE) { probe() } else { run() };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = send(&mut io::stdout(), &Event::Failed(format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Whether the machine offers what the scenario on the standard input needs.
fn probe() -> Result<()> {
    let scenario: Scenario = receive(&mut io::stdin().lock())?.context("no scenario")?;
    let event = match Host::new(&scenario) {
        Ok(_) => Event::Ready,
        Err(error) => Event::Skipped(format!("{error:#}")),
    };
    send(&mut io::stdout(), &event)?;
    Ok(())
}

fn run() -> Result<()> {
    let scenario: Scenario = receive(&mut io::stdin().lock())?.context("no scenario")?;
    // The namespace comes before the first thread.
    let mut host = Host::new(&scenario)?;
    let requests = read_requests()?;
    for step in &scenario.steps {
        send(&mut io::stdout(), &Event::Progress(progress(step)))?;
        host.play(step)?;
    }
    send(&mut io::stdout(), &Event::Ready)?;
    for request in requests {
        match request {
            Request::Run { argv } => send(&mut io::stdout(), &Event::Ran(host.run(&argv)?))?,
            Request::Stop => break,
        }
    }
    host.stop();
    Ok(())
}

fn read_requests() -> Result<Receiver<Request>> {
    let (to_main, requests) = mpsc::channel();
    thread::Builder::new().name("requests".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Ok(Some(request)) = receive(&mut stdin) {
            if to_main.send(request).is_err() {
                break;
            }
        }
        std::process::exit(1);
    })?;
    thread::Builder::new().name("life".to_owned()).spawn(|| {
        thread::sleep(LONGEST_LIFE);
        std::process::exit(1);
    })?;
    Ok(requests)
}

/// The scenario as it runs.
pub(crate) struct Host {
    wire: Option<Wire>,
    pub(crate) actors: Vec<Actor>,
    groups: BTreeMap<String, Group>,
}

pub(crate) struct Actor {
    pub(crate) process: String,
    pub(crate) child: Child,
}

impl Host {
    /// Makes the namespace with the scenario's settings, and the wire if it needs one.
    fn new(scenario: &Scenario) -> Result<Self> {
        namespace::raise_open_files()?;
        namespace::enter()?;
        rustix::thread::set_name(&CString::new(CLIENTS)?)?;
        namespace::set_sysctls(&scenario.sysctl)?;
        let wire = scenario.needs.contains(&Need::Tun).then(Wire::start).transpose()?;
        Ok(Self { wire, actors: Vec::new(), groups: BTreeMap::new() })
    }

    fn play(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Serve(server) => (0..server.copies).try_for_each(|_| self.serve(server)),
            Step::Connect(clients) => self.connect(clients),
            Step::Arrivals(arrivals) => self.arrive(arrivals),
            Step::Await { condition, within } => self.await_condition(condition, *within),
            Step::Stop { process } => self.stop_process(process),
            Step::Close { clients } => {
                self.group(clients)?.close();
                Ok(())
            }
            Step::Reset { clients } => self.group(clients)?.reset(),
            Step::Path(loss) => {
                self.wire()?.lose(*loss);
                Ok(())
            }
            Step::Sysctl { set } => namespace::set_sysctls(set),
            Step::Send { .. }
            | Step::Peers(_)
            | Step::PeersSend(_)
            | Step::Accept { .. }
            | Step::Listen { .. }
            | Step::End { .. }
            | Step::Pass { .. }
            | Step::Look { .. } => bail!("the lab does not play {step:?} yet"),
        }
    }

    fn serve(&mut self, server: &Server) -> Result<()> {
        let mut child = own_process(actor::SERVE)
            .arg(serde_json::to_string(server)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start an actor")?;
        let stdout = child.stdout.take().context("the actor has no output")?;
        self.actors.push(Actor { process: server.process.clone(), child });
        let mut line = String::new();
        BufReader::new(stdout.take(4096)).read_line(&mut line)?;
        match line.trim_end() {
            "ready" => Ok(()),
            "" => bail!("{} did not start", server.process),
            error => bail!("{} did not start: {error}", server.process),
        }
    }

    fn connect(&mut self, clients: &Clients) -> Result<()> {
        let Handshakes::HalfOpen { unroutable } = clients.handshakes else {
            return self.group(&clients.name)?.connect(clients);
        };
        let peers = self.wire()?.silent_peers();
        (0..clients.count).try_for_each(|_| peers.send_syn(clients.port, unroutable))?;
        Ok(())
    }

    fn arrive(&mut self, arrivals: &Arrivals) -> Result<()> {
        let Handshakes::HalfOpen { unroutable } = arrivals.clients.handshakes else {
            return self.group(&arrivals.clients.name)?.arrive(arrivals.clone());
        };
        let peers = self.wire()?.silent_peers();
        let arrivals = arrivals.clone();
        thread::Builder::new().name("silent peers".to_owned()).spawn(move || {
            let port = arrivals.clients.port;
            for arrival in 0..arrivals.at_most {
                if arrival % arrivals.clients.count == 0 {
                    thread::sleep(arrivals.every);
                }
                if peers.send_syn(port, unroutable).is_err() {
                    return;
                }
            }
        })?;
        Ok(())
    }

    fn stop_process(&self, process: &str) -> Result<()> {
        for actor in self.actors_of(process) {
            kill_process(Pid::from_child(&actor.child), Signal::STOP)?;
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        for actor in self.actors_of(process) {
            while !look::is_stopped(actor.child.id())? {
                if Instant::now() > deadline {
                    bail!("{process} does not stop");
                }
                thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    pub(crate) fn actors_of(&self, process: &str) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(move |actor| actor.process == process)
    }

    pub(crate) fn group(&mut self, name: &str) -> Result<Group> {
        if let Some(group) = self.groups.get(name) {
            return Ok(group.clone());
        }
        let group = Group::start()?;
        self.groups.insert(name.to_owned(), group.clone());
        Ok(group)
    }

    fn wire(&self) -> Result<&Wire> {
        self.wire.as_ref().context("the scenario has no wire")
    }

    /// Runs a command inside, as a sibling of the actors.
    fn run(&self, argv: &[String]) -> Result<Ran> {
        let output = own_process(actor::EXEC)
            .args(argv)
            .stdin(Stdio::null())
            .output()
            .context("cannot start a command")?;
        Ok(Ran {
            status: output.status.into_raw(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Ends all actors and waits until they are gone.
    fn stop(mut self) {
        for actor in &mut self.actors {
            // It may have ended by itself.
            let _ = actor.child.kill();
            let _ = actor.child.wait();
        }
    }
}

/// A process of this program that is to act; see [`actor`].
fn own_process(word: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(ACTOR).arg(std::process::id().to_string()).arg(word);
    command
}

fn progress(step: &Step) -> String {
    match step {
        Step::Serve(server) => format!("{} starts", server.process),
        Step::Connect(clients) => {
            format!("{} of the clients \"{}\" connect", clients.count, clients.name)
        }
        Step::Arrivals(arrivals) => {
            format!("clients \"{}\" arrive from now on", arrivals.clients.name)
        }
        Step::Await { condition, .. } => format!("awaiting {condition}"),
        Step::Stop { process } => format!("{process} is stopped"),
        Step::Close { clients } => format!("the clients \"{clients}\" close"),
        Step::Reset { clients } => format!("the clients \"{clients}\" abort"),
        Step::Path(loss) => format!("the path to port {} begins to lose packets", loss.port),
        Step::Sysctl { set } => {
            let set: Vec<_> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
            set.join(" ")
        }
        step => format!("{step:?}"),
    }
}
