//! A running scenario, as the process that started it holds it.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use halfopen_scenario::{Account, Scenario};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thiserror::Error;

use crate::host::{ACCOUNT, TRY};
use crate::protocol::{Event, Play, Request, receive, send};
use crate::{HOST, IpVersion};

/// A scenario on the running kernel. Dropping it ends all its processes.
#[derive(Debug)]
pub struct Lab {
    child: Child,
    requests: ChildStdin,
    events: BufReader<ChildStdout>,
}

/// Why a lab did not come about, or came to an end.
#[derive(Debug, Error)]
pub enum LabError {
    /// The lab host could not be started or talked to.
    #[error("cannot {what} the lab host")]
    Host {
        /// What could not be done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The scenario's state did not come about.
    #[error("the scenario did not come about: {0}")]
    Scenario(String),
    /// The host ended or said something that it should not.
    #[error("the lab host ended")]
    Ended,
}

/// Why a scenario cannot run on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipReason(pub String);

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a lab that was held up came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    /// Somebody pressed Enter, or the standard input ended.
    Asked,
    /// The time was over.
    TimeOver,
    /// The lab ended by itself.
    Ended,
}

/// Whether this machine offers what a scenario needs: namespaces, its settings, its devices. Tried
/// out in a process of its own.
///
/// # Errors
///
/// What is missing.
pub fn can_run(scenario: &Scenario, ip: IpVersion) -> Result<(), SkipReason> {
    let failure = |error: LabError| SkipReason(error.to_string());
    let mut lab = Lab::spawn(scenario, ip, &[OsStr::new(TRY)]).map_err(failure)?;
    match lab.next_event().map_err(failure)? {
        Event::Ready => Ok(()),
        Event::Skipped(reason) | Event::Failed(reason) => Err(SkipReason(reason)),
        Event::Entered | Event::Progress(_) | Event::Ran(_) | Event::Account(_) => {
            Err(SkipReason(LabError::Ended.to_string()))
        }
    }
}

impl Lab {
    /// Starts a scenario and returns when all its states are reached. Traffic that the scenario
    /// keeps up goes on until the lab is stopped. `on_progress` is told of each step.
    ///
    /// # Errors
    ///
    /// The step whose state did not come in time, or what the kernel refused.
    pub fn start(
        scenario: &Scenario,
        ip: IpVersion,
        on_progress: impl FnMut(&str),
    ) -> Result<Self, LabError> {
        let mut lab = Self::enter(scenario, ip)?;
        lab.play(on_progress)?;
        Ok(lab)
    }

    /// Makes the namespaces for a scenario, and returns before its first step: who watches from the
    /// beginning has time to take a place.
    ///
    /// # Errors
    ///
    /// What the kernel refused.
    pub fn enter(scenario: &Scenario, ip: IpVersion) -> Result<Self, LabError> {
        let mut lab = Self::spawn(scenario, ip, &[])?;
        match lab.next_event()? {
            Event::Entered => Ok(lab),
            Event::Failed(why) | Event::Skipped(why) => Err(LabError::Scenario(why)),
            Event::Progress(_) | Event::Ready | Event::Ran(_) | Event::Account(_) => {
                Err(LabError::Ended)
            }
        }
    }

    /// Plays the steps of a scenario whose namespaces were made by [`Lab::enter`], to be called once.
    ///
    /// # Errors
    ///
    /// Those of [`Lab::start`].
    pub fn play(&mut self, mut on_progress: impl FnMut(&str)) -> Result<(), LabError> {
        send(&mut self.requests, &Request::Play).map_err(|source| host_error("talk to", source))?;
        loop {
            match self.next_event()? {
                Event::Progress(step) => on_progress(&step),
                Event::Ready => return Ok(()),
                Event::Failed(why) | Event::Skipped(why) => return Err(LabError::Scenario(why)),
                Event::Entered | Event::Ran(_) | Event::Account(_) => return Err(LabError::Ended),
            }
        }
    }

