//! `halfopen pcap`: what became of each handshake in a capture.
//!
//! `read` brings packets in, as one capture in the order of time; `halfopen_capture` makes handshakes of
//! them (`telling`, on threads of their own); `outputs` writes each as it is told, and `totals` adds them
//! up. The rest are pure functions from values to text: `summary`, `lines`, `json`, `flat` (CSV and
//! Parquet), `ladder`, `html`.

mod ahead;
mod args;
mod flat;
mod flow;
mod following;
mod html;
mod input;
mod json;
mod ladder;
mod ladder_points;
mod ladder_svg;
mod ladder_text;
mod lines;
mod outputs;
#[cfg_attr(not(feature = "parquet"), path = "parquet_absent.rs")]
mod parquet_file;
mod points;
mod progress;
mod read;
mod summary;
mod telling;

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;
use halfopen_capture::{Filter, Limits};
use halfopen_diagnose::report::TextOptions;
use halfopen_diagnose::words::harmless;

use crate::exit::Exit;
use crate::handshakes::class::{self, CLASSES, Gravity};
use crate::handshakes::found::Found;
use crate::handshakes::totals::{Counting, Totals};
use crate::handshakes::verdict::Verdict;
use crate::handshakes::words;
use crate::{interrupt, output};

pub(crate) use args::PcapArgs;
pub(crate) use json::schema as json_schema;

use flow::{Choice, Flow};
use following::{Counted, Following};
use input::{Complaint, Input};
use outputs::Outputs;
use points::{Asked, Points};
use read::{Account, Plan};
use summary::Told;
use telling::Telling;

/// Reads the captures and prints what was asked for.
///
/// # Errors
/// If something could not be written.
pub(crate) fn pcap(arguments: &PcapArgs) -> anyhow::Result<Exit> {
    let (mut plan, flow, asked) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(complaint) => return refuse(&complaint),
    };
    interrupt::listen();
    let points = match points::find(&plan, &asked) {
        Ok(points) => points,
        Err(complaint) => return refuse(&complaint),
    };
    plan.clocks = points.as_ref().map(Points::clocks).unwrap_or_default();
    let sources = plan.inputs.iter().map(Input::name).collect();
    let mut outputs = Outputs::open(arguments, sources)?;
    let read = match read_handshakes(arguments, &plan, points, flow, &mut outputs) {
        Ok(read) => read,
        Err(complaint) => return refuse(&complaint),
    };
    outputs.finish()?;
    print(arguments, &plan, read)
}

/// What the arguments say, checked before anything is read.
fn prepare(arguments: &PcapArgs) -> Result<(Plan, Option<Flow>, Asked), Complaint> {
    let paths = [&arguments.csv, &arguments.svg, &arguments.html];
    let to_stdout = paths.into_iter().flatten().filter(|path| is_stdout(path)).count();
    let lines = usize::from(arguments.json) + usize::from(arguments.handshakes);
    if to_stdout + lines > 1 {
        return Err("only one of --json, --handshakes, --csv -, --svg - and --html - fits on \
                    standard output"
            .into());
    }
    if arguments.parquet.as_deref().is_some_and(is_stdout) {
        return Err("--parquet needs a file".into());
    }
    let (inputs, filter, asked) = if arguments.point.is_empty() {
        let (inputs, filter) = inputs_and_filter(&arguments.words)?;
        (inputs, filter, if arguments.pieces { Asked::Pieces } else { Asked::Nothing })
    } else {
        let (inputs, asked) = points::named(&arguments.point)?;
        (inputs, filter(&arguments.words)?, asked)
    };
    let files = [&arguments.csv, &arguments.svg, &arguments.html, &arguments.parquet];
    if let Some(path) = files.into_iter().flatten().find(|path| inputs.iter().any(|it| it.is(path)))
    {
        return Err(format!("{}: is read, and would be overwritten", path.display()));
    }
    let again = arguments.sequence.is_some() || arguments.html.is_some();
    if let Some(input) = inputs.iter().find(|input| again && input.size.is_none()) {
        let name = input.name();
        return Err(format!("{name}: --sequence and --html read a capture twice; give a file"));
    }
    if arguments.follow && inputs.len() > 1 {
        return Err("--follow reads one capture".into());
    }
    let flow = arguments.sequence.as_deref().map(Flow::parse).transpose()?;
    let (tunnels, follow) = (arguments.tunnels(), arguments.follow);
    Ok((Plan { inputs, filter, tunnels, follow, clocks: Vec::new() }, flow, asked))
}

