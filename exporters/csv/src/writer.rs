//! The exporter.

use crate::line::Lines;
use crate::options::{CsvOptions, Timestamps};
use kvlens_core::record::Table;
use kvlens_core::run::{RunEnd, RunSchema};
use kvlens_core::{Batch, Error, Exporter, Result};
use kvlens_schema::output::STAGE_BYTES;
use kvlens_schema::{OutputFile, RunDir, SchemaError};
use std::path::PathBuf;

/// Writes a run as CSV, one file a table.
///
/// An error of [`write`](Exporter::write) means that the batch was not accepted; the file ends in a whole line, and the
/// exporter goes on as soon as the cause is gone (a full disk has room again). Dropping it without
/// [`finish`](Exporter::finish) loses what was not flushed.
#[derive(Debug)]
#[must_use = "an exporter does nothing until a collector drives it"]
pub struct CsvExporter {
    out: PathBuf,
    options: CsvOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Begun(Box<Lines>, Vec<TableFile>),
    /// With the rows that were accepted and not written.
    Finished(Vec<(Table, u64)>),
}

#[derive(Debug)]
struct TableFile {
    table: Table,
    file: OutputFile,
    /// Rows accepted.
    rows: u64,
}

impl CsvExporter {
    /// The exporter's name.
    pub const NAME: &str = "csv";

    /// Makes the exporter; files are made under `out` when the run begins.
    pub fn create(out: impl Into<PathBuf>, options: CsvOptions) -> Self {
        Self {
            out: out.into(),
            options,
            state: State::New,
        }
    }

    fn begun(&mut self) -> Result<(&mut Lines, &mut Vec<TableFile>)> {
        let exporter = Self::NAME.to_owned();
        match &mut self.state {
            State::New => Err(Error::NotBegun { exporter }),
            State::Begun(lines, files) => Ok((lines, files)),
            State::Finished(_) => Err(Error::Finished { exporter }),
        }
    }

    fn write_out(&mut self) -> Result<()> {
        let fsync = self.options.fsync();
        let (_, files) = self.begun()?;
        let mut first = Ok(());
        for TableFile { file, .. } in files {
            let written = if fsync { file.sync() } else { file.write_out() };
            first = first.and(written.map_err(failed));
        }
        first
    }
}

fn failed(error: SchemaError) -> Error {
    Error::export(CsvExporter::NAME, crate::CsvError::from(error))
}

impl Exporter for CsvExporter {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn begin(&mut self, schema: &RunSchema) -> Result<()> {
        if !matches!(self.state, State::New) {
            return Err(Error::Finished {
                exporter: Self::NAME.to_owned(),
            });
        }
        let dir = RunDir::create(&self.out, &schema.run.run_id).map_err(failed)?;
        let lines = Lines::new(schema, self.options.timestamps());
        let files = schema.run.tables.iter().map(|table| {
            let mut file = OutputFile::create(dir.file(table, "csv"))?;
            lines.header(file.staged(), table);
            let rows = 0;
            Ok(TableFile { table, file, rows })
        });
        let files = files.collect::<Result<_, _>>().map_err(failed)?;
        self.state = State::Begun(Box::new(lines), files);
        self.write_out()
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let (lines, files) = self.begun()?;
        let Some(TableFile { file, rows, .. }) = files.iter_mut().find(|own| own.table == batch.table())
        else {
            return Ok(());
        };
        file.ready().map_err(failed)?;
        file.staged().reserve(STAGE_BYTES);
        lines.batch(file.staged(), batch);
        let accepted = batch.len() as u64;
        *rows += accepted;
        file.mark_rows(accepted);
        file.settle();
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.write_out()
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        let result = self.write_out();
        if let State::Begun(_, files) = &self.state {
            let unwritten = |own: &TableFile| (own.table, own.rows.saturating_sub(own.file.rows_written()));
            self.state = State::Finished(files.iter().map(unwritten).collect());
        }
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

/// Turns one batch into CSV text, with a header.
pub fn to_string(run: &RunSchema, batch: &Batch) -> String {
    let mut lines = Lines::new(run, Timestamps::default());
    let mut out = Vec::new();
    lines.header(&mut out, batch.table());
    lines.batch(&mut out, batch);
    String::from_utf8_lossy(&out).into_owned()
}
