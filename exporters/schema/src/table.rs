//! Typed rows in, record batches out.

use crate::column::Column;
use crate::error::SchemaError;
use crate::schema::table_schema;
use crate::{rows, samples};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use kvlens_core::Batch;
use kvlens_core::record::{AccessRow, BlockRow, ColumnType, RequestRow, Row, Sample, StepRow, Table, Value};
use kvlens_core::run::{RunSchema, SourceIndex};
use std::ops::Range;
use std::sync::Arc;

/// A batch is full at this many rows: large enough that per-batch costs vanish, small enough to stay in a cache.
pub const CHUNK_ROWS: usize = 8_192;

/// A batch of samples is full at this many histogram buckets, however few its rows.
pub const CHUNK_BUCKETS: usize = 1 << 17;

/// Collects rows of one table, column by column.
///
/// ```
/// use kvlens_core::{Batch, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow, Table};
/// use kvlens_schema::TableBuilder;
/// let run = RunSchema::new(RunInfo::new("demo"), vec![SourceInfo::new("engine-0", "mine")], vec![]);
/// let mut builder = TableBuilder::new(&run, Table::Steps);
/// let batch = Batch::Steps(SourceIndex(0), vec![StepRow::default(); 10]);
/// assert_eq!(builder.append(&batch, 0), 10);
/// assert_eq!(builder.finish()?.num_rows(), 10);
/// assert!(builder.is_empty());
/// # Ok::<(), kvlens_schema::SchemaError>(())
/// ```
#[derive(Debug)]
pub struct TableBuilder {
    run: Arc<RunSchema>,
    table: Table,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    buckets: usize,
}

impl TableBuilder {
    /// Makes an empty builder for one table of a run.
    pub fn new(run: &RunSchema, table: Table) -> Self {
        let schema = table_schema(run, table);
        let codes = match table {
            Table::Samples => Vec::new(),
            Table::Steps => codes::<StepRow>(),
            Table::Requests => codes::<RequestRow>(),
            Table::Blocks => codes::<BlockRow>(),
            Table::Accesses => codes::<AccessRow>(),
        };
        let columns = schema.fields().iter().enumerate().map(|(place, field)| {
            // Place 2 is `source`; the row's own columns follow, its first one is in places 0 and 1.
            if place == 2 {
                Column::new(field, run.sources.iter().map(|source| source.name.as_str()))
            } else {
                let names = place
                    .checked_sub(2)
                    .and_then(|at| codes.get(at))
                    .copied()
                    .unwrap_or(&[]);
                Column::new(field, names.iter().copied())
            }
        });
        Self {
            columns: columns.collect(),
            run: Arc::new(run.clone()),
            table,
            schema,
            rows: 0,
            buckets: 0,
        }
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The table.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Rows appended since the last [`finish`](Self::finish).
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether the batch should be taken: it has [`CHUNK_ROWS`] rows or [`CHUNK_BUCKETS`] buckets.
    pub fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.buckets >= CHUNK_BUCKETS
    }

    /// Appends the batch's rows from `from` on, as many as fit; says how many. Rows of another table are passed over.
    pub fn append(&mut self, batch: &Batch, from: usize) -> usize {
        if batch.table() != self.table {
            return batch.len().saturating_sub(from);
        }
        let room = CHUNK_ROWS.saturating_sub(self.rows).max(1);
        let range = from.min(batch.len())..batch.len().min(from.saturating_add(room));
        let taken = match batch {
            Batch::Samples(samples) => self.append_samples(samples, range),
            Batch::Steps(source, rows) => self.append_rows(*source, rows, range),
            Batch::Requests(source, rows) => self.append_rows(*source, rows, range),
            Batch::Blocks(source, rows) => self.append_rows(*source, rows, range),
            Batch::Accesses(source, rows) => self.append_rows(*source, rows, range),
            _ => range.len(),
        };
        self.rows += taken;
        taken
    }

    /// Takes the rows as a record batch and starts anew.
    ///
    /// # Errors
    /// [`SchemaError::Batch`] when a row names a source that the run does not have.
    pub fn finish(&mut self) -> Result<RecordBatch, SchemaError> {
        (self.rows, self.buckets) = (0, 0);
        // Every column is finished even if one fails, or the next batch would be ragged.
        let arrays: Vec<Result<ArrayRef, ArrowError>> = self.columns.iter_mut().map(Column::finish).collect();
        let table = self.table.name();
        arrays
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .and_then(|arrays| RecordBatch::try_new(Arc::clone(&self.schema), arrays))
            .map_err(|source| SchemaError::Batch { table, source })
    }

    fn append_rows<R: Row>(&mut self, source: SourceIndex, rows: &[R], range: Range<usize>) -> usize {
        let rows = rows.get(range).unwrap_or(&[]);
        rows::append(&mut self.columns, source, self.run.clock_of(source), rows);
        rows.len()
    }

    fn append_samples(&mut self, samples: &[Sample], range: Range<usize>) -> usize {
        let mut taken = 0;
        for sample in samples.get(range).unwrap_or(&[]) {
            samples::append(&mut self.columns, &self.run, sample);
            taken += 1;
            self.buckets += sample.values.iter().map(buckets).sum::<usize>();
            if self.buckets >= CHUNK_BUCKETS {
                break;
            }
        }
        taken
    }
}

fn codes<R: Row>() -> Vec<&'static [&'static str]> {
    let names = |ty| {
        if let ColumnType::Code(names) = ty {
            names
        } else {
            &[][..]
        }
    };
    R::COLUMNS.iter().map(|column| names(column.ty)).collect()
}

fn buckets(value: &Value) -> usize {
    match value {
        Value::Histogram(histogram) => histogram.buckets().len(),
        Value::Fixed(histogram) => histogram.counts().len(),
        _ => 0,
    }
}

/// Turns one batch of typed records into one record batch.
///
/// # Errors
/// [`SchemaError::Batch`] when a row names a source that the run does not have.
pub fn to_record_batch(run: &RunSchema, batch: &Batch) -> Result<RecordBatch, SchemaError> {
    let mut builder = TableBuilder::new(run, batch.table());
    let mut at = 0;
    while at < batch.len() {
        at += builder.append(batch, at);
    }
    builder.finish()
}
