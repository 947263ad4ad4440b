//! `halfopen lab`: scenarios on the running kernel, and whether the check calls them by their names.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use halfopen_diagnose::{Diagnosis, Filter, diagnose};
use halfopen_evidence::{Evidence, Recording};
use halfopen_lab::{HoldEnd, IpVersion, Lab, Scenario, can_run, scenarios};
use serde::Serialize;

use crate::args::{LabArgs, LabCommand, LabRunArgs, Print};
use crate::check;
use crate::exit::Exit;
use crate::output;
use crate::probe;

/// How long `--hold` leaves a scenario standing.
const HOLD: Duration = Duration::from_secs(600);

/// Scenarios at a time for `run all`. They mostly wait for the kernel's timers.
const AT_A_TIME: usize = 4;

/// A line of `lab list --json`.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    about: &'a str,
    incident: Option<u32>,
    expect: &'a [String],
    kernel: Option<&'a str>,
    parity: bool,
    needs: Vec<&'static str>,
}

/// A line of `lab run --check --json`.
#[derive(Serialize)]
struct Verdict<'a> {
    scenario: &'a str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// What came of a scenario and its check.
#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Outcome {
    AsExpected,
    Otherwise { why: String },
    Skipped { why: String },
    Failed { why: String },
}

/// How scenarios are played and checked.
#[derive(Clone, Copy)]
struct How {
    ip: IpVersion,
    no_bpf: bool,
}

/// What a check found in a lab.
struct Checked {
    evidence: Evidence,
    filter: Filter,
    outcome: Outcome,
}

/// Lists or runs scenarios.
///
/// # Errors
/// If there is no such scenario, or it did not come about.
pub(crate) fn lab(arguments: &LabArgs) -> anyhow::Result<Exit> {
    let all = scenarios().context("a scenario file of this program is broken")?;
    match &arguments.command {
        LabCommand::List { json } => list_scenarios(*json),
        LabCommand::Probe { json } => probe::probe(*json),
        LabCommand::Run(arguments) => run_chosen(&all, arguments),
    }
}

/// Lists the scenarios that are built in.
///
/// # Errors
/// Those of standard output.
pub(crate) fn list_scenarios(json: bool) -> anyhow::Result<Exit> {
    let all = scenarios().context("a scenario file of this program is broken")?;
    if json { list_json(&all) } else { list(&all) }
}

fn run_chosen(all: &[Scenario], arguments: &LabRunArgs) -> anyhow::Result<Exit> {
    let LabRunArgs { names, hold, check, no_bpf, ipv6, json, account, pcap } = arguments;
    let ip = if *ipv6 { IpVersion::V6 } else { IpVersion::V4 };
    let how = How { ip, no_bpf: *no_bpf };
    let chosen = match chosen(all, names, *check) {
        Ok(chosen) => chosen,
        Err(why) => return usage(&why),
    };
    match chosen.as_slice() {
        &[scenario] if !json => {
            if let Err(reason) = can_run(scenario, ip) {
                eprintln!("SKIPPED {}: {reason}", scenario.name);
                return Ok(Exit::CannotTell);
            }
            if *account || pcap.is_some() {
                take_account(scenario, ip, *account, pcap.as_deref())
            } else {
                run(scenario, how, *hold, *check)
            }
        }
        several if *check && !hold => check_each(several, how, *json),
        _ => usage("several scenarios go with --check and not with --hold"),
    }
}

/// The scenarios of these names; `all` stands for those that have a verdict here.
fn chosen<'s>(
    all: &'s [Scenario],
    names: &[String],
    check: bool,
) -> Result<Vec<&'s Scenario>, String> {
    if names == ["all"] {
        let has_verdict =
            |scenario: &&Scenario| !scenario.is_mechanism() && !scenario.is_for_simulator();
        return Ok(all.iter().filter(has_verdict).collect());
    }
    let find = |name: &String| {
        let scenario = all.iter().find(|scenario| scenario.name == *name);
        let scenario = scenario
            .ok_or_else(|| format!("no scenario {name:?}; `halfopen lab list` shows them all"))?;
        if check && scenario.is_mechanism() {
            return Err(format!("{name} is about a mechanism and has no verdict to check"));
        }
        Ok(scenario)
    };
    names.iter().map(find).collect()
}

