//! The exporter.

use crate::options::ParquetOptions;
use crate::table::TableWriter;
use kvlens_core::run::{RunEnd, RunSchema};
use kvlens_core::{Batch, Error, Exporter, Result, Table};
use kvlens_schema::RunDir;
use std::path::PathBuf;

/// Writes a run as Parquet, one directory a table.
///
/// An error of [`write`](Exporter::write) means that the batch was not accepted; what was accepted before is whole and
/// the exporter goes on as soon as the cause is gone (a full disk has room again). Dropping it without
/// [`finish`](Exporter::finish) leaves what was flushed to [`recover`](crate::recover()).
#[derive(Debug)]
#[must_use = "an exporter does nothing until a collector drives it"]
pub struct ParquetExporter {
    out: PathBuf,
    options: ParquetOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Begun(Vec<(Table, TableWriter)>),
    /// With the rows that were accepted and not written.
    Finished(Vec<(Table, u64)>),
}

impl ParquetExporter {
    /// The exporter's name.
    pub const NAME: &str = "parquet";

    /// Makes the exporter; files are made under `out` when the run begins.
    pub fn create(out: impl Into<PathBuf>, options: ParquetOptions) -> Self {
        Self {
            out: out.into(),
            options,
            state: State::New,
        }
    }

    fn tables(&mut self) -> Result<&mut Vec<(Table, TableWriter)>> {
        let exporter = Self::NAME.to_owned();
        match &mut self.state {
            State::New => Err(Error::NotBegun { exporter }),
            State::Begun(tables) => Ok(tables),
            State::Finished(_) => Err(Error::Finished { exporter }),
        }
    }
}

fn failed(error: crate::ParquetError) -> Error {
    Error::export(ParquetExporter::NAME, error)
}

impl Exporter for ParquetExporter {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn begin(&mut self, schema: &RunSchema) -> Result<()> {
        if !matches!(self.state, State::New) {
            return Err(Error::Finished {
                exporter: Self::NAME.to_owned(),
            });
        }
        let dir = RunDir::create(&self.out, &schema.run.run_id).map_err(|e| e.export(Self::NAME))?;
        let tables = schema.run.tables.iter().map(|table| {
            let writer = TableWriter::create(&dir, schema, table, &self.options);
            Ok((table, writer.map_err(failed)?))
        });
        self.state = State::Begun(tables.collect::<Result<_>>()?);
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let table = batch.table();
        match self.tables()?.iter_mut().find(|(own, _)| *own == table) {
            Some((_, writer)) => writer.write(batch).map_err(failed),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        first_error(self.tables()?.iter_mut().map(|(_, writer)| writer.flush()))
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        let tables = self.tables()?;
        let result = first_error(tables.iter_mut().map(|(_, writer)| writer.finish()));
        let unwritten = |(table, writer): &(Table, TableWriter)| (*table, writer.unwritten());
        self.state = State::Finished(tables.iter().map(unwritten).collect());
        result
    }

    fn unwritten(&self, table: Table) -> u64 {
        let State::Finished(unwritten) = &self.state else {
            return 0;
        };
        unwritten
            .iter()
            .find(|(own, _)| *own == table)
            .map_or(0, |(_, rows)| *rows)
    }
}

/// Does all of it, whatever fails, and tells the first failure.
fn first_error(results: impl Iterator<Item = std::result::Result<(), crate::ParquetError>>) -> Result<()> {
    let mut first = Ok(());
    for result in results {
        first = first.and(result.map_err(failed));
    }
    first
}
