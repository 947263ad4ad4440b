//! The terminal: colours, width, progress, and ends of pipes.

use std::io::{self, IsTerminal, Write};

use halfopen_diagnose::Report;
use halfopen_diagnose::report::TextOptions;

use crate::args::{Format, Print};

/// Width of a report that does not go to a terminal.
const WIDTH_WITHOUT_TERMINAL: usize = 100;

/// Prints a report on standard output.
///
/// # Errors
/// Those of standard output.
pub(crate) fn print(report: &Report, print: &Print) -> io::Result<()> {
    let text = match print.format() {
        Format::Text => report.to_text(&TextOptions {
            width: width(),
            colour: colour(),
            verbose: print.verbose,
        }),
        Format::Markdown => report.to_markdown(),
        Format::Json => report.to_json(),
    };
    write(&text)
}

/// Prints text on standard output.
///
/// # Errors
/// Those of standard output.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Says what keeps the user waiting, if the user is at a terminal.
pub(crate) fn progress(what: &str) {
    if io::stderr().is_terminal() {
        eprintln!("halfopen: {what}");
    }
}

/// Says what went wrong, with all that is known of why.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("halfopen: {}", halfopen_diagnose::words::harmless(&format!("{error:#}")));
}

/// Whether an error only says that nobody reads our output any more (`halfopen check | head -1`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// NO_COLOR, CLICOLOR and TERM have their usual say.
pub(crate) fn colour() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Columns to fill.
pub(crate) fn width() -> usize {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return WIDTH_WITHOUT_TERMINAL;
    }
    match rustix::termios::tcgetwinsize(&stdout) {
        Ok(size) if size.ws_col >= 40 => usize::from(size.ws_col).min(160),
        _ => WIDTH_WITHOUT_TERMINAL,
    }
}
