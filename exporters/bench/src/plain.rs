//! arrow-rs used plainly: a record batch a batch, into a buffered file.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_csv::WriterBuilder;
use arrow_ipc::writer::FileWriter;
use kvlens_core::run::{RunEnd, RunSchema};
use kvlens_core::{Batch, Error, Exporter, Result, Table};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

const BUFFER: usize = 1 << 20;

/// Writes one table as arrow-rs does it.
pub struct Plain {
    schema: RunSchema,
    writer: Option<Writer>,
}

enum Writer {
    Csv(Box<arrow_csv::Writer<BufWriter<File>>>),
    Ipc(Box<FileWriter<BufWriter<File>>>),
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").finish_non_exhaustive()
    }
}

impl Plain {
    /// Makes a CSV file, with times as our exporter writes them.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn csv(path: &Path, schema: &RunSchema) -> std::io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER, File::create(path)?);
        let format = "%Y-%m-%dT%H:%M:%S%.9fZ".to_owned();
        let writer = WriterBuilder::new().with_timestamp_tz_format(format).build(file);
        Ok(Self {
            schema: schema.clone(),
            writer: Some(Writer::Csv(Box::new(writer))),
        })
    }

    /// Makes an Arrow IPC file of one table.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn ipc(
        path: &Path,
        schema: &RunSchema,
        table: Table,
    ) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let file = BufWriter::with_capacity(BUFFER, File::create(path)?);
        let writer = FileWriter::try_new(file, &kvlens_schema::table_schema(schema, table))?;
        Ok(Self {
            schema: schema.clone(),
            writer: Some(Writer::Ipc(Box::new(writer))),
        })
    }
}

/// Names UTC by its offset, which arrow-csv knows without a time zone database.
fn offset_times(rows: &RecordBatch) -> RecordBatch {
    let columns =
        rows.columns().iter().map(
            |column| match column.as_primitive_opt::<TimestampNanosecondType>() {
                Some(times) => Arc::new(times.clone().with_timezone("+00:00")) as ArrayRef,
                None => Arc::clone(column),
            },
        );
    let fields = rows
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.name().as_str());
    let named: Vec<_> = fields.zip(columns).collect();
    RecordBatch::try_from_iter(named).unwrap_or_else(|_| rows.clone())
}

impl Exporter for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn begin(&mut self, _schema: &RunSchema) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let rows = kvlens_schema::to_record_batch(&self.schema, batch).map_err(|e| e.export("plain"))?;
        match &mut self.writer {
            Some(Writer::Csv(writer)) => writer.write(&offset_times(&rows)),
            Some(Writer::Ipc(writer)) => writer.write(&rows),
            None => Ok(()),
        }
        .map_err(|e| Error::export("plain", e))
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        match self.writer.take() {
            Some(Writer::Ipc(mut writer)) => writer.finish().map_err(|e| Error::export("plain", e)),
            _ => Ok(()),
        }
    }
}
