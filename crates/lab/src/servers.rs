//! The server programs of a scenario, as the lab host holds them: each an actor process.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use halfopen_scenario::{Server, Step, Waits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::host::LOOK;
use crate::protocol::{Order, Program, receive, send};
use crate::{ACTOR, IpVersion, actor, look};

/// How long an actor may take to do what it is told.
const OBEDIENCE: Duration = Duration::from_secs(10);

/// All actors that have not been ended.
pub(crate) struct Servers {
    ip: IpVersion,
    actors: Vec<Actor>,
}

pub(crate) struct Actor {
    server: Server,
    child: Child,
    /// Only for a process that the scenario tells something.
    line: Option<Line>,
}

/// Orders to an actor and its answers.
struct Line {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Servers {
    pub(crate) const fn new(ip: IpVersion) -> Self {
        Self { ip, actors: Vec::new() }
    }

    /// Starts a process that runs a server program; done when its sockets listen. Its listener is
    /// given if it shares that with others. The steps are those of the scenario, which say whether the
    /// process will be told anything.
    pub(crate) fn start(
        &mut self,
        server: &Server,
        shared: Option<&OwnedFd>,
        steps: &[Step],
    ) -> Result<&Actor> {
        let (word, stdin) = match shared {
            Some(listener) => (actor::SERVE_SHARED, Stdio::from(listener.try_clone()?)),
            None if is_told(server, steps) => (actor::SERVE_AS_TOLD, Stdio::piped()),
            None => (actor::SERVE, Stdio::null()),
        };
        let mut child = own_process(word)
            .arg(serde_json::to_string(&Program { server, ip: self.ip })?)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start an actor")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the actor has no output")?);
        let orders = child.stdin.take();
        let process = &server.process;
        self.actors.push(Actor { server: server.clone(), child, line: None });
        let mut line = String::new();
        stdout.by_ref().take(4096).read_line(&mut line)?;
        match line.trim_end() {
            "ready" => {}
            "" => bail!("{process} did not start"),
            error => bail!("{process} did not start: {error}"),
        }
        let actor = self.actors.last_mut().context("the actor is not there")?;
        actor.line = orders.map(|orders| Line { orders, answers: stdout });
        Ok(actor)
    }

    /// Every thread that waits to be told on a port accepts so many connections.
    pub(crate) fn accept(&mut self, port: u16, count: u32, process: Option<&str>) -> Result<()> {
        let order = Order::Accept { port, count };
        for actor in &mut self.actors {
            let is_meant = process.is_none_or(|process| actor.server.process == process);
            if is_meant && actor.waits_to_be_told(port) {
                actor.tell(&order)?;
            }
        }
        Ok(())
    }

    /// The sockets of a process's port listen again.
    pub(crate) fn listen(&mut self, process: &str, port: u16, backlog: i32) -> Result<()> {
        let actors = self.actors.iter_mut().filter(|actor| actor.server.process == process);
        actors.into_iter().try_for_each(|actor| actor.tell(&Order::Listen { port, backlog }))
    }

    /// Stops all processes of a name.
    pub(crate) fn stop(&self, process: &str) -> Result<()> {
        for actor in self.of(process) {
            kill_process(Pid::from_child(&actor.child), Signal::STOP)?;
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        for actor in self.of(process) {
            while !look::is_stopped(actor.pid())? {
                if Instant::now() > deadline {
                    bail!("{process} does not stop");
                }
                thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// Ends all processes of a name; their sockets are closed when this returns.
    pub(crate) fn end(&mut self, process: &str) -> Result<()> {
        let is_meant = |actor: &mut Actor| actor.server.process == process;
        self.actors.extract_if(.., is_meant).try_for_each(Actor::end)
    }

    /// Ends all processes and waits until they are gone.
    pub(crate) fn end_all(&mut self) -> Result<()> {
        self.actors.drain(..).try_for_each(Actor::end)
    }

    /// The processes of a name.
    pub(crate) fn of(&self, process: &str) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(move |actor| actor.server.process == process)
    }

    /// Fails if a process has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        for actor in &mut self.actors {
            if let Some(status) = actor.child.try_wait()? {
                bail!("{} ended ({status})", actor.server.process);
            }
        }
        Ok(())
    }
}

impl Actor {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn waits_to_be_told(&self, port: u16) -> bool {
        let mut threads = self.server.threads.iter();
        threads.any(|thread| thread.waits == Waits::Told && thread.port == Some(port))
    }

    fn tell(&mut self, order: &Order) -> Result<()> {
        let process = &self.server.process;
        let line = self.line.as_mut().with_context(|| format!("{process} is told nothing"))?;
        send(&mut line.orders, order)?;
        let mut answers = [PollFd::new(line.answers.get_ref(), PollFlags::IN)];
        if poll(&mut answers, Some(&Timespec::try_from(OBEDIENCE)?))? == 0 {
            bail!("{process} does not do what it is told");
        }
        let answer: Option<Result<(), String>> = receive(&mut line.answers)?;
        let answer = answer.with_context(|| format!("{process} ended"))?;
        answer.map_err(|error| anyhow!("{process}: {error}"))
    }

    fn end(mut self) -> Result<()> {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }
}

/// A process of this program that is to act; see [`actor`].
pub(crate) fn own_process(word: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(ACTOR).arg(std::process::id().to_string()).arg(word);
    command
}

/// A process that is told nothing gets no thread to listen for it: one more thread in a read would
/// be one more thing to see for whoever looks at the scenario.
fn is_told(server: &Server, steps: &[Step]) -> bool {
    let listens_again = |step: &Step| match step {
        Step::Listen { process, .. } => *process == server.process,
        _ => false,
    };
    server.threads.iter().any(|thread| thread.waits == Waits::Told)
        || steps.iter().any(listens_again)
}
