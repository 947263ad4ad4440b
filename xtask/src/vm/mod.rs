//! The lab and the tool on other kernels: guests under qemu, which emulates the processor, so that it
//! takes neither KVM nor privilege.
//!
//! [`archive`] gets the kernels, [`image`] makes what they boot into, [`machine`] runs them,
//! [`guest`] is process 1 there, [`checks`] says what is run and how it is judged, [`report`] what
//! came of it.

mod archive;
mod checks;
mod cpio;
mod guest;
mod image;
mod kernels;
mod machine;
mod modules;
mod protocol;
mod report;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

pub(crate) use guest::run as run_guest;
pub(crate) use report::Totals;

use checks::Check;
use kernels::Kernel;
use report::{Guest, Row, table};

use crate::workspace::Workspace;

/// Guests at a time.
const AT_A_TIME: usize = 2;

/// After that long a guest is ended. On two cores that do nothing else it takes a third of it.
const AT_MOST: Duration = Duration::from_secs(300);

/// What to run where.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Kernels: 5.10, 6.1, 6.12, backports, sid; the first three if none is named
    kernels: Vec<String>,
    /// Compare the model with the kernels too, exactly: an idle machine is needed for that
    #[arg(long)]
    parity: bool,
    /// Only this scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
}

/// Runs and prints what came of it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let Totals { agreed, skipped, failed } = check(workspace, options)?;
    println!("{agreed} agreed, {} failed, {} skipped", failed.len(), skipped.len());
    for skipped in &skipped {
        println!("SKIPPED {skipped}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every check in every kernel and prints a table.
pub(crate) fn check(workspace: &Workspace, options: &Options) -> Result<Totals> {
    let kernels = kernels::named(&options.kernels)?;
    let checks = checks::all(&options.scenario, options.parity)?;
    let rows = match machine::cannot_run().or_else(archive::cannot_fetch) {
        Some(why) => {
            let skipped = |kernel: &Kernel| Row { kernel: kernel.name, outcome: Err(why.clone()) };
            kernels.iter().map(skipped).collect()
        }
        None => {
            let base = image::base(workspace)?;
            let below = workspace.target_directory.join("vm");
            some_at_a_time(&kernels, |kernel| check_kernel(kernel, &base, &checks, &below))?
        }
    };
    print!("{}", table(&rows));
    Ok(Totals::of(&rows))
}

/// Does something for each kernel, some at a time; in the order of the kernels.
fn some_at_a_time(
    kernels: &[Kernel],
    work: impl Fn(Kernel) -> Result<Row> + Sync,
) -> Result<Vec<Row>> {
    let ahead: Mutex<VecDeque<_>> = Mutex::new(kernels.iter().enumerate().collect());
    let next = || ahead.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let worker = || {
        std::iter::from_fn(next).map(|(place, kernel)| (place, work(*kernel))).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Gets a kernel and runs every check in it. One that cannot be had is skipped.
fn check_kernel(kernel: Kernel, base: &[u8], checks: &[Check], below: &Path) -> Result<Row> {
    let unpacked = match archive::fetch(kernel, below) {
        Ok(unpacked) => unpacked,
        Err(error) => return Ok(Row { kernel: kernel.name, outcome: Err(format!("{error:#}")) }),
    };
    let folder = below.join("guests").join(kernel.name);
    fs::create_dir_all(&folder)?;
    let boot = |checks: &[Check]| -> Result<Guest> {
        println!("{} boots {}", kernel.name, unpacked.release);
        let initrd = folder.join("initrd");
        let tasks = checks.iter().map(|check| check.task.clone()).collect();
        image::write(base, &unpacked, tasks, &initrd)?;
        let run = machine::run(&unpacked.image, &initrd, &folder.join("console"), AT_MOST)?;
        Ok(Guest::of(&run, &unpacked.release, checks))
    };
    let mut guest = boot(checks)?;
    let again = checks::again(&guest.doubts());
    let second = if again.is_empty() { None } else { Some(boot(&again)?) };
    guest.settle(second.as_ref());
    Ok(Row { kernel: kernel.name, outcome: Ok(guest) })
}
