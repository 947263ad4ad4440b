//! `halfopen sim`: what a kernel would do with a scenario, and how that changes with one value.
//!
//! Everything that is shown is a function of a [`Run`] and the width of the terminal: `page` is a run
//! as text (with `chart` and `timeline`), `curve` a sweep; `csv`, `json`, `svg` are the other forms.

mod chart;
mod csv;
mod curve;
mod json;
mod judged;
mod load;
mod page;
mod plot;
mod series;
mod spec;
mod svg;
mod sweep;
mod timeline;
mod words;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use halfopen_diagnose::report::TextOptions;
use halfopen_model::{KernelVersion, Span};
use halfopen_scenario::{Scenario, Step};
use halfopen_sim::overrides::{self, Key};
use halfopen_sim::{Awaited, BEGINNING_UNIX_MS, Options, Run, SimError, pcap, simulate};

use crate::args::SimArgs;
use crate::exit::Exit;
use crate::{lab, output};

pub(crate) use json::{simulation_schema, sweep_schema};

use curve::Curve;
use judged::{Expectation, Judged};
use load::Loaded;
use spec::Sweep;

/// How long a changed scenario is observed where nothing else is said.
const OBSERVED: Duration = Duration::from_secs(10);

/// How often queues are sampled: bursts last for milliseconds. A
/// longer run keeps fewer samples.
const SAMPLES: Span = Span::from_millis(1);

/// Simulates what the arguments say.
///
/// # Errors
/// If something could not be written.
pub(crate) fn sim(arguments: &SimArgs) -> anyhow::Result<Exit> {
    if arguments.list {
        return lab::list_scenarios(arguments.json);
    }
    let told = match prepare(arguments) {
        Ok(told) => told,
        Err(complaint) => return refuse(&complaint),
    };
    match &told.sweep {
        None => one(arguments, &told),
        Some(sweep) => several(arguments, &told, sweep),
    }
}

/// What the arguments ask for.
struct Told {
    loaded: Loaded,
    /// The scenario with all that `--kernel` and `--set` change.
    scenario: Scenario,
    /// Whether it is not the one of the file any more.
    changed: bool,
    /// How long it is observed after its last step, if that is not its own affair.
    observed: Option<Duration>,
    sweep: Option<Sweep>,
    options: Options,
}

fn prepare(arguments: &SimArgs) -> Result<Told, String> {
    let paths = [&arguments.csv, &arguments.svg, &arguments.pcap];
    let to_stdout = paths.into_iter().flatten().filter(|path| is_stdout(path)).count();
    if to_stdout + usize::from(arguments.json) > 1 {
        return Err(
            "only one of --json, --csv -, --svg - and --pcap - fits on standard output".into()
        );
    }
    let loaded = load::load(arguments.scenario.as_deref().unwrap_or_default())?;
    let sweep = arguments.sweep.as_deref().map(Sweep::parse).transpose()?;
    let mut scenario = loaded.scenario.clone();
    let set = |scenario: &Scenario, key: &Key, value: &str| {
        overrides::set(scenario, key, value).map_err(|error| error.to_string())
    };
    if let Some(kernel) = &arguments.kernel {
        scenario = set(&scenario, &Key::Kernel, kernel)?;
    }
    for assignment in &arguments.set {
        let (key, value) = spec::assignment(assignment)?;
        scenario = set(&scenario, &key, &value)?;
    }
    let is_experiment = arguments.observe.is_some() || !arguments.set.is_empty() || sweep.is_some();
    // One that ends with a span of time can be compared as it is.
    let ends_with_time = matches!(scenario.steps.last(), Some(Step::Pass { .. }));
    let by_itself = (is_experiment && !ends_with_time).then_some(OBSERVED);
    let observed = arguments.observe.or(by_itself);
    if let Some(time) = observed {
        scenario = overrides::observed_for(&scenario, time);
    }
    let changed = scenario != loaded.scenario;
    let mut options = Options { seed: arguments.seed, sample_every: SAMPLES, ..Options::default() };
    // What was changed may keep states from coming about.
    if is_experiment {
        options.awaited = Awaited::IfItComes;
    }
    if arguments.pcap.is_none() {
        options.segments_kept = 0;
    }
    Ok(Told { loaded, scenario, changed, observed, sweep, options })
}

