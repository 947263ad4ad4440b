//! The lab host: makes the namespace, plays the steps, then waits for requests.
//!
//! Its main thread starts every actor, since an actor ends with the thread that started it. Another
//! thread reads the requests: when the parent is gone, however it went, its end of the pipe closes
//! and the host exits, in whatever step it is.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halfopen_scenario::{Arrivals, Clients, Handshakes, Need, Scenario, Server, Step};

use crate::accounting::Accounting;
use crate::clients::Group;
use crate::control_groups::ControlGroups;
use crate::protocol::{Event, Play, Ran, Request, receive, send};
use crate::servers::{Servers, own_process};
use crate::wire::Wire;
use crate::{IpVersion, actor, interface, namespace, sys};

/// A lab ends after that long even if its parent forgets it.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// How often an awaited state is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// The name of the process whose sockets the clients are.
const CLIENTS: &str = "clients";

/// Asks the host only whether it can make a namespace.
pub(crate) const TRY: &str = "try";

/// Asks the host for an account of the scenario, and for nothing after that. The name of a capture file
/// may follow.
pub(crate) const ACCOUNT: &str = "account";

/// The main function of the lab host; the arguments are those after [`crate::HOST`].
#[must_use]
pub fn host_main(args: &[OsString]) -> ExitCode {
    sys::close_inherited();
    let outcome = match args.first().and_then(|arg| arg.to_str()) {
        Some(TRY) => try_out(),
        Some(ACCOUNT) => account(args.get(1).map(Path::new)),
        _ => run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = send(&mut io::stdout(), &Event::Failed(format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Whether the machine offers what the scenario on the standard input needs.
fn try_out() -> Result<()> {
    let play = read_play()?;
    let event = match Host::new(&play) {
        Ok(_) => Event::Ready,
        Err(error) => Event::Skipped(format!("{error:#}")),
    };
    send(&mut io::stdout(), &event)?;
    Ok(())
}

fn run() -> Result<()> {
    let play = read_play()?;
    // The namespace comes before the first thread.
    let mut host = Host::new(&play)?;
    let requests = read_requests()?;
    send(&mut io::stdout(), &Event::Entered)?;
    for request in requests {
        match request {
            Request::Play => {
                host.play_all(&play.scenario)?;
                send(&mut io::stdout(), &Event::Ready)?;
            }
            Request::Run { argv } => send(&mut io::stdout(), &Event::Ran(host.run(&argv)?))?,
            Request::Stop => break,
        }
    }
    host.servers.end_all()
}

fn account(pcap: Option<&Path>) -> Result<()> {
    let play = read_play()?;
    let mut host = Host::new(&play)?;
    // Kept: it is what ends this process when its parent is gone.
    let _requests = read_requests()?;
    host.accounting = Some(Accounting::start(&play.scenario, pcap)?);
    host.play_all(&play.scenario)?;
    let accounting = host.accounting.take().context("there is no account")?;
    send(&mut io::stdout(), &Event::Account(accounting.finish()?))?;
    host.servers.end_all()
}

fn read_play() -> Result<Play> {
    receive(&mut io::stdin().lock())?.context("no scenario")
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
    ip: IpVersion,
    wire: Option<Wire>,
    pub(crate) servers: Servers,
    /// Dropped after the servers, which are in them.
    control_groups: Option<ControlGroups>,
    groups: BTreeMap<String, Group>,
    accounting: Option<Accounting>,
}

impl Host {
    /// Makes the namespace with the scenario's settings, and the wire if it needs one.
    fn new(Play { scenario, ip }: &Play) -> Result<Self> {
        let ip = *ip;
        if let Some(kernel) = &scenario.kernel {
            bail!("it is about kernel {kernel}");
        }
        if scenario.needs.contains(&Need::Simulator) {
            bail!("it needs the simulator: `halfopen sim {}`", scenario.name);
        }
        namespace::raise_open_files()?;
        namespace::enter()?;
        interface::prepare_loopback(ip)?;
        rustix::thread::set_name(&CString::new(CLIENTS)?)?;
        namespace::set_sysctls(&scenario.sysctl)?;
        let wire = scenario.needs.contains(&Need::Tun).then(|| Wire::start(ip)).transpose()?;
        let control_groups = ControlGroups::needed(&scenario.needs)?;
        let (servers, groups) = (Servers::new(ip), BTreeMap::new());
        Ok(Self { ip, wire, servers, control_groups, groups, accounting: None })
    }

    fn play_all(&mut self, scenario: &Scenario) -> Result<()> {
        for step in &scenario.steps {
            send(&mut io::stdout(), &Event::Progress(step.to_string()))?;
            self.play(step, &scenario.steps)?;
        }
        Ok(())
    }

    fn play(&mut self, step: &Step, all: &[Step]) -> Result<()> {
        match step {
            Step::Serve(server) => self.serve(server, all),
            Step::Connect(clients) => self.connect(clients),
            Step::Arrivals(arrivals) => self.arrive(arrivals),
            Step::Await { condition, within } => self.await_condition(condition, *within),
            Step::Stop { process } => self.servers.stop(process),
            Step::Freeze { process } => self.freeze(process),
            Step::Close { clients } => self.group(clients)?.close(),
            Step::Reset { clients } => self.group(clients)?.reset(),
            Step::Send { clients, bytes } => self.group(clients)?.send(*bytes),
            Step::Peers(peers) => self.wire()?.peers().start(peers),
            Step::PeersSend(step) => self.wire()?.peers().send(step),
            Step::Accept { port, count, process } => {
                self.servers.accept(*port, *count, process.as_deref())
            }
            Step::Listen { process, port, backlog } => {
                self.servers.listen(process, *port, *backlog)
            }
            Step::End { process } => self.servers.end(process),
            Step::Pass { time } => {
                thread::sleep(*time);
                Ok(())
            }
            Step::Look { name } => match &mut self.accounting {
                Some(accounting) => accounting.look(name.as_deref()),
                None => Ok(()),
            },
            Step::Network(_) => bail!("there is no network in the lab"),
            // Only the host's own namespace may set nf_conntrack_max, and it holds for all.
            Step::Conntrack { .. } => {
                bail!("a namespace has no connection-tracking limit of its own")
            }
            Step::Path(loss) => {
                self.wire()?.lose(*loss);
                Ok(())
            }
            Step::Sysctl { set } => namespace::set_sysctls(set),
        }
    }

    fn serve(&mut self, server: &Server, all: &[Step]) -> Result<()> {
        let group = server.cpu.map(|cpu| self.control_groups()?.with_quota(cpu)).transpose()?;
        let shared = match server.listen.as_slice() {
            [listen] if server.shares_its_listener() => {
                Some(actor::open(*listen, server, self.ip)?)
            }
            _ => None,
        };
        for copy in 1..=server.copies {
            let threads = server.threads_of(copy).to_vec();
            let copy = Server { threads, except: Vec::new(), ..server.clone() };
            let actor = self.servers.start(&copy, shared.as_ref(), all)?;
            if let Some(group) = &group {
                group.take_in(actor.pid())?;
            }
        }
        Ok(())
    }

    fn freeze(&mut self, process: &str) -> Result<()> {
        let group = self.control_groups()?.freezable()?;
        self.servers.of(process).try_for_each(|actor| group.take_in(actor.pid()))?;
        group.freeze()
    }

    fn control_groups(&mut self) -> Result<&mut ControlGroups> {
        self.control_groups.as_mut().context("the scenario needs no control groups")
    }

    fn connect(&mut self, clients: &Clients) -> Result<()> {
        let Handshakes::HalfOpen { unroutable } = clients.handshakes else {
            return self.group(&clients.name)?.connect(clients);
        };
        let peers = Arc::clone(self.wire()?.peers());
        (0..clients.count).try_for_each(|_| peers.send_syn(clients.port, unroutable))?;
        Ok(())
    }

    fn arrive(&mut self, arrivals: &Arrivals) -> Result<()> {
        let Handshakes::HalfOpen { unroutable } = arrivals.clients.handshakes else {
            return self.group(&arrivals.clients.name)?.arrive(arrivals.clone());
        };
        let peers = Arc::clone(self.wire()?.peers());
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

    pub(crate) fn group(&mut self, name: &str) -> Result<Group> {
        if let Some(group) = self.groups.get(name) {
            return Ok(group.clone());
        }
        let group = Group::start(self.ip)?;
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
}
