//! What is made from the program itself: completions, man page, schemas, the manual of findings and of
//! the kernel's rules.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;
use halfopen_diagnose::{FindingId, report};

use crate::args::Cli;
use crate::exit::Exit;
use crate::{explain, lab_manual, output, pcap, sim, stacks, trace};

/// Prints a completion script.
///
/// # Errors
/// Those of standard output.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "halfopen", &mut script);
    output::write(&String::from_utf8(script)?)?;
    Ok(Exit::Healthy)
}

/// Prints the man page.
///
/// # Errors
/// Those of standard output.
pub(crate) fn man() -> anyhow::Result<Exit> {
    let mut page = Vec::new();
    write_man(&mut page)?;
    output::write(&String::from_utf8(page)?)?;
    Ok(Exit::Healthy)
}

/// Writes all of it below a directory.
///
/// # Errors
/// If a file could not be written.
pub(crate) fn everything(out: &Path) -> anyhow::Result<Exit> {
    write(out, "schema/check.json", &report::json_schema())?;
    write(out, "schema/sim.json", &sim::simulation_schema())?;
    write(out, "schema/sim-sweep.json", &sim::sweep_schema())?;
    write(out, "schema/pcap.json", &pcap::json_schema())?;
    write(out, "schema/trace.json", &trace::json_schema())?;
    write(out, "schema/stacks.json", &stacks::json_schema())?;
    write(out, "schema/explain.json", &explain::json_schema())?;
    for (name, page) in explain::manual_pages() {
        write(out, name, &page)?;
    }
    write(out, "rules/README.md", &rule_index())?;
    write(out, "lab.md", &lab_manual::manual()?)?;
    for &id in FindingId::ALL {
        write(out, &format!("rules/{id}.md"), &id.page())?;
    }
    let mut page = Vec::new();
    write_man(&mut page)?;
    write(out, "man/halfopen.1", &String::from_utf8(page)?)?;
    for &shell in Shell::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "halfopen", &mut script);
        let name = format!("completions/halfopen.{shell}");
        write(out, &name, &String::from_utf8(script)?)?;
    }
    Ok(Exit::Healthy)
}

fn write(out: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = out.join(name);
    let written =
        path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn rule_index() -> String {
    let mut index = String::from("# Findings\n\n| id | what it means |\n| --- | --- |\n");
    for &id in FindingId::ALL {
        index.push_str(&format!("| [{id}]({id}.md) | {} |\n", id.summary()));
    }
    index
}

/// The page of the command, then one section per subcommand and per subcommand of these.
fn write_man(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(page)?;
    write_sections(page, &command, "HALFOPEN")
}

fn write_sections(page: &mut Vec<u8>, command: &clap::Command, title: &str) -> io::Result<()> {
    let help = |sub: &&clap::Command| sub.get_name() == "help";
    for subcommand in command.get_subcommands().filter(|sub| !sub.is_hide_set() && !help(sub)) {
        let man = clap_mangen::Man::new(subcommand.clone());
        let title = format!("{title} {}", subcommand.get_name().to_uppercase());
        page.extend_from_slice(format!(".SH \"{title}\"\n").as_bytes());
        man.render_description_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_options_section(page)?;
        man.render_extra_section(page)?;
        write_sections(page, subcommand, &title)?;
    }
    Ok(())
}
