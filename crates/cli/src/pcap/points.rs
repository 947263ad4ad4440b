//! Whether several captures are of one place or of two on the same path, and how the two are brought to
//! one clock.
//!
//! Two files that hold the same packets are two points. Whoever has more files, or knows better, says
//! so: `--point NAME=FILE` for each, `--pieces` for none. Points are read twice: at first for the
//! clocks and for what is on the way, then for the handshakes.

use std::ops::ControlFlow;

use halfopen_capture::{Clock, Relation, Survey};
use halfopen_diagnose::words::harmless;

use super::input::{Complaint, Input};
use super::read::{self, Event, Plan};
use crate::handshakes::words::{counted, grouped, span};

/// What the arguments say about points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: two files are compared.
    Nothing,
    /// That the files are pieces of one capture.
    Pieces,
    /// The names of the two points, and which of them each file belongs to.
    Named([String; 2], Vec<usize>),
}

/// Two points on one path.
#[derive(Clone, Debug)]
pub(super) struct Points {
    /// What they are called.
    pub(super) names: [String; 2],
    /// Which of them each file belongs to.
    pub(super) of_file: Vec<usize>,
    /// What they have to do with each other.
    pub(super) relation: Relation,
}

/// What `--point` names, with the files in their order.
///
/// # Errors
/// If that makes no two points.
pub(super) fn named(points: &[String]) -> Result<(Vec<Input>, Asked), Complaint> {
    let (mut names, mut inputs, mut of_file) = (Vec::new(), Vec::new(), Vec::new());
    for point in points {
        let pair =
            point.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty());
        let Some((name, file)) = pair else {
            return Err(format!("--point {point}: not NAME=FILE"));
        };
        let place = names.iter().position(|it| it == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        inputs.push(Input::new(file)?);
        of_file.push(place);
    }
    let count = names.len();
    let names = <[String; 2]>::try_from(names)
        .map_err(|_| format!("{count} points are named; two are joined"))?;
    Ok((inputs, Asked::Named(names, of_file)))
}

/// Reads what is needed to say whether there are two points. None if the files are of one place.
///
/// # Errors
/// If a file cannot be read, or the points that were named saw nothing together.
pub(super) fn find(plan: &Plan, asked: &Asked) -> Result<Option<Points>, Complaint> {
    let (names, of_file) = match asked {
        Asked::Pieces => return Ok(None),
        Asked::Nothing if plan.inputs.len() != 2 => return Ok(None),
        Asked::Nothing if plan.inputs.iter().any(|input| input.size.is_none()) => return Ok(None),
        Asked::Nothing => (names_of(&plan.inputs), vec![0, 1]),
        Asked::Named(names, of_file) => (names.clone(), of_file.clone()),
    };
    if let Some(input) = plan.inputs.iter().find(|input| input.size.is_none()) {
        return Err(format!("{}: points are read twice; give files", input.name()));
    }
    let relation = Relation::of(&survey(plan, &of_file, 0)?, &survey(plan, &of_file, 1)?);
    let is_named = *asked != Asked::Nothing;
    match (relation.clock, relation.is_of_two_points()) {
        (Some(_), two) if two || is_named => Ok(Some(Points { names, of_file, relation })),
        (None, _) if is_named => Err(unrelated(&names, &relation)),
        _ => Ok(None),
    }
}

/// Why points that were named cannot be joined.
fn unrelated(names: &[String; 2], relation: &Relation) -> Complaint {
    let [first, second] = names;
    let why = match relation.renumbered {
        0 => "the captures have no handshake in common".to_owned(),
        some => format!(
            "sequence numbers are rewritten between them ({} with the same addresses)",
            counted(some as u64, "handshake")
        ),
    };
    format!("{first} and {second} cannot be joined: {why}")
}

fn survey(plan: &Plan, of_file: &[usize], point: usize) -> Result<Survey, Complaint> {
    let files = plan.inputs.iter().zip(of_file).filter(|(_, of)| **of == point);
    let plan = Plan {
        inputs: files.map(|(input, _)| input.clone()).collect(),
        clocks: Vec::new(),
        ..plan.clone()
    };
    let mut survey = Survey::default();
    let account = read::read(&plan, |event| {
        if let Event::Batch(batch, _) = event {
            batch.iter().for_each(|observed| survey.add(observed));
        }
        ControlFlow::Continue(())
    })?;
    survey.covers(account.span_ns, account.missing());
    Ok(survey)
}

