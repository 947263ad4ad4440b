//! Where a part of a scenario stands in its file, for whoever finds out later that it makes no sense:
//! which settings a kernel takes is not this crate's business.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::ScenarioError;
use crate::error::Problem;
use crate::fields::integer;

/// A part of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The kernel that it is about.
    Kernel,
    /// A kernel setting, at the beginning or in a step.
    Setting {
        /// Its name.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
}

impl Part<'_> {
    /// What is wrong with it, with its place in the text of the file; none if it does not stand there.
    #[must_use]
    pub fn complain(self, file: &str, text: &str, message: &str) -> Option<ScenarioError> {
        let document = DeTable::parse(text).ok()?;
        let at = self.place(document.get_ref())?;
        Some(Problem::new(at, message).locate(file, text))
    }

    fn place(self, document: &DeTable<'_>) -> Option<Range<usize>> {
        let Self::Setting { name, value } = self else {
            return document.get("kernel").map(Spanned::span);
        };
        let beginning = document.get("sysctl").into_iter();
        let steps = document.get("step").and_then(|steps| steps.get_ref().as_array());
        let steps = steps.into_iter().flat_map(|steps| steps.iter());
        let in_steps = steps.filter_map(|step| step.get_ref().as_table()?.get("set"));
        let found = |table: &Spanned<DeValue<'_>>| {
            let found = table.get_ref().as_table()?.get(name)?;
            let number = integer(found.get_ref()).map(|number| number.to_string());
            let text = found.get_ref().as_str().or(number.as_deref())?;
            (text == value).then(|| found.span())
        };
        beginning.chain(in_steps).find_map(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kernel = \"0.0\"\nsysctl = { \"net.core.somaxconn\" = -1 }\n\
                        [[step]]\ndo = \"sysctl\"\nset = { \"net.core.somaxconn\" = \"x\" }\n";

    fn check(part: Part<'_>, expected: Option<&str>) {
        let error = part.complain("a.toml", TEXT, "no").map(|error| error.to_string());
        assert_eq!(error.as_deref(), expected);
    }

    #[test]
    fn a_part_is_found_where_it_stands() {
        let name = "net.core.somaxconn";
        check(Part::Kernel, Some("a.toml:1:10: no"));
        check(Part::Setting { name, value: "-1" }, Some("a.toml:2:35: no"));
        check(Part::Setting { name, value: "x" }, Some("a.toml:5:32: no"));
        check(Part::Setting { name, value: "5" }, None);
    }
}
