//! In place of `parquet_file` in a build without the feature `parquet`.

use std::convert::Infallible;
use std::io::Write;
use std::marker::PhantomData;

use super::flat::Value;

/// Never made.
pub(super) struct ParquetFile<W: Write> {
    never: Infallible,
    out: PhantomData<W>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct Absent;

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "this halfopen was built without its feature `parquet`; --csv has the same columns",
        )
    }
}

impl std::error::Error for Absent {}

impl<W: Write> ParquetFile<W> {
    pub(super) fn new(_: W) -> Result<Self, Absent> {
        Err(Absent)
    }

    pub(super) fn add(&mut self, _: &[Value]) -> Result<(), Absent> {
        match self.never {}
    }

    pub(super) fn finish(self) -> Result<(), Absent> {
        match self.never {}
    }
}
