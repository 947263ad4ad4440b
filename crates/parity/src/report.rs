//! What came of it, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;

use crate::compare::{Aspect, Disagreement};
use crate::play::{Outcome, Row};

/// How many scenarios agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Those in which model and kernel agree.
    pub agree: usize,
    /// Those that were compared.
    pub of: usize,
    /// Those that cannot run here.
    pub skipped: usize,
}

impl Totals {
    /// Counts.
    #[must_use]
    pub fn of(rows: &[Row]) -> Self {
        let count =
            |wanted: fn(&Outcome) -> bool| rows.iter().filter(|r| wanted(&r.outcome)).count();
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let agree =
            count(|outcome| matches!(outcome, Outcome::Compared(found) if found.is_empty()));
        Self { agree, of: rows.len() - skipped, skipped }
    }

    /// Whether nothing disagrees.
    #[must_use]
    pub const fn all_agree(&self) -> bool {
        self.agree == self.of
    }
}

/// The last line of the table.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agree {} of {}, {} skipped", self.agree, self.of, self.skipped)
    }
}

/// A line per scenario with its aspects, what disagrees below it, and the totals.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let name_width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let outcome = match &row.outcome {
            Outcome::Compared(found) => cells(found),
            Outcome::Skipped(why) => format!("SKIPPED: {why}"),
            Outcome::Failed(why) => format!("FAILED: {why}"),
        };
        let plays = match row.plays {
            0 | 1 => String::new(),
            plays => format!("  (play {plays}: times differed before)"),
        };
        let line = format!("{:name_width$}  {}{plays}", row.name, outcome.trim_end());
        text.push_str(line.trim_end());
        text.push('\n');
        text.push_str(&explanation(row));
    }
    text.push_str(&Totals::of(rows).to_string());
    text.push('\n');
    text
}

/// `ok` for each aspect that agrees, and the name of each that does not.
fn cells(found: &[Disagreement]) -> String {
    let cell = |aspect: &Aspect| {
        let differs = found.iter().any(|disagreement| disagreement.aspect == *aspect);
        format!("{:9}", if differs { aspect.name() } else { "ok" })
    };
    Aspect::ALL.iter().map(cell).collect::<Vec<String>>().join("  ")
}

/// Each disagreement of a scenario with both sides, indented; empty if there is none.
#[must_use]
pub fn explanation(row: &Row) -> String {
    let mut text = String::new();
    if let Outcome::Compared(found) = &row.outcome {
        for Disagreement { aspect, place, kernel, model } in found {
            let aspect = aspect.name();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "    {aspect}: {place}\n      kernel  {kernel}\n      model   {model}"
            );
        }
    }
    text
}

#[derive(Serialize)]
struct Report<'r> {
    scenarios: Vec<ScenarioReport<'r>>,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Serialize)]
struct ScenarioReport<'r> {
    name: &'r str,
    /// How often it was played; more than once where nothing but times differed.
    plays: u32,
    /// Per aspect whether it agrees; nothing if it was not compared.
    agrees: BTreeMap<&'static str, bool>,
    disagreements: &'r [Disagreement],
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'r str>,
}

/// The same as JSON.
///
/// # Errors
///
/// None that can be met: all of it has a form in JSON.
pub fn json(rows: &[Row]) -> serde_json::Result<String> {
    let scenarios = rows.iter().map(report_of).collect();
    serde_json::to_string_pretty(&Report { scenarios, totals: Totals::of(rows) })
}

fn report_of(row: &Row) -> ScenarioReport<'_> {
    let mut report = ScenarioReport {
        name: &row.name,
        plays: row.plays,
        agrees: BTreeMap::new(),
        disagreements: &[],
        skipped: None,
        failed: None,
    };
    match &row.outcome {
        Outcome::Compared(found) => {
            let agrees = |aspect: &Aspect| found.iter().all(|found| found.aspect != *aspect);
            report.agrees = Aspect::ALL.iter().map(|a| (a.name(), agrees(a))).collect();
            report.disagreements = found;
        }
        Outcome::Skipped(why) => report.skipped = Some(why),
        Outcome::Failed(why) => report.failed = Some(why),
    }
    report
}
