//! Handshakes as a Parquet file, which DuckDB, ClickHouse, Spark and pandas query as it is: flat, typed
//! columns, written in row groups while the capture is read.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::flat::{COLUMNS, Kind, Value};

/// Rows of a group: what is kept in memory, some 10 MiB.
const GROUP: usize = 1 << 15;

/// A file that is being written.
pub(super) struct ParquetFile<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
}

/// The values of a column that are not written yet. A missing value has level 0 and no place among the
/// values.
#[derive(Debug)]
enum Column {
    Text(Vec<ByteArray>, Vec<i16>),
    Integer(Vec<i64>, Vec<i16>),
    Time(Vec<i64>),
}

impl<W: Write + Send> ParquetFile<W> {
    /// A file without rows.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn new(out: W) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_created_by(format!("halfopen {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::GZIP(Default::default()))
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema()?), Arc::new(properties))?;
        Ok(Self {
            writer,
            columns: COLUMNS.iter().map(|&(_, kind)| kind.into()).collect(),
            rows: 0,
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn add(&mut self, row: &[Value]) -> Result<()> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
        self.rows += 1;
        if self.rows >= GROUP { self.write_group() } else { Ok(()) }
    }

    /// Writes what is left, and the end.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.close().map(|_| ())
    }

    fn write_group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            match column {
                Column::Text(values, levels) => {
                    write::<ByteArrayType, W>(&mut group, values, Some(levels))?;
                    levels.clear();
                    values.clear();
                }
                Column::Integer(values, levels) => {
                    write::<Int64Type, W>(&mut group, values, Some(levels))?;
                    levels.clear();
                    values.clear();
                }
                Column::Time(values) => {
                    write::<Int64Type, W>(&mut group, values, None)?;
                    values.clear();
                }
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl From<Kind> for Column {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(Vec::new(), Vec::new()),
            Kind::Integer => Self::Integer(Vec::new(), Vec::new()),
            Kind::Time => Self::Time(Vec::new()),
        }
    }
}

impl Column {
    fn push(&mut self, value: &Value) {
        match (self, value) {
            (Self::Text(values, levels), Value::Text(text)) => {
                levels.push(text.is_some().into());
                values.extend(text.as_deref().map(ByteArray::from));
            }
            (Self::Integer(values, levels), Value::Integer(integer)) => {
                levels.push(integer.is_some().into());
                values.extend(*integer);
            }
            (Self::Time(values), Value::Time(ns)) => values.push(*ns),
            (column, value) => unreachable!("{value:?} in {column:?}: flat.rs tests the kinds"),
        }
    }
}

fn write<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn schema() -> Result<Type> {
    let columns = COLUMNS.iter().map(|&(name, kind)| column(name, kind).map(Arc::new));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Type::group_type_builder("handshakes").with_fields(columns).build()
}

fn column(name: &str, kind: Kind) -> Result<Type> {
    let (physical, logical, repetition) = match kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL),
        Kind::Integer => (Physical::INT64, None, Repetition::OPTIONAL),
        Kind::Time => {
            let utc = LogicalType::timestamp(true, TimeUnit::NANOS);
            (Physical::INT64, Some(utc), Repetition::REQUIRED)
        }
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build()
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::super::flat;
    use super::*;
    use crate::handshakes::fixture;

    #[test]
    fn what_is_written_is_read_back_from_several_groups() {
        let rows: Vec<_> =
            fixture::some().iter().map(|found| flat::row(found, &["a".to_owned()])).collect();
        let out = tempfile::tempfile().expect("a file");
        let mut file = ParquetFile::new(out.try_clone().expect("the file")).expect("written");
        let count = GROUP + 2;
        for row in rows.iter().cycle().take(count) {
            file.add(row).expect("written");
        }
        file.finish().expect("written");
        let reader = SerializedFileReader::new(out).expect("Parquet");
        assert_eq!(reader.num_row_groups(), 2);
        let back: Vec<_> =
            reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
        assert_eq!(back.len(), count);
        let columns: Vec<String> =
            back[3].get_column_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let text = columns.join(" ");
        for expected in
            ["record=4", "outcome=\"third-ack-ignored\"", "timetable=null", "connect_ns=100000"]
        {
            assert!(text.contains(expected), "{text}");
        }
    }
}
