//! The fields of a TOML table, taken one by one, each with its place in the text.
//!
//! serde could fill the types directly, but the steps are told apart by their `do` field, and serde
//! loses the places of everything inside such an enum.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Problem;

/// A table of which every field must be asked for before [`Fields::finish`].
pub(crate) struct Fields<'t> {
    table: &'t DeTable<'t>,
    at: Range<usize>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'t> Fields<'t> {
    pub(crate) fn of(table: &'t DeTable<'t>, at: Range<usize>) -> Self {
        Self { table, at, asked: RefCell::default() }
    }

    /// Where the table is.
    pub(crate) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// Where a field is, or the table if it has none such.
    pub(crate) fn at_field(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.at(), Spanned::span)
    }

    /// A field that is required.
    pub(crate) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or_else(|| Problem::new(self.at(), format!("`{key}` is missing")))
    }

    pub(crate) fn value(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&'t str>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some("") => Err(Problem::new(value.span(), format!("`{key}` is empty"))),
            Some(text) => Ok(Some(text)),
            None => Err(mismatch(key, "a text", value)),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn number<N>(
        &self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
    ) -> Result<Option<N>, Problem>
    where
        N: TryFrom<i64>,
    {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = integer(value.get_ref()).ok_or_else(|| mismatch(key, "a number", value))?;
        let converted = bounds.contains(&number).then(|| N::try_from(number).ok()).flatten();
        converted.map(Some).ok_or_else(|| {
            let (low, high) = (bounds.start(), bounds.end());
            Problem::new(value.span(), format!("`{key}` must be from {low} to {high}"))
        })
    }

    pub(crate) fn yes_or_no(&self, key: &'static str) -> Result<Option<bool>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.get_ref().as_bool().map(Some).ok_or_else(|| mismatch(key, "true or false", value))
    }

    /// A time such as `"200ms"`, `"5s"` or `"1m"`; at most an hour.
    pub(crate) fn duration(&self, key: &'static str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        parse_duration(text).map(Some).ok_or_else(|| {
            let message = format!("`{key}` must be a time such as \"200ms\", \"5s\" or \"1m\"");
            Problem::new(self.at_field(key), message)
        })
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*meaning));
        }
        let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let message = format!("`{key}` is \"{text}\", but must be one of {}", known.join(", "));
        Err(Problem::new(self.at_field(key), message))
    }

    pub(crate) fn table(&self, key: &'static str) -> Result<Option<Self>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let table = value.get_ref().as_table().ok_or_else(|| mismatch(key, "a table", value))?;
        Ok(Some(Self::of(table, value.span())))
    }

    /// The items of a list, each with its place.
    pub(crate) fn list(&self, key: &'static str) -> Result<Vec<&'t Spanned<DeValue<'t>>>, Problem> {
        self.value(key).map_or(Ok(Vec::new()), |value| list_of(key, value))
    }

    pub(crate) fn tables(&self, key: &'static str) -> Result<Vec<Self>, Problem> {
        let table_of = |item: &'t Spanned<DeValue<'t>>| {
            let table = item.get_ref().as_table();
            let table = table.ok_or_else(|| mismatch(key, "a list of tables", item))?;
            Ok(Self::of(table, item.span()))
        };
        self.list(key)?.into_iter().map(table_of).collect()
    }

    /// Texts with their places.
    pub(crate) fn texts(&self, key: &'static str) -> Result<Vec<(&'t str, Range<usize>)>, Problem> {
        self.value(key).map_or(Ok(Vec::new()), |value| texts_of(key, value))
    }

    /// Every field of the table, whatever its name.
    pub(crate) fn all(
        &self,
    ) -> impl Iterator<Item = (&'t str, &'t Spanned<DeValue<'t>>)> + use<'t> {
        let table = self.table;
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), value))
    }

    /// Refuses fields that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        let asked = self.asked.borrow();
        let unknown = self.table.keys().find(|key| !asked.contains(key.get_ref().as_ref()));
        match unknown {
            None => Ok(()),
            Some(key) => {
                let known: Vec<_> = asked.iter().map(|key| format!("`{key}`")).collect();
                let name = key.get_ref();
                let message = format!("`{name}` is unknown here; known are {}", known.join(", "));
                Err(Problem::new(key.span(), message))
            }
        }
    }
}

fn list_of<'t>(
    key: &str,
    value: &'t Spanned<DeValue<'t>>,
) -> Result<Vec<&'t Spanned<DeValue<'t>>>, Problem> {
    let items = value.get_ref().as_array().ok_or_else(|| mismatch(key, "a list", value))?;
    Ok(items.iter().collect())
}

/// The texts of the field `key`, with their places.
pub(crate) fn texts_of<'t>(
    key: &str,
    value: &'t Spanned<DeValue<'t>>,
) -> Result<Vec<(&'t str, Range<usize>)>, Problem> {
    let text_of = |item: &'t Spanned<DeValue<'t>>| {
        let text = item.get_ref().as_str();
        let text = text.ok_or_else(|| mismatch(key, "a list of texts", item))?;
        Ok((text, item.span()))
    };
    list_of(key, value)?.into_iter().map(text_of).collect()
}

/// A whole number of any radix.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let microseconds = match unit {
        "us" => number,
        "ms" => number.checked_mul(1_000)?,
        "s" => number.checked_mul(1_000_000)?,
        "m" => number.checked_mul(60_000_000)?,
        _ => return None,
    };
    (microseconds <= 3_600_000_000).then(|| Duration::from_micros(microseconds))
}

fn mismatch(key: &str, wanted: &str, value: &Spanned<DeValue<'_>>) -> Problem {
    let found = value.get_ref().type_str();
    Problem::new(value.span(), format!("`{key}` must be {wanted}, not of type {found}"))
}
