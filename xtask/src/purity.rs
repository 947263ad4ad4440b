//! Holds the pure crates to their `clippy.toml`, which holds them to being functions over values.
//!
//! Clippy reads only the file nearest to a crate. So every pure crate must have one, all must say the
//! same, they must repeat what the workspace's says, and no pure crate may allow what they disallow.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::Table;

use crate::direction;

/// The names of the lists in a `clippy.toml` that forbid something.
const LISTS: &[&str] = &["disallowed-methods", "disallowed-types", "disallowed-macros"];

/// A sentence per gap in the fence around the pure crates of the workspace at `root`.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let shared = read(&root.join("clippy.toml"))?;
    let mut first: Option<(&str, Table)> = None;
    let mut found = Vec::new();
    for name in direction::pure_crates() {
        let folder = root.join("crates").join(name);
        let own = read(&folder.join("clippy.toml"))?;
        found.extend(missing_entries(&shared, &own).into_iter().map(|entry| {
            format!("crates/{name}/clippy.toml does not repeat the workspace's entry {entry}")
        }));
        match &first {
            Some((other, table)) if *table != own => {
                found.push(format!("crates/{name}/clippy.toml is not that of crates/{other}"));
            }
            Some(_) => {}
            None => first = Some((name, own)),
        }
        for file in sources(&folder.join("src"))? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            if allows_the_disallowed(&text) {
                found.push(format!("{} allows what clippy.toml disallows", file.display()));
            }
        }
    }
    Ok(found)
}

fn read(file: &Path) -> Result<Table> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.parse().with_context(|| file.display().to_string())
}

fn missing_entries(shared: &Table, own: &Table) -> Vec<String> {
    let entries = |table: &Table, list: &str| {
        table.get(list).and_then(|list| list.as_array()).cloned().unwrap_or_default()
    };
    let missing_of = |list: &&str| {
        let own = entries(own, list);
        entries(shared, list).into_iter().filter(move |entry| !own.contains(entry))
    };
    LISTS.iter().flat_map(missing_of).map(|entry| entry.to_string()).collect()
}

/// Whether a source names one of the lints, or a group that they are in, in an attribute.
fn allows_the_disallowed(source: &str) -> bool {
    ["disallowed_methods", "disallowed_types", "disallowed_macros", "style", "all"].iter().any(
        |lint| {
            let name = format!("clippy::{lint}");
            source.match_indices(&name).any(|(at, _)| {
                let next = source[at + name.len()..].chars().next();
                !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
            })
        },
    )
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn a_shared_entry_that_a_crate_does_not_repeat_is_named() {
        let shared: Table = "disallowed-methods = [\"a::b\", \"c::d\"]".parse().expect("TOML");
        let own: Table = "disallowed-methods = [\"c::d\"]".parse().expect("TOML");
        assert_eq!(missing_entries(&shared, &own), ["\"a::b\""]);
        assert!(missing_entries(&own, &shared).is_empty());
    }

    #[test]
    fn attributes_that_open_the_fence_are_seen() {
        assert!(allows_the_disallowed("#[expect(clippy::disallowed_methods, reason = \"\")]"));
        assert!(allows_the_disallowed("#![allow(clippy::all)]"));
        assert!(!allows_the_disallowed("#[allow(clippy::allow_attributes)]"));
        assert!(!allows_the_disallowed("#[allow(clippy::too_many_lines)]"));
    }

    /// Lines of an impure crate: clippy has to complain about every one.
    const IMPURE: &[&str] = &[
        "pub fn f0() { let _ = std::time::Instant::now(); }",
        "pub fn f1() { let _ = std::time::SystemTime::now(); }",
        "pub fn f2() { let _ = std::fs::read(\"/proc/stat\"); }",
        "pub fn f3() { let _ = std::fs::File::open(\"/proc/stat\"); }",
        "pub fn f4() { let _ = std::path::Path::new(\"/proc\").exists(); }",
        "pub fn f5() { let _ = std::net::TcpStream::connect(\"127.0.0.1:1\"); }",
        "pub fn f6() { let _ = std::os::unix::net::UnixStream::pair(); }",
        "pub fn f7() { let _ = std::process::Command::new(\"ss\"); }",
        "pub fn f8() { std::process::exit(1) }",
        "pub fn f9() { let _ = std::thread::spawn(|| ()); }",
        "pub fn f10() { std::thread::sleep(std::time::Duration::ZERO); }",
        "pub fn f11() { let _ = std::env::var(\"HOME\"); }",
        "pub fn f12() { let _ = std::env::args(); }",
        "pub fn f13() { let _ = std::io::stdout(); }",
        "pub fn f14() { let _ = std::hash::RandomState::new(); }",
        "pub fn f15() { println!(\"x\"); }",
        "pub fn f16() { eprintln!(\"x\"); }",
        "pub static LOCK: std::sync::OnceLock<u8> = std::sync::OnceLock::new();",
        "pub fn f17(since: std::time::Instant) { let _ = since; }",
    ];

    #[test]
    fn clippy_complains_about_every_kind_of_impurity() {
        let workspace = Workspace::find().expect("a workspace");
        let lints = workspace.root.join("crates/model/clippy.toml");
        let scratch = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            fs::write(scratch.path().join(name), text).expect("a file of ours");
        };
        write("lib.rs", &IMPURE.join("\n"));
        write("clippy.toml", &fs::read_to_string(lints).expect("clippy.toml"));
        write(
            "Cargo.toml",
            "[package]\nname = \"impure\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n",
        );
        let output = workspace
            .cargo(&["clippy", "--offline", "--message-format", "short"])
            .current_dir(scratch.path())
            .env("CARGO_TARGET_DIR", scratch.path().join("target"))
            .output()
            .expect("cargo clippy");
        let printed = String::from_utf8_lossy(&output.stderr);
        let unseen: Vec<_> = IMPURE
            .iter()
            .enumerate()
            .filter(|(index, _)| {
                let place = format!("lib.rs:{}:", index + 1);
                !printed.lines().any(|line| line.contains(&place) && line.contains("disallowed"))
            })
            .map(|(_, line)| line)
            .collect();
        assert!(unseen.is_empty(), "not complained about: {unseen:#?}\n{printed}");
        assert!(!printed.contains("clippy.toml:"), "entries that name nothing:\n{printed}");
    }
}
