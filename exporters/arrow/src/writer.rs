//! The exporter of files.

use crate::error::ArrowExportError;
use crate::file::IpcFile;
use crate::options::ArrowOptions;
use kvlens_core::record::Table;
use kvlens_core::run::{RunEnd, RunSchema};
use kvlens_core::{Batch, Error, Exporter, Result};
use kvlens_schema::{RunDir, SchemaError, TableBuilder};
use std::path::PathBuf;

/// The extension of the files.
pub(crate) const EXTENSION: &str = "arrow";

/// Writes a run as Arrow IPC, one file a table.
///
/// An error of [`write`](Exporter::write) means that the batch was not accepted; what was accepted before is whole and
/// the exporter goes on as soon as the cause is gone (a full disk has room again). Dropping it without
/// [`finish`](Exporter::finish) leaves what was flushed to [`recover`](crate::recover()).
#[derive(Debug)]
#[must_use = "an exporter does nothing until a collector drives it"]
pub struct ArrowExporter {
    out: PathBuf,
    options: ArrowOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Begun(RunDir, Vec<TableFile>),
    /// With the rows that were accepted and not written.
    Finished(Vec<(Table, u64)>),
}

#[derive(Debug)]
struct TableFile {
    builder: TableBuilder,
    file: IpcFile,
    /// Rows accepted.
    rows: u64,
}

impl TableFile {
    fn create(dir: &RunDir, schema: &RunSchema, table: Table) -> Result<Self, ArrowExportError> {
        let sealed = dir.file(table, EXTENSION);
        if sealed.exists() {
            return Err(SchemaError::Exists { path: sealed }.into());
        }
        let builder = TableBuilder::new(schema, table);
        let file = IpcFile::create(dir.open_file(table, EXTENSION), builder.schema())?;
        let rows = 0;
        Ok(Self { builder, file, rows })
    }

    fn write(&mut self, batch: &Batch) -> Result<(), ArrowExportError> {
        self.file.ready()?;
        let mut at = 0;
        while at < batch.len() {
            at += self.builder.append(batch, at);
            if self.builder.is_full() {
                self.file.append(&self.builder.finish()?)?;
            }
        }
        self.rows += batch.len() as u64;
        Ok(())
    }

    fn flush(&mut self, fsync: bool) -> Result<(), ArrowExportError> {
        self.file.ready()?;
        if !self.builder.is_empty() {
            self.file.append(&self.builder.finish()?)?;
        }
        self.file.write_out(fsync)
    }

    fn finish(&mut self, dir: &RunDir, fsync: bool) -> Result<(), ArrowExportError> {
        self.flush(fsync)?;
        self.file.seal(&dir.file(self.builder.table(), EXTENSION), fsync)
    }
}

impl ArrowExporter {
    /// The exporter's name.
    pub const NAME: &str = "arrow";

    /// Makes the exporter; files are made under `out` when the run begins.
    pub fn create(out: impl Into<PathBuf>, options: ArrowOptions) -> Self {
        Self {
            out: out.into(),
            options,
            state: State::New,
        }
    }

    fn begun(&mut self) -> Result<(&RunDir, &mut Vec<TableFile>)> {
        let exporter = Self::NAME.to_owned();
        match &mut self.state {
            State::New => Err(Error::NotBegun { exporter }),
            State::Begun(dir, tables) => Ok((dir, tables)),
            State::Finished(_) => Err(Error::Finished { exporter }),
        }
    }
}

fn failed(error: ArrowExportError) -> Error {
    Error::export(ArrowExporter::NAME, error)
}

impl Exporter for ArrowExporter {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn begin(&mut self, schema: &RunSchema) -> Result<()> {
        if !matches!(self.state, State::New) {
            return Err(Error::Finished {
                exporter: Self::NAME.to_owned(),
            });
        }
        let dir = RunDir::create(&self.out, &schema.run.run_id).map_err(|e| failed(e.into()))?;
        let tables = schema
            .run
            .tables
            .iter()
            .map(|table| TableFile::create(&dir, schema, table));
        let tables = tables.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        self.state = State::Begun(dir, tables);
        self.flush()
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let (_, tables) = self.begun()?;
        match tables
            .iter_mut()
            .find(|table| table.builder.table() == batch.table())
        {
            Some(table) => table.write(batch).map_err(failed),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let fsync = self.options.fsync();
        let (_, tables) = self.begun()?;
        first_error(tables.iter_mut().map(|table| table.flush(fsync)))
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        let fsync = self.options.fsync();
        let (dir, tables) = self.begun()?;
        let result = first_error(tables.iter_mut().map(|table| table.finish(dir, fsync)));
        let unwritten = |own: &TableFile| {
            let rows = own.rows.saturating_sub(own.file.rows_written());
            (own.builder.table(), rows)
        };
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
fn first_error(results: impl Iterator<Item = Result<(), ArrowExportError>>) -> Result<()> {
    let mut first = Ok(());
    for result in results {
        first = first.and(result.map_err(failed));
    }
    first
}
