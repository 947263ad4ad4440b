//! Which processes the user means.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use halfopen_collect::proc::ProcRoot;
use halfopen_collect::{Collector, Scope};
use halfopen_diagnose::words::harmless;
use halfopen_evidence::{Pid, Reading, Want};

/// Processes shown at most: a prefork server's workers are alike.
const PROCESSES_MAX: usize = 16;

/// A process, or several, by what the user calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// By number.
    Pid(Pid),
    /// Whoever holds a listening socket with this port.
    Port(u16),
    /// Every process of this name.
    Name(String),
}

impl Target {
    /// Reads `812`, `:8080` or a name.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().with_context(|| format!("{} is no port", harmless(text)))?;
            return Ok(Self::Port(port));
        }
        if text.is_empty() {
            bail!("name a process: a pid, :PORT, or its name");
        }
        Ok(match text.parse() {
            Ok(pid) => Self::Pid(Pid(pid)),
            Err(_) => Self::Name(text.to_owned()),
        })
    }

    /// The processes, lowest pid first, and how many were left out.
    ///
    /// # Errors
    /// If there is none, or it could not be found out.
    pub(crate) fn processes(&self) -> anyhow::Result<(Vec<Pid>, usize)> {
        let mut pids = match self {
            Self::Pid(pid) => BTreeSet::from([*pid]),
            Self::Port(port) => listening(*port)?,
            Self::Name(name) => named(name)?,
        };
        let left_out = pids.len().saturating_sub(PROCESSES_MAX);
        while pids.len() > PROCESSES_MAX {
            pids.pop_last();
        }
        Ok((pids.into_iter().collect(), left_out))
    }
}

fn listening(port: u16) -> anyhow::Result<BTreeSet<Pid>> {
    let scope = Scope { ports: Some(BTreeSet::from([port])), ..Scope::default() };
    let mut collector = Collector::new(scope)?;
    let mut snapshot = collector.look().context("cannot look at this host")?;
    let on_port: Vec<Want> = snapshot
        .listeners()
        .filter(|(_, endpoint, _)| endpoint.key.local.port() == port)
        .map(|(netns, _, listener)| Want::Holders { netns: netns.id, inodes: vec![listener.inode] })
        .collect();
    if on_port.is_empty() {
        bail!("nothing listens on port {port}; `halfopen check` lists what listens");
    }
    collector.fetch(&mut snapshot, &on_port);
    let at_port = snapshot.listeners().filter(|(_, at, _)| at.key.local.port() == port);
    let mut pids = BTreeSet::new();
    let mut why = None;
    for (.., listener) in at_port {
        match &listener.holders {
            Reading::Known(holders) => pids.extend(holders.found.iter().map(|holder| holder.pid)),
            Reading::Missing(missing) => why = Some(missing.to_string()),
        }
    }
    match why {
        _ if !pids.is_empty() => Ok(pids),
        Some(why) => bail!("who listens on port {port} is {why}"),
        None => bail!(
            "no process is seen that listens on port {port}: run as root to see those of others"
        ),
    }
}

fn named(name: &str) -> anyhow::Result<BTreeSet<Pid>> {
    let root = ProcRoot::default();
    let all = match root.pids() {
        Reading::Known(pids) => pids,
        Reading::Missing(why) => bail!("the list of processes is {why}"),
    };
    let own = Pid(std::process::id());
    let is_it = |pid: &Pid| *pid != own && root.name(*pid).get().is_some_and(|comm| comm == name);
    let pids: BTreeSet<Pid> = all.into_iter().filter(is_it).collect();
    if pids.is_empty() {
        bail!("no process is called {} (see `ps -eo pid,comm`)", harmless(name));
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_pid_a_colon_makes_it_a_port_and_the_rest_are_names() {
        assert_eq!(Target::parse("812").ok(), Some(Target::Pid(Pid(812))));
        assert_eq!(Target::parse(":8080").ok(), Some(Target::Port(8080)));
        assert_eq!(Target::parse("java").ok(), Some(Target::Name("java".to_owned())));
        for text in ["", ":", ":65536", ":http"] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
    }
}