/// The words that name captures, and the filter that the others make.
fn inputs_and_filter(words: &[String]) -> Result<(Vec<Input>, Filter), Complaint> {
    let is_input = |word: &&String| word.as_str() == "-" || Path::new(word).exists();
    // The first must be one.
    let count = words.iter().take_while(is_input).count().max(1);
    let (names, rest) = words.split_at(count.min(words.len()));
    let inputs = names.iter().map(|name| Input::new(name)).collect::<Result<Vec<_>, _>>()?;
    if inputs.iter().filter(|input| input.is_stdin()).count() > 1 {
        return Err("standard input can be read once".into());
    }
    Ok((inputs, filter(rest)?))
}

/// The filter that words make.
fn filter(words: &[String]) -> Result<Filter, Complaint> {
    // Of what looks like a path, its absence is the better complaint.
    let looks_like_path =
        |word: &&String| word.contains('/') && !is_network(word) || is_capture(word);
    if let Some(absent) = words.iter().find(looks_like_path) {
        return Err(match Input::new(absent) {
            Ok(_) => format!("{absent}: captures come before the filter"),
            Err(complaint) => complaint,
        });
    }
    Filter::parse(&words.join(" ")).map_err(|error| error.to_string())
}

fn is_network(word: &str) -> bool {
    word.split_once('/').is_some_and(|(_, length)| length.parse::<u8>().is_ok())
}

fn is_capture(word: &str) -> bool {
    [".pcap", ".pcapng", ".cap"].iter().any(|ending| word.contains(ending))
}

/// What came of reading.
struct Read {
    account: Account,
    points: Option<Points>,
    counted: Counted,
    totals: Totals,
    choice: Option<Choice>,
}

/// Reads all of it; each handshake is written as it is told.
fn read_handshakes(
    arguments: &PcapArgs,
    plan: &Plan,
    points: Option<Points>,
    flow: Option<Flow>,
    outputs: &mut Outputs,
) -> Result<Read, Complaint> {
    let limits = Limits {
        max_flows: arguments.max_flows,
        hash_seed: RandomState::new().hash_one(0),
        // Who follows a capture wants to see a connection before it ends.
        established_ns: arguments.follow.then_some(2_000_000_000),
        ..Limits::default()
    };
    let following = Following::new(limits, points.as_ref());
    let mut counting = Counting::default();
    let mut choice = flow.map(Choice::new);
    let teller = |telling: Telling<'_>| {
        match telling {
            Telling::Found(some) => {
                if let Some(choice) = &mut choice {
                    some.iter().for_each(|found| choice.add(found));
                }
                some.iter().for_each(|found| outputs.add(found));
                counting.add(some);
            }
            Telling::Idle => outputs.flush(),
        }
        if outputs.is_wanted() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (account, counted) = telling::tell(plan, following, arguments.threads, teller)?;
    Ok(Read { account, points, counted, totals: counting.finish(), choice })
}

/// Prints what was read.
fn print(arguments: &PcapArgs, plan: &Plan, read: Read) -> anyhow::Result<Exit> {
    let Read { account, points, counted, totals, choice } = read;
    if let Some(choice) = choice {
        return sequence(arguments, plan, points.as_ref(), choice);
    }
    let verdict = Verdict::of(&totals);
    let command = command(&account.sources);
    let told = Told {
        account: &account,
        points: points.as_ref(),
        counted: &counted,
        totals: &totals,
        verdict: &verdict,
        command: &command,
    };
    if let Some(path) = &arguments.html {
        let examples = match flow::follow(plan, examples(&totals)) {
            Ok(examples) => examples,
            Err(complaint) => return refuse(&complaint),
        };
        write_text(path, &html::page(&told, &examples))?;
    }
    let is_taken =
        [&arguments.csv, &arguments.html].into_iter().flatten().any(|path| is_stdout(path));
    let options = TextOptions {
        width: output::width(),
        colour: output::colour(),
        verbose: arguments.verbose,
    };
    let written = if arguments.json {
        output::write(&json::summary(&told)?)
    } else if !is_taken && !arguments.handshakes {
        output::write(&summary::text(&told, &options))
    } else {
        Ok(())
    };
    match written {
        // Who stopped reading has read enough; the verdict stands.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(verdict.status.into()),
    }
}

