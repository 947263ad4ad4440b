//! From the text of a scenario file to a [`Scenario`].

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Problem;
use crate::fields::{Fields, integer};
use crate::parse_steps::step;
use crate::{Arrivals, Clients, Handshakes, Need, Scenario, ScenarioError, Step, Then, Way};

impl Scenario {
    /// Reads the text of the scenario called `name`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line and column; the file is given as `NAME.toml`.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        scenario(name, text).map_err(|problem| problem.locate(&format!("{name}.toml"), text))
    }
}

fn scenario(name: &str, text: &str) -> Result<Scenario, Problem> {
    let document = DeTable::parse(text).map_err(|error| {
        Problem::new(error.span().unwrap_or_default(), error.message().to_owned())
    })?;
    let fields = Fields::of(document.get_ref(), 0..0);
    let about = fields.required("about", fields.text("about")?)?.to_owned();
    let incident = fields.number("incident", 1..=999)?;
    let expect = finding_ids(fields.required("expect", fields.value("expect"))?, &fields)?;
    let needs = needs(&fields)?;
    let sysctl = match fields.table("sysctl")? {
        Some(table) => settings(&table)?,
        None => Vec::new(),
    };
    let mut steps = Vec::new();
    for step_fields in fields.tables("step")? {
        let at = step_fields.at();
        let step = step(step_fields)?;
        check_needs(&step, &needs, &at)?;
        steps.push(step);
    }
    if steps.is_empty() {
        return Err(Problem::new(fields.at(), "there is no [[step]]"));
    }
    fields.finish()?;
    let name = name.to_owned();
    Ok(Scenario { name, about, incident, expect, needs, sysctl, steps })
}

fn finding_ids(_: &Spanned<DeValue<'_>>, fields: &Fields<'_>) -> Result<Vec<String>, Problem> {
    let ids = fields.texts("expect")?;
    for (id, at) in &ids {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
            return Err(Problem::new(at.clone(), format!("\"{id}\" is not a finding's id")));
        }
    }
    if let Some(pair) = ids.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        let message = format!("\"{}\" must stand in alphabetical order, and once", pair[1].0);
        return Err(Problem::new(pair[1].1.clone(), message));
    }
    Ok(ids.into_iter().map(|(id, _)| id.to_owned()).collect())
}

fn needs(fields: &Fields<'_>) -> Result<Vec<Need>, Problem> {
    let need = |(word, at): (&str, Range<usize>)| match word {
        "tun" => Ok(Need::Tun),
        _ => Err(Problem::new(at, format!("\"{word}\" is not a need; known is \"tun\""))),
    };
    fields.texts("needs")?.into_iter().map(need).collect()
}

/// Kernel settings. Only those of a network namespace: others would change the whole machine.
pub(crate) fn settings(fields: &Fields<'_>) -> Result<Vec<(String, String)>, Problem> {
    let setting = |(name, value): (&str, &Spanned<DeValue<'_>>)| {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
        if !name.starts_with("net.") || name.contains("..") || !name.bytes().all(harmless) {
            let message = format!("`{name}` is not a setting of a network namespace (net.…)");
            return Err(Problem::new(value.span(), message));
        }
        let text = value.get_ref().as_str().map(str::to_owned);
        let text = text.or_else(|| integer(value.get_ref()).map(|number| number.to_string()));
        let text = text.ok_or_else(|| {
            Problem::new(value.span(), format!("`{name}` must be a number or a text"))
        })?;
        Ok((name.to_owned(), text))
    };
    fields.all().map(setting).collect()
}

/// A step that needs the wire says so at the top of the file, where `lab list` looks.
fn check_needs(step: &Step, needs: &[Need], at: &Range<usize>) -> Result<(), Problem> {
    let on_wire = |clients: &Clients| {
        clients.way == Way::Wire || matches!(clients.handshakes, Handshakes::HalfOpen { .. })
    };
    let wire = match step {
        Step::Connect(clients) | Step::Arrivals(Arrivals { clients, .. }) => on_wire(clients),
        Step::Path(_) => true,
        Step::Serve(server) => {
            server.threads.iter().any(|thread| matches!(thread.then, Then::Connect { .. }))
        }
        Step::Await { .. }
        | Step::Stop { .. }
        | Step::Close { .. }
        | Step::Reset { .. }
        | Step::Sysctl { .. } => false,
    };
    if wire && !needs.contains(&Need::Tun) {
        return Err(Problem::new(at.clone(), "this step needs the wire: say needs = [\"tun\"]"));
    }
    Ok(())
}
