//! `halfopen explain`: the kernel's rules behind a number.
//!
//! The rules themselves are data of `halfopen_model`. Here a question becomes an answer: `host` says
//! which kernel and which settings it is about, `limits`, `retries` and `pages` compute the answer as
//! a value, `text` prints it, and `manual` writes all pages as Markdown. The value is the JSON form.

mod entries;
mod host;
mod limits;
mod manual;
mod pages;
mod retries;
mod text;

use std::path::Path;

use halfopen_diagnose::report;
use halfopen_model::KernelVersion;

use crate::args::ExplainCommand;
use crate::exit::Exit;
use crate::output;
use entries::{Answer, Document};
use host::Host;

pub(crate) use manual::pages as manual_pages;
pub(crate) use pages::{Reasons, Topic, parse_counter, parse_reason, parse_rule};

/// Answers.
///
/// # Errors
/// Those of standard output.
pub(crate) fn explain(command: &ExplainCommand) -> anyhow::Result<Exit> {
    let (answer, json) = match command {
        ExplainCommand::Limits(arguments) => {
            let host = host_of(arguments.kernel.as_ref());
            let limits = host.and_then(|host| limits::limits(arguments, host));
            (limits.map(Answer::Limits), arguments.json)
        }
        ExplainCommand::Retries(arguments) => {
            let host = host_of(arguments.kernel.as_ref());
            let retries = host.and_then(|host| retries::retries(arguments, host));
            (retries.map(Answer::Retries), arguments.json)
        }
        ExplainCommand::Counter { name, json } => (Ok(pages::counters(*name)), *json),
        ExplainCommand::Reason { name, json } => (Ok(pages::reasons(name.as_ref())), *json),
        ExplainCommand::Rule { id, json } => (Ok(pages::topics(*id)), *json),
    };
    match answer {
        Ok(answer) => print(answer, json),
        Err(complaint) => {
            output::complain(&anyhow::Error::msg(complaint));
            Ok(Exit::Usage)
        }
    }
}

/// The JSON schema of an answer, indented, with a newline at the end.
pub(crate) fn json_schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Document).as_value())
}

fn host_of(kernel: Option<&(String, KernelVersion)>) -> Result<Host<'static>, String> {
    Host::new(Path::new("/proc"), kernel)
}

fn print(answer: Answer, json: bool) -> anyhow::Result<Exit> {
    let document = Document {
        schema: entries::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        answer,
    };
    let text = if json {
        report::json_text(&document)?
    } else {
        text::text(&document, output::width(), output::colour())
    };
    output::write(&text)?;
    Ok(Exit::Healthy)
}