fn usage(what: &str) -> anyhow::Result<Exit> {
    eprintln!("halfopen: {what}");
    Ok(Exit::Usage)
}

fn list_json(all: &[Scenario]) -> anyhow::Result<Exit> {
    let entries: Vec<Entry<'_>> = all
        .iter()
        .map(|scenario| Entry {
            name: &scenario.name,
            about: &scenario.about,
            incident: scenario.incident,
            expect: &scenario.expect,
            kernel: scenario.kernel.as_deref(),
            parity: scenario.parity,
            needs: scenario.needs.iter().map(|need| need.as_str()).collect(),
        })
        .collect();
    output::write(&format!("{}\n", serde_json::to_string_pretty(&entries)?))?;
    Ok(Exit::Healthy)
}

fn list(all: &[Scenario]) -> anyhow::Result<Exit> {
    let mut text = String::new();
    for scenario in all {
        text.push_str(&format!("{}\n    {}\n", scenario.name, scenario.about));
        if scenario.is_for_simulator() {
            text.push_str("    for the simulator only: `halfopen sim`\n");
        }
        match scenario.expect.as_slice() {
            [] if scenario.is_mechanism() => {}
            [] => text.push_str("    finds nothing: it is healthy\n"),
            ids => text.push_str(&format!("    finds {}\n", ids.join(", "))),
        }
    }
    output::write(&text)?;
    Ok(Exit::Healthy)
}

fn run(scenario: &Scenario, how: How, hold: bool, check: bool) -> anyhow::Result<Exit> {
    let mut lab = Lab::start(scenario, how.ip, |step| eprintln!("  {step}"))?;
    let exit = if check {
        let Checked { evidence, filter, outcome } = check_inside(&mut lab, scenario, how.no_bpf)?;
        check::report(&evidence, &filter, &Print::default())?;
        verdict(scenario, &outcome)
    } else {
        Exit::Healthy
    };
    if hold {
        hold_up(&mut lab)?;
    }
    lab.stop();
    Ok(exit)
}

fn take_account(
    scenario: &Scenario,
    ip: IpVersion,
    print: bool,
    pcap: Option<&Path>,
) -> anyhow::Result<Exit> {
    let account = Lab::account(scenario, ip, pcap, |step| eprintln!("  {step}"))?;
    if print {
        output::write(&format!("{}\n", serde_json::to_string_pretty(&account)?))?;
    }
    Ok(Exit::Healthy)
}

fn hold_up(lab: &mut Lab) -> anyhow::Result<()> {
    let binary = std::env::current_exe().context("where this program is")?;
    let shell = lab.shell_command();
    eprintln!("It stands for ten minutes; press Enter to end it. To look at it:");
    eprintln!("  {shell} ss -ltn");
    eprintln!("  {shell} {} check", binary.display());
    match lab.hold(HOLD)? {
        HoldEnd::Asked | HoldEnd::TimeOver => Ok(()),
        HoldEnd::Ended => bail!("the lab ended by itself"),
    }
}

/// Runs scenarios, some at a time, and says of each whether it was called by its name.
fn check_each(scenarios: &[&Scenario], how: How, json: bool) -> anyhow::Result<Exit> {
    let next = AtomicUsize::new(0);
    let (results, finished) = mpsc::channel();
    let mut totals = (0_u32, 0_u32, 0_u32);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            let (next, results) = (&next, results.clone());
            scope.spawn(move || {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = check_one(scenario, how)
                        .unwrap_or_else(|error| Outcome::Failed { why: format!("{error:#}") });
                    // Nobody listens any more if an outcome could not be printed.
                    let _ = results.send((scenario, outcome));
                }
            });
        }
        drop(results);
        for (scenario, outcome) in finished {
            match outcome {
                Outcome::Skipped { .. } => totals.2 += 1,
                Outcome::AsExpected => totals.0 += 1,
                Outcome::Otherwise { .. } | Outcome::Failed { .. } => totals.1 += 1,
            }
            if json {
                let line = Verdict { scenario: &scenario.name, outcome: &outcome };
                output::write(&format!("{}\n", serde_json::to_string(&line)?))?;
            } else {
                verdict(scenario, &outcome);
            }
        }
        anyhow::Ok(())
    })?;
    let (passed, failed, skipped) = totals;
    eprintln!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(match (passed, failed) {
        (_, 1..) => Exit::Warning,
        (0, 0) => Exit::CannotTell,
        (1.., 0) => Exit::Healthy,
    })
}