/// Draws a handshake.
fn sequence(
    arguments: &PcapArgs,
    plan: &Plan,
    points: Option<&Points>,
    choice: Choice,
) -> anyhow::Result<Exit> {
    let Some(found) = choice.chosen else {
        let flow = arguments.sequence.as_deref().unwrap_or_default();
        eprintln!("halfopen: no handshake {} in it", harmless(flow));
        return Ok(Exit::CannotTell);
    };
    let number = found.number;
    let followed = match flow::follow(plan, vec![found]) {
        Ok(followed) => followed,
        Err(complaint) => return refuse(&complaint),
    };
    let Some(followed) = followed.first() else { return Ok(Exit::CannotTell) };
    let ladder = ladder::ladder(followed, points);
    if let Some(path) = &arguments.svg {
        write_text(path, &ladder_svg::document(&ladder))?;
    }
    if !arguments.svg.as_deref().is_some_and(is_stdout) {
        let mut text = ladder_text::text(&ladder, output::width(), output::colour());
        if choice.count > 1 {
            let all = words::counted(choice.count, "handshake");
            text.push_str(&format!("\n{all} with these addresses; this is number {number}.\n"));
        }
        output::write(&text)?;
    }
    Ok(match class::gravity(followed.found.handshake.outcome) {
        Gravity::Fine => Exit::Healthy,
        Gravity::Late => Exit::Warning,
        Gravity::Failed => Exit::Failure,
        Gravity::Unsaid => Exit::CannotTell,
    })
}

/// The first handshake of each class that is worth a picture.
fn examples(totals: &Totals) -> Vec<Found> {
    let of_class = CLASSES.iter().zip(&totals.examples);
    let notable = of_class.filter(|(class, _)| summary::is_notable(class));
    notable.filter_map(|(_, example)| example.clone()).collect()
}

/// How to look at one handshake, but for its number.
fn command(sources: &[String]) -> String {
    let quoted = |name: &String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "./_-+:@%,=".contains(c);
        if name.chars().all(is_plain) {
            name.clone()
        } else {
            format!("'{}'", name.replace('\'', "'\\''"))
        }
    };
    let names: Vec<String> = sources.iter().map(quoted).collect();
    match names.as_slice() {
        // What came through a pipe has no name to give again.
        [_] if sources.iter().any(|name| name == input::STDIN) => "halfopen pcap FILE".to_owned(),
        [one] => format!("halfopen pcap {one}"),
        _ => "halfopen pcap …".to_owned(),
    }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    if is_stdout(path) {
        return Ok(output::write(text)?);
    }
    std::fs::write(path, text).with_context(|| outputs::cannot_write(path))
}

/// What makes no sense or cannot be read, in a line.
fn refuse(complaint: &str) -> anyhow::Result<Exit> {
    eprintln!("halfopen: {}", harmless(complaint));
    Ok(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn captures_come_first_and_the_filter_after_them() {
        let (inputs, filter) =
            inputs_and_filter(&words("- port 80 and net 10.0.0.0/8")).expect("both");
        assert_eq!((inputs.len(), filter.is_everything()), (1, false));
        assert!(inputs_and_filter(&words("-")).expect("an input").1.is_everything());
        for (text, complaint) in [
            ("absent.pcap", "absent.pcap: No such file or directory (os error 2)"),
            ("- absent.pcap", "absent.pcap: No such file or directory (os error 2)"),
            ("- -", "standard input can be read once"),
            ("/", "/: is a directory"),
        ] {
            assert_eq!(inputs_and_filter(&words(text)).err().as_deref(), Some(complaint));
        }
        assert!(inputs_and_filter(&words("- prot 80")).is_err());
    }

    #[test]
    fn names_are_quoted_where_a_shell_needs_it() {
        assert_eq!(command(&["a-1.pcap".to_owned()]), "halfopen pcap a-1.pcap");
        assert_eq!(command(&["it's a.pcap".to_owned()]), "halfopen pcap 'it'\\''s a.pcap'");
    }
}
