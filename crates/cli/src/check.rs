//! `halfopen check`.

use std::io;

use halfopen_diagnose::{Filter, Report, diagnose};
use halfopen_evidence::Evidence;

use crate::args::{CheckArgs, Print};
use crate::exit::Exit;
use crate::gather::{How, Purpose};
use crate::{gather, interrupt, output, record};

/// Looks at this host and prints what is wrong.
///
/// # Errors
/// If nothing could be looked at, or the report could not be written.
pub(crate) fn check(arguments: &CheckArgs) -> anyhow::Result<Exit> {
    if let Some(id) = arguments.explain {
        output::write(&id.page())?;
        return Ok(Exit::Healthy);
    }
    let Some(filter) = filter_or_complaint(&arguments.what) else { return Ok(Exit::Usage) };
    interrupt::listen();
    let how = |purpose| How {
        window: (!arguments.now).then_some(arguments.window),
        purpose,
        without_bpf: arguments.no_bpf,
    };
    let Some(path) = &arguments.record else {
        let evidence = gather::gather(&filter, how(Purpose::Report))?;
        return report(&evidence, &filter, &arguments.print);
    };
    let take = || gather::gather(&filter, how(Purpose::Recording));
    let evidence = record::record_to(path, take)?;
    report(&evidence, &filter, &arguments.print)
}

/// Prints the report of some evidence, live or recorded.
///
/// # Errors
/// If it could not be written.
pub(crate) fn report(evidence: &Evidence, filter: &Filter, print: &Print) -> anyhow::Result<Exit> {
    let diagnosis = diagnose(evidence);
    let report = Report::new(evidence, &diagnosis, filter, env!("CARGO_PKG_VERSION"));
    match output::print(&report, print) {
        // Who stopped reading has read enough; the verdict stands.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(report.status().into()),
    }
}

/// The filter, unless it makes no sense: then that has been said.
pub(crate) fn filter_or_complaint(what: &crate::args::What) -> Option<Filter> {
    what.filter()
        .map_err(|error| {
            // Nothing better can be done if the terminal is gone.
            let _ = error.print();
        })
        .ok()
}