fn check_one(scenario: &Scenario, how: How) -> anyhow::Result<Outcome> {
    if let Err(reason) = can_run(scenario, how.ip) {
        return Ok(Outcome::Skipped { why: reason.to_string() });
    }
    let mut lab = Lab::start(scenario, how.ip, |_| {})?;
    let checked = check_inside(&mut lab, scenario, how.no_bpf)?;
    lab.stop();
    Ok(checked.outcome)
}

/// Takes the evidence inside the lab's namespaces and judges it out here: the rules cannot tell.
fn check_inside(lab: &mut Lab, scenario: &Scenario, no_bpf: bool) -> anyhow::Result<Checked> {
    let netns = netns_of(lab.host_pid())?;
    let file = TemporaryFile::new(&scenario.name).context("a folder for the evidence")?;
    let filter = format!("netns {netns}");
    let path = file.path.to_str().context("the temporary folder's name is not UTF-8")?;
    let mut argv = vec!["/proc/self/exe", "record", "--output", path, &filter];
    if no_bpf {
        argv.push("--no-bpf");
    }
    let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
    let ran = lab.run_inside(&argv)?;
    if !ran.status.success() {
        bail!("the check inside the lab failed: {}", String::from_utf8_lossy(&ran.stderr).trim());
    }
    let Recording { evidence, .. } = Recording::read(File::open(&file.path)?)?;
    let filter = Filter::parse(&filter).context("the filter for the lab")?;
    let outcome = compare(scenario, &diagnose(&evidence), &filter);
    Ok(Checked { evidence, filter, outcome })
}

fn compare(scenario: &Scenario, diagnosis: &Diagnosis, filter: &Filter) -> Outcome {
    let found = diagnosis.findings.iter().filter(|finding| filter.matches(&finding.subject));
    let found: Vec<(&str, &str)> =
        found.map(|finding| (finding.id.as_str(), finding.cause.as_str())).collect();
    match scenario.wrong(&found) {
        None => Outcome::AsExpected,
        Some(wrong) => Outcome::Otherwise { why: wrong.to_string() },
    }
}

/// Says what came of a scenario, on standard error: the report is on standard output.
fn verdict(scenario: &Scenario, outcome: &Outcome) -> Exit {
    let name = &scenario.name;
    match outcome {
        Outcome::AsExpected => {
            let found = match scenario.expect.as_slice() {
                [] => "nothing".to_owned(),
                ids => ids.join(", "),
            };
            eprintln!("ok {name}: {found}");
            Exit::Healthy
        }
        Outcome::Skipped { why } => {
            eprintln!("SKIPPED {name}: {why}");
            Exit::CannotTell
        }
        Outcome::Otherwise { why } | Outcome::Failed { why } => {
            eprintln!("FAILED {name}: {why}");
            Exit::Warning
        }
    }
}

fn netns_of(pid: u32) -> anyhow::Result<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).context("the lab's namespace")?;
    link.to_str()
        .and_then(|text| text.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok())
        .context("the lab's namespace has no number")
}

/// A file in a folder of its own that nobody else may write to, removed at the end.
struct TemporaryFile {
    folder: PathBuf,
    path: PathBuf,
}

impl TemporaryFile {
    fn new(name: &str) -> io::Result<Self> {
        let folder = format!("halfopen-lab-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let path = folder.join("evidence.halfopen");
        Ok(Self { folder, path })
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What stays behind is an empty folder at the worst.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(&self.folder);
    }
}
