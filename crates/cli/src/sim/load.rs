//! The scenario that is meant: a file, standard input, or one of those that are built in.

use std::io::Read as _;
use std::path::Path;

use halfopen_scenario::{CATALOG, Part, Scenario};
use halfopen_sim::SimError;

use crate::nearest;

/// A scenario file at the most; a larger one is something else.
const BYTES_MOST: u64 = 1 << 20;

/// A scenario and where it came from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) scenario: Scenario,
    /// The file as it is named in errors.
    file: String,
    text: String,
}

/// Reads it. What is wrong is said in a line.
pub(super) fn load(wanted: &str) -> Result<Loaded, String> {
    if wanted == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(BYTES_MOST).read_to_string(&mut text);
        read.map_err(|error| format!("standard input: {error}"))?;
        return parse("standard-input", "standard input", text);
    }
    let path = Path::new(wanted);
    if path.exists() || wanted.ends_with(".toml") {
        let text = read_file(path).map_err(|error| format!("{wanted}: {error}"))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        return parse(&name, wanted, text);
    }
    match CATALOG.iter().find(|(name, _)| *name == wanted) {
        Some((name, text)) => parse(name, &format!("{name}.toml"), (*text).to_owned()),
        None => {
            let names = CATALOG.iter().map(|(name, _)| (*name).to_owned());
            Err(nearest::unknown("file or scenario", wanted, names, "halfopen sim --list"))
        }
    }
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(BYTES_MOST).read_to_string(&mut text)?;
    Ok(text)
}

fn parse(name: &str, file: &str, text: String) -> Result<Loaded, String> {
    match Scenario::parse(name, &text) {
        Ok(scenario) => Ok(Loaded { scenario, file: file.to_owned(), text }),
        Err(mut error) => {
            file.clone_into(&mut error.file);
            Err(error.to_string())
        }
    }
}

impl Loaded {
    /// What a simulation complains about, with its place in the file where it stands there.
    pub(super) fn complaint(&self, error: &SimError) -> String {
        let part = match error {
            SimError::Kernel(_) => Some(Part::Kernel),
            SimError::Sysctl { name, value, .. } => Some(Part::Setting { name, value }),
            _ => None,
        };
        let message = error.to_string();
        match part.map(|part| part.complain(&self.file, &self.text, &message)) {
            Some(Some(placed)) => placed.to_string(),
            // It does not stand in the file, so it came with an argument.
            Some(None) => message,
            None => format!("{}: {message}", self.file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_the_kernel_refuses_is_shown_in_the_file() {
        let text = "about = \"x\"\nexpect = []\nsysctl = { \"net.core.somaxconn\" = -1 }\n\
                    [[step]]\ndo = \"look\"\n";
        let loaded = parse("a", "dir/a.toml", text.to_owned()).expect("a scenario");
        let error = halfopen_sim::simulate(&loaded.scenario, &halfopen_sim::Options::default());
        assert_eq!(
            loaded.complaint(&error.expect_err("refused")),
            "dir/a.toml:3:35: net.core.somaxconn = -1: this kernel takes only 0 to 2147483647"
        );
    }

    #[test]
    fn a_broken_file_is_named_as_the_user_named_it() {
        let error = parse("a", "dir/a.toml", "about = 5\n".to_owned()).expect_err("refused");
        assert_eq!(error, "dir/a.toml:1:9: `about` must be a text, not of type integer");
    }
}