    /// Plays a scenario to its end, looks at it as it goes and says what was seen. `on_progress` is
    /// told of each step. Nothing of it is left afterwards but the capture, if a file is named for it.
    ///
    /// # Errors
    ///
    /// Those of [`Lab::start`]; a capture file that is there already.
    pub fn account(
        scenario: &Scenario,
        ip: IpVersion,
        pcap: Option<&Path>,
        mut on_progress: impl FnMut(&str),
    ) -> Result<Account, LabError> {
        let pcap = pcap.map(Path::as_os_str);
        let args: Vec<&OsStr> = std::iter::once(OsStr::new(ACCOUNT)).chain(pcap).collect();
        let mut lab = Self::spawn(scenario, ip, &args)?;
        loop {
            match lab.next_event()? {
                Event::Progress(step) => on_progress(&step),
                Event::Account(account) => {
                    // The host ends by itself, after its actors.
                    let _ = lab.child.wait();
                    return Ok(account);
                }
                Event::Failed(why) | Event::Skipped(why) => return Err(LabError::Scenario(why)),
                Event::Entered | Event::Ready | Event::Ran(_) => return Err(LabError::Ended),
            }
        }
    }

    /// The process id of the lab host: a process inside the namespaces.
    #[must_use]
    pub fn host_pid(&self) -> u32 {
        self.child.id()
    }

    /// The command that opens a shell inside the namespaces.
    #[must_use]
    pub fn shell_command(&self) -> String {
        let pid = self.host_pid();
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/user")).ok();
        if namespace(&pid.to_string()) == namespace("self") {
            format!("nsenter -t {pid} -n")
        } else {
            format!("nsenter -t {pid} -U --preserve-credentials -n")
        }
    }

    /// Runs a command inside the namespaces, with the environment of this process, no standard
    /// input, and its output caught. It may look at the scenario's processes in /proc.
    ///
    /// # Errors
    ///
    /// If the lab host has ended. That the command cannot be started shows in its status.
    pub fn run_inside(&mut self, argv: &[String]) -> Result<Output, LabError> {
        let request = Request::Run { argv: argv.to_vec() };
        send(&mut self.requests, &request).map_err(|source| host_error("talk to", source))?;
        let Event::Ran(ran) = self.next_event()? else { return Err(LabError::Ended) };
        Ok(Output {
            status: ExitStatus::from_raw(ran.status),
            stdout: ran.stdout.into_bytes(),
            stderr: ran.stderr.into_bytes(),
        })
    }

    /// Keeps the lab up until Enter is pressed, the standard input ends or the time is over.
    ///
    /// # Errors
    ///
    /// If waiting itself fails.
    pub fn hold(&mut self, at_most: Duration) -> Result<HoldEnd, LabError> {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(HoldEnd::TimeOver);
            }
            let stdin = io::stdin();
            let mut ready = [
                PollFd::new(&stdin, PollFlags::IN),
                PollFd::from_borrowed_fd(self.events.get_ref().as_fd(), PollFlags::IN),
            ];
            let left = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut ready, Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(host_error("wait for", error.into())),
            }
            // The host says nothing without being asked, so this is its end.
            let ended = !ready[1].revents().is_empty();
            return Ok(if ended { HoldEnd::Ended } else { HoldEnd::Asked });
        }
    }

    /// Ends all processes of the lab and waits until they are gone.
    pub fn stop(mut self) {
        if send(&mut self.requests, &Request::Stop).is_err() {
            // Drop does the rest.
            return;
        }
        let _ = self.child.wait();
    }

    fn spawn(scenario: &Scenario, ip: IpVersion, args: &[&OsStr]) -> Result<Self, LabError> {
        let mut child = Command::new("/proc/self/exe")
            .arg(HOST)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| host_error("start", source))?;
        let (Some(mut requests), Some(events)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(LabError::Ended);
        };
        let told = send(&mut requests, &Play { scenario, ip });
        let lab = Self { child, requests, events: BufReader::new(events) };
        told.map_err(|source| host_error("talk to", source))?;
        Ok(lab)
    }

    fn next_event(&mut self) -> Result<Event, LabError> {
        let event = receive(&mut self.events);
        event.map_err(|source| host_error("hear", source))?.ok_or(LabError::Ended)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The actors end with the host; it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn host_error(what: &'static str, source: io::Error) -> LabError {
    LabError::Host { what, source }
}