/// One run.
fn one(arguments: &SimArgs, told: &Told) -> anyhow::Result<Exit> {
    let run = match simulate(&told.scenario, &told.options) {
        Ok(run) => run,
        Err(error) => return failed(told, &error),
    };
    let judged = Judged::new(told.scenario.clone(), told.options.seed, run, told.changed);
    // Files first: who reads standard output may stop at any time.
    for stdout in [false, true] {
        if let Some(path) = arguments.pcap.as_deref().filter(|path| is_stdout(path) == stdout) {
            write_capture(path, &judged.scenario, &judged.run)?;
        }
        write_text(arguments.csv.as_deref(), stdout, || csv::samples(&judged.run))?;
        write_text(arguments.svg.as_deref(), stdout, || svg::run(&judged))?;
    }
    if arguments.json {
        output::write(&json::simulation(&judged)?)?;
    } else if !speaks_for_itself(arguments) {
        output::write(&page::text(&judged, &text_options(arguments)))?;
    }
    Ok(match judged.expectation {
        Expectation::None | Expectation::Changed | Expectation::Met => Exit::Healthy,
        Expectation::NotMet(_) => Exit::Warning,
    })
}

/// A run for each value of a sweep.
fn several(arguments: &SimArgs, told: &Told, sweep: &Sweep) -> anyhow::Result<Exit> {
    let scenarios: Result<Vec<(String, Scenario)>, _> = sweep
        .values
        .iter()
        .map(|value| {
            overrides::set(&told.scenario, &sweep.key, value)
                .map(|scenario| (value.clone(), scenario))
        })
        .collect();
    let scenarios = match scenarios {
        Ok(scenarios) => scenarios,
        Err(error) => return refuse(&error.to_string()),
    };
    let points = sweep::run_all(&scenarios, &told.options);
    // One kernel may refuse what another one takes; if all do, the scenario is wrong.
    let errors = || points.iter().filter_map(|point| point.outcome.as_ref().err());
    if let Some(error) = errors().next().filter(|_| errors().count() == points.len()) {
        return failed(told, error);
    }
    let kernel = match (&sweep.key, &told.scenario.kernel) {
        (Key::Kernel, _) => "several kernels".to_owned(),
        (_, None) => format!("Linux {}", told.options.kernel),
        (_, Some(release)) => {
            let version = KernelVersion::named(release);
            version.map_or_else(|_| release.clone(), |version| format!("Linux {version}"))
        }
    };
    let curve = Curve {
        scenario: &told.scenario,
        key: &sweep.key,
        points: &points,
        kernel,
        seed: told.options.seed,
        observed: told.observed.map(|time| format!("each observed for {time:?}")),
    };
    for stdout in [false, true] {
        let key = sweep.key.to_string();
        write_text(arguments.csv.as_deref(), stdout, || csv::sweep(&key, &points))?;
        write_text(arguments.svg.as_deref(), stdout, || svg::sweep(&curve))?;
    }
    if arguments.json {
        output::write(&json::sweep(&curve)?)?;
    } else if !speaks_for_itself(arguments) {
        output::write(&curve.text(output::width(), output::colour()))?;
    }
    Ok(Exit::Healthy)
}

/// A file or an argument that makes no sense, in a line.
fn refuse(complaint: &str) -> anyhow::Result<Exit> {
    eprintln!("halfopen: {}", halfopen_diagnose::words::harmless(complaint));
    Ok(Exit::Usage)
}

/// A simulation that did not come to its end: a state that did not come is no broken file.
fn failed(told: &Told, error: &SimError) -> anyhow::Result<Exit> {
    let complaint = told.loaded.complaint(error);
    match error {
        SimError::NotReached { .. } => {
            refuse(&format!("{complaint}; with --for 10s it goes on without"))?;
            Ok(Exit::Warning)
        }
        _ => refuse(&complaint),
    }
}

fn text_options(arguments: &SimArgs) -> TextOptions {
    TextOptions { width: output::width(), colour: output::colour(), verbose: arguments.verbose }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether standard output is taken by something that a program reads.
fn speaks_for_itself(arguments: &SimArgs) -> bool {
    let paths = [&arguments.csv, &arguments.svg, &arguments.pcap];
    paths.into_iter().flatten().any(|path| is_stdout(path))
}

/// Writes a text to where it belongs, if that is standard output or not.
fn write_text(
    path: Option<&Path>,
    stdout: bool,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match path.filter(|path| is_stdout(path) == stdout) {
        None => Ok(()),
        Some(_) if stdout => Ok(output::write(&text())?),
        Some(path) => {
            std::fs::write(path, text()).with_context(|| format!("cannot write {}", path.display()))
        }
    }
}

fn write_capture(path: &Path, scenario: &Scenario, run: &Run) -> anyhow::Result<()> {
    let begin_unix_us = BEGINNING_UNIX_MS * 1000;
    let about = format!("{}: {}", scenario.name, scenario.about);
    let write = |out: &mut dyn Write| -> io::Result<()> {
        let mut out = BufWriter::new(out);
        pcap::write(&run.capture, begin_unix_us, &about, &mut out)?;
        out.flush()
    };
    if is_stdout(path) {
        return Ok(write(&mut io::stdout().lock())?);
    }
    File::create(path)
        .and_then(|mut file| write(&mut file))
        .with_context(|| format!("cannot write {}", path.display()))
}