/// The files' names without their folders, if that tells them apart.
fn names_of(inputs: &[Input]) -> [String; 2] {
    let full = |place: usize| inputs.get(place).map(Input::name).unwrap_or_default();
    let short = |place: usize| full(place).rsplit('/').next().unwrap_or_default().to_owned();
    if short(0) == short(1) { [full(0), full(1)] } else { [short(0), short(1)] }
}

impl Points {
    /// The clocks by which times of each file are corrected: none for those of the first point.
    pub(super) fn clocks(&self) -> Vec<Option<Clock>> {
        self.of_file.iter().map(|&point| self.relation.clock.filter(|_| point == 1)).collect()
    }

    /// The two, the clients' side first, as far as that is known.
    pub(super) fn words(&self) -> String {
        let [first, second] = self.names.each_ref().map(|name| harmless(name));
        match self.relation.first_is_clients() {
            Some(true) => format!("{first} (clients' side) and {second} (servers' side)"),
            Some(false) => format!("{second} (clients' side) and {first} (servers' side)"),
            None => format!("{first} and {second}"),
        }
    }

    /// How the clocks differ, and how well that is known.
    pub(super) fn clock_words(&self) -> String {
        let [first, second] = self.names.each_ref().map(|name| harmless(name));
        let Some(clock) = self.relation.clock else { return String::new() };
        let way = if clock.offset_ns < 0 { "behind" } else { "ahead" };
        let offset = seconds(clock.offset_ns.unsigned_abs(), clock.within_ns);
        let known = match clock.within_ns {
            Some(within) => format!("± {}", span(within)),
            None => "at the most: one direction alone is in both, so delays are in it".to_owned(),
        };
        let mut text = format!("{second} is {offset} {way} ({known})");
        if clock.drift_ppb != 0 {
            let (ppb, fast) = (clock.drift_ppb.unsigned_abs(), clock.drift_ppb > 0);
            let way = if fast { "fast" } else { "slow" };
            text.push_str(&format!(", {}.{} ppm {way}", ppb / 1000, ppb % 1000 / 100));
        }
        if clock.agreeing < clock.of {
            let (agreeing, of) = (clock.agreeing as u64, clock.of as u64);
            text.push_str(&format!(", by {} of {} handshakes", grouped(agreeing), grouped(of)));
        }
        format!("{text}; times are {first}'s")
    }

    /// Points whose captures lack packets: nothing is called lost there.
    pub(super) fn incomplete(&self) -> Vec<&str> {
        let coverage = self.relation.coverage.iter().zip(&self.names);
        coverage.filter(|(it, _)| !it.is_whole).map(|(_, name)| name.as_str()).collect()
    }
}

/// A difference of clocks in seconds, to the digit that is known.
fn seconds(ns: u64, within_ns: Option<u64>) -> String {
    let (whole, rest) = (grouped(ns / 1_000_000_000), ns % 1_000_000_000);
    match within_ns {
        Some(0..1_000) => format!("{whole}.{rest:09} s"),
        Some(1_000..1_000_000) => format!("{whole}.{:06} s", rest / 1_000),
        _ => format!("{whole}.{:03} s", rest / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_the_digits_that_are_known() {
        let said = [Some(40), Some(9_000), Some(2_000_000), None]
            .map(|within_ns| seconds(3_725_000_250_123, within_ns));
        assert_eq!(said, ["3,725.000250123 s", "3,725.000250 s", "3,725.000 s", "3,725.000 s"]);
    }

    #[test]
    fn points_are_named_two_at_a_time() {
        for (points, complaint) in [
            (&["a"][..], "--point a: not NAME=FILE"),
            (&["=a"], "--point =a: not NAME=FILE"),
            (&["a=/dev/null"], "1 points are named; two are joined"),
            (&["a=/dev/null", "b=/dev/null", "c=/dev/null"], "3 points are named; two are joined"),
        ] {
            let points: Vec<String> = points.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(named(&points).err().as_deref(), Some(complaint));
        }
        let points = ["in=/dev/null", "out=/dev/zero", "in=/dev/null"].map(str::to_owned);
        let (inputs, asked) = named(&points).expect("two points");
        let names = ["in", "out"].map(str::to_owned);
        assert_eq!((inputs.len(), asked), (3, Asked::Named(names, vec![0, 1, 0])));
    }
}
