//! Writes the part of `docs/` that follows from the program: a page per rule, the JSON schemas, the
//! man page and the completions. The program writes them itself, through its hidden subcommand
//! `generate`, so that what people read is what it knows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::workspace::{Profile, Workspace, run as run_command};

/// The folders of `docs/` that hold nothing but what is generated.
const FOLDERS: &[&str] = &["rules", "kernel", "schema", "man", "completions"];

/// The files of `docs/` itself that are generated.
const FILES: &[&str] = &["lab.md"];

/// Files by their path below `docs/`.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Writes the documents, or with `check` only compares them.
pub(crate) fn run(workspace: &Workspace, check_only: bool) -> Result<ExitCode> {
    if check_only {
        check(workspace)?;
        println!("docs/ is up to date");
    } else {
        let files = generated(workspace)?;
        write(&workspace.root.join("docs"), &files)?;
        println!("docs/: {} files written", files.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// An error that names the files that are not as the program would write them.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let wanted = generated(workspace)?;
    let present = read(&workspace.root.join("docs"))?;
    let stale = differences(&wanted, &present);
    if stale.is_empty() {
        return Ok(());
    }
    bail!("run `cargo xtask gen`; not up to date in docs/: {}", stale.join(", "))
}

fn generated(workspace: &Workspace) -> Result<Files> {
    let program = workspace.build_halfopen(Profile::Dev)?;
    let scratch = tempfile::tempdir()?;
    run_command(Command::new(program).args(["generate", "--out"]).arg(scratch.path()))?;
    let files = read(scratch.path())?;
    if files.is_empty() {
        bail!("`halfopen generate` wrote none of {}", FOLDERS.join(", "));
    }
    Ok(files)
}

fn write(docs: &Path, files: &Files) -> Result<()> {
    for stale in read(docs)?.keys().filter(|present| !files.contains_key(*present)) {
        fs::remove_file(docs.join(stale)).with_context(|| stale.display().to_string())?;
    }
    for (path, text) in files {
        let path = docs.join(path);
        let folder = path.parent().unwrap_or(docs);
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The generated files of `docs`, and those in its generated folders.
fn read(docs: &Path) -> Result<Files> {
    let mut files = Files::new();
    for file in FILES.iter().map(Path::new).filter(|file| docs.join(file).is_file()) {
        files.insert(file.to_owned(), fs::read(docs.join(file))?);
    }
    for folder in FOLDERS.iter().filter(|folder| docs.join(folder).is_dir()) {
        read_folder(docs, Path::new(folder), &mut files)?;
    }
    Ok(files)
}

fn read_folder(docs: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(docs.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read_folder(docs, &path, files)?;
        } else {
            files.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Paths that are missing, differ, or should not be there, each with which of these it is.
fn differences(wanted: &Files, present: &Files) -> Vec<String> {
    let missing = wanted.iter().filter_map(|(path, text)| match present.get(path) {
        Some(there) if there == text => None,
        Some(_) => Some(format!("{} differs", path.display())),
        None => Some(format!("{} is missing", path.display())),
    });
    let stale = present.keys().filter(|path| !wanted.contains_key(*path));
    missing.chain(stale.map(|path| format!("{} is no longer written", path.display()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn stale_files_are_named_with_what_is_wrong() {
        let wanted = files(&[("rules/a.md", "a"), ("rules/b.md", "b"), ("man/c.1", "c")]);
        let present = files(&[("rules/a.md", "a"), ("rules/b.md", "old"), ("rules/x.md", "x")]);
        assert_eq!(
            differences(&wanted, &present),
            ["man/c.1 is missing", "rules/b.md differs", "rules/x.md is no longer written"]
        );
    }

    #[test]
    fn writing_replaces_what_is_there_and_leaves_other_folders_alone() {
        let docs = tempfile::tempdir().expect("a folder");
        let by_hand = docs.path().join("guide.md");
        fs::write(&by_hand, "by hand").expect("a file");
        write(docs.path(), &files(&[("rules/a.md", "1"), ("rules/b.md", "2")])).expect("written");
        let wanted = files(&[("rules/b.md", "3"), ("man/c.1", "4")]);
        write(docs.path(), &wanted).expect("written");
        assert_eq!(read(docs.path()).expect("read"), wanted);
        assert!(by_hand.exists());
    }
}
