//! From a scenario to a run.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use halfopen_evidence::{Evidence, Interval};
use halfopen_model::tcp::{Effects, Stack, TimerQueue};
use halfopen_model::{DropReason, KernelVersion, Semantics, Span, Sysctls, Time};
use halfopen_scenario::{Account, Scenario, Step};

use crate::budget::Budget;
use crate::chance::Chance;
use crate::clients::Crowd;
use crate::error::SimError;
use crate::host::{Host, NEAR};
use crate::options::{Awaited, Options};
use crate::path::Path;
use crate::peers::RawPeers;
use crate::programs::Programs;
use crate::run::{ClientsSummary, HostSummary, MomentKind, Moments, Run};
use crate::tap::Tap;
use crate::watch::Watch;
use crate::world::World;

/// The window of a check.
const WINDOW: Span = Span::from_secs(2);

/// Simulates a scenario, and then a check of two seconds.
///
/// # Errors
///
/// What the scenario asks for and its kernel refuses, and a state that did not come in time.
pub fn simulate(scenario: &Scenario, options: &Options) -> Result<Run, SimError> {
    let mut world = World::new(scenario, options)?;
    let looks = world.play_all(&scenario.steps, options.awaited)?;
    let mut run = world.check(looks);
    world.last_sample();
    world.check_budget()?;
    world.summarise(&mut run);
    Ok(run)
}

/// Simulates the steps of a scenario only, for its account.
///
/// # Errors
///
/// As [`simulate`].
pub fn account(scenario: &Scenario, options: &Options) -> Result<Account, SimError> {
    let mut world = World::new(scenario, options)?;
    let looks = world.play_all(&scenario.steps, options.awaited)?;
    Ok(world.account(looks))
}

impl World {
    fn new(scenario: &Scenario, options: &Options) -> Result<Self, SimError> {
        let kernel = match &scenario.kernel {
            None => options.kernel,
            Some(name) => KernelVersion::named(name)?,
        };
        let clients_kernel = match &scenario.clients_kernel {
            None => kernel,
            Some(name) => KernelVersion::named(name)?,
        };
        let mut chance = Chance::new(options.seed);
        let server = host("server", NEAR, kernel, chance.next());
        let mut world = Self {
            now: Time::ZERO,
            hosts: vec![server],
            clients_kernel,
            settings: Vec::new(),
            path: Path::new(),
            chance,
            schedule: TimerQueue::new(),
            programs: Programs::default(),
            crowd: Crowd::default(),
            peers: RawPeers::default(),
            tap: Tap::new(options.segments_kept),
            moments: Moments::new(options.moments_kept),
            watch: Watch::new(options.sample_every),
            effects: Effects::default(),
            budget: Budget::new(options.most_events),
        };
        world.set(&scenario.sysctl)?;
        world.first_sample();
        Ok(world)
    }

    fn play_all(
        &mut self,
        steps: &[Step],
        awaited: Awaited,
    ) -> Result<Vec<halfopen_scenario::Picture>, SimError> {
        let mut looks = Vec::new();
        for step in steps {
            self.moments.add(self.now, MomentKind::Step, step.to_string());
            match self.play(step) {
                Err(error @ SimError::NotReached { .. }) if awaited == Awaited::IfItComes => {
                    self.moments.add(self.now, MomentKind::Step, error.to_string());
                }
                played => played?,
            }
            self.spend_look();
            self.check_budget()?;
            if let Step::Look { name } = step {
                looks.push(self.picture(name.clone()));
            }
        }
        looks.push(self.picture(None));
        self.moments.add(self.now, MomentKind::End, "all steps are done".to_owned());
        Ok(looks)
    }

    fn account(&self, looks: Vec<halfopen_scenario::Picture>) -> Account {
        let packets = self.tap.packets.iter();
        let segments = packets.filter(|packet| packet.unreachable.is_none());
        let segments = segments.map(|packet| packet.seen).collect();
        Account { looks, segments, segments_omitted: self.tap.omitted }
    }

    /// Two looks and what was sampled between them.
    fn check(&mut self, looks: Vec<halfopen_scenario::Picture>) -> Run {
        let account = self.account(looks);
        self.settle_groups();
        let clients = self.crowd.host;
        let servers: Vec<usize> =
            (0..self.hosts.len()).filter(|&host| Some(host) != clients).collect();
        let first = self.snapshot(&servers);
        let clients_first = clients.map(|host| self.snapshot(&[host]));
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        let between = self.watch_for(WINDOW, &all);
        self.settle_groups();
        let second = self.snapshot(&servers);
        let clients_evidence = clients.zip(clients_first).map(|(host, first)| {
            let second = self.snapshot(&[host]);
            let between = halfopen_evidence::Between::default();
            Evidence::Window(Box::new(Interval { first, between, second }))
        });
        let mut between = between;
        between.queues.retain(|track| second.netns(track.netns).is_some());
        Run {
            evidence: Evidence::Window(Box::new(Interval { first, between, second })),
            clients_evidence,
            account,
            capture: Vec::new(),
            timeline: Vec::new(),
            moments_omitted: 0,
            samples: Vec::new(),
            hosts: Vec::new(),
            clients: Vec::new(),
            elapsed_us: 0,
        }
    }

    fn summarise(self, run: &mut Run) {
        run.elapsed_us = self.now.as_micros();
        run.capture = self.tap.packets;
        run.timeline = self.moments.moments;
        run.moments_omitted = self.moments.omitted;
        run.samples = self.watch.samples;
        run.hosts = self.hosts.iter().map(summary).collect();
        run.clients = self
            .crowd
            .groups
            .into_iter()
            .map(|group| {
                let mut latencies_us = group.latencies;
                latencies_us.sort_unstable();
                ClientsSummary { name: group.plan.name, outcomes: group.outcomes, latencies_us }
            })
            .collect();
    }
}

/// A host of this kernel with the kernel's own settings.
pub(crate) fn host(name: &str, address: Ipv4Addr, kernel: KernelVersion, secret: u64) -> Host {
    let semantics = Semantics::of(kernel);
    Host {
        name: name.to_owned(),
        kernel,
        address,
        stack: Stack::new(semantics, Sysctls::defaults(&semantics), secret),
        arriving: TimerQueue::new(),
        conntrack: None,
        served: BTreeSet::new(),
    }
}

fn summary(host: &Host) -> HostSummary {
    let count = |&reason: &DropReason| (reason, host.stack.dropped(reason));
    HostSummary {
        name: host.name.clone(),
        kernel: host.kernel,
        counters: host.stack.counters().clone(),
        drops: DropReason::ALL.iter().map(count).filter(|&(_, count)| count > 0).collect(),
    }
}
