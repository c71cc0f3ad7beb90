//! One table: rows are encoded as they come and become row groups, row groups become parts.

use crate::columns;
use crate::encoding::{FIRST_BYTES, FIRST_ROWS, MEASURED_BYTES, MEASURED_ROWS, Plan};
use crate::error::ParquetError;
use crate::group::Group;
use crate::names::Name;
use crate::options::ParquetOptions;
use crate::part::Part;
use crate::stream::Stream;
use kvlens_core::Batch;
use kvlens_core::record::Table;
use kvlens_core::run::RunSchema;
use kvlens_schema::{RunDir, TableBuilder};
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

/// Threads that encode the last row group of a table, at most, where more are not asked for.
const FINISH_THREADS: usize = 4;

/// Rows that several threads encode together, at least: for fewer, beginning and waiting for each other costs too much.
const SHARED_ROWS: usize = 65_536;

/// The memory of rows that several threads encode together, if that is reached first.
const SHARED_BYTES: usize = 8 << 20;

/// Writes one table.
///
/// An error leaves everything as it was, or one step further: the next call goes on from there. So `write` first makes
/// up for what failed before and accepts rows only then.
#[derive(Debug)]
pub(crate) struct TableWriter {
    dir: PathBuf,
    options: ParquetOptions,
    builder: TableBuilder,
    group: Group,
    plan: Option<Plan>,
    part: Option<Part>,
    stream: Option<Stream>,
    /// The number of the part that is open, or comes next.
    number: u32,
    /// Rows accepted.
    rows: u64,
    /// Rows in sealed parts.
    sealed_rows: u64,
    /// When the part's first row came.
    since: Option<Instant>,
    /// Why nothing can be written any more: rows could not be encoded. What was flushed is there for a recovery.
    broken: Option<String>,
}

impl TableWriter {
    /// Makes the table's directory, and in it an empty stream: should the run be killed before anything is flushed, a
    /// recovery still learns the schema.
    pub(crate) fn create(
        run: &RunDir,
        schema: &RunSchema,
        table: Table,
        options: &ParquetOptions,
    ) -> Result<Self, ParquetError> {
        let dir = run.table(table);
        fs::create_dir_all(&dir).map_err(|e| ParquetError::io("make the directory", &dir, e))?;
        let mut listing = fs::read_dir(&dir).map_err(|e| ParquetError::io("list", &dir, e))?;
        if listing.next().is_some() {
            return Err(ParquetError::NotEmpty { path: dir });
        }
        let mut writer = Self {
            dir,
            options: options.clone(),
            builder: TableBuilder::new(schema, table),
            group: Group::default(),
            plan: None,
            part: None,
            stream: None,
            number: 0,
            rows: 0,
            sealed_rows: 0,
            since: None,
            broken: None,
        };
        writer.write_stream()?;
        Ok(writer)
    }

    /// Accepts a batch, all of it or, on error, nothing.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), ParquetError> {
        self.make_up()?;
        self.since.get_or_insert_with(Instant::now);
        let mut at = 0;
        while at < batch.len() {
            at += self.builder.append(batch, at);
            if self.builder.is_full()
                || self.group.rows() + self.builder.len() >= self.options.row_group_rows()
            {
                self.group.push(self.builder.finish()?);
                // A failure comes up in the next call: these rows are accepted.
                let _ = self.encode_ahead().and_then(|()| self.make_up());
            }
        }
        self.rows += batch.len() as u64;
        Ok(())
    }

    /// Makes the rows so far survive the process.
    pub(crate) fn flush(&mut self) -> Result<(), ParquetError> {
        self.make_up()?;
        if self
            .since
            .is_some_and(|since| since.elapsed() >= self.options.part_time())
        {
            return self.seal();
        }
        if !self.builder.is_empty() {
            self.group.push(self.builder.finish()?);
            self.encode_ahead()?;
        }
        if self.group.is_overflowed() {
            return self.close_group();
        }
        self.write_stream()
    }

    /// Ends the table: it has at least one part then, be it empty.
    pub(crate) fn finish(&mut self) -> Result<(), ParquetError> {
        let empty = self.number == 0 && self.part.is_none();
        // The engine has ended too, or need not wait: what is left is encoded with what there is.
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = self.options.threads().max(threads.min(FINISH_THREADS));
        self.options = self.options.clone().with_threads(threads);
        let sealed = self.make_up().and_then(|()| self.seal_or_empty(empty));
        if sealed.is_err() {
            // What can't become a part may still fit into the stream.
            let _ = self.write_stream();
        }
        sealed
    }

    /// Rows that were accepted and that neither a part holds nor a recovery finds.
    pub(crate) fn unwritten(&self) -> u64 {
        let (groups, journaled) = self.part.as_ref().map_or((0, 0), Part::journaled);
        let streamed = self.stream.as_ref().map_or(0, |stream| stream.live_rows(groups));
        self.rows.saturating_sub(self.sealed_rows + journaled + streamed)
    }

    fn seal_or_empty(&mut self, empty: bool) -> Result<(), ParquetError> {
        if !empty || !self.builder.is_empty() || self.group.rows() > 0 {
            return self.seal();
        }
        let chunk = self.builder.finish()?;
        self.open_part(&[chunk])?;
        self.end_part()
    }

    /// Catches up on what is due: a row group that is full, a checkpoint or a seal that failed.
    fn make_up(&mut self) -> Result<(), ParquetError> {
        if let Some(cause) = &self.broken {
            return Err(ParquetError::Encode {
                path: Name::Open(self.number).path(&self.dir),
                source: parquet::errors::ParquetError::General(cause.clone()),
            });
        }
        let fsync = self.options.fsync();
        if self.part.as_ref().is_some_and(Part::is_ended) {
            self.end_part()?;
        }
        if let Some(part) = self.part.as_mut().filter(|part| part.is_dirty()) {
            part.checkpoint(fsync)?;
            self.drop_stream()?;
        }
        let full = self.group.rows() >= self.options.row_group_rows();
        if full || self.group.bytes() >= self.group_bytes() {
            self.close_group()?;
        }
        let full = |part: &Part| {
            part.rows() >= self.options.part_rows() as u64 || part.groups() >= ParquetOptions::PART_GROUPS
        };
        if self.part.as_ref().is_some_and(full) {
            self.end_part()?;
        }
        Ok(())
    }

    /// The memory at which a row group ends.
    fn group_bytes(&self) -> usize {
        match self.builder.table() {
            Table::Samples => ParquetOptions::SAMPLE_GROUP_BYTES,
            _ => ParquetOptions::ROW_GROUP_BYTES,
        }
    }

    /// Ends the row group, with all rows that wait.
    fn close_group(&mut self) -> Result<(), ParquetError> {
        self.encode_waiting()?;
        if let Some(part) = &mut self.part {
            part.end_group(self.options.threads())?;
            self.group.clear();
            part.checkpoint(self.options.fsync())?;
        }
        self.drop_stream()
    }

    /// Encodes what waits, once there are rows enough to measure: a run that ends has little left to do then.
    fn encode_ahead(&mut self) -> Result<(), ParquetError> {
        let (rows, bytes) = match &self.plan {
            _ if self.part.is_some() && self.options.threads() > 1 => (SHARED_ROWS, SHARED_BYTES),
            _ if self.part.is_some() => (0, 0),
            None => (FIRST_ROWS, FIRST_BYTES),
            Some(plan) if plan.rows() < MEASURED_ROWS => (MEASURED_ROWS, MEASURED_BYTES),
            Some(_) => (0, 0),
        };
        if self.group.waiting_rows() >= rows || self.group.waiting_bytes() >= bytes {
            self.encode_waiting()?;
        }
        Ok(())
    }

    fn encode_waiting(&mut self) -> Result<(), ParquetError> {
        if self.part.is_none() && self.group.waiting_rows() > 0 {
            let chunks = self.group.waiting().to_vec();
            self.open_part(&chunks)?;
        }
        let Some(part) = &mut self.part else { return Ok(()) };
        let encoded = part.append(&self.group.take_waiting(), self.options.threads());
        if let Err(error) = &encoded {
            self.broken = Some(error.to_string());
        }
        encoded
    }

    fn open_part(&mut self, chunks: &[arrow_array::RecordBatch]) -> Result<(), ParquetError> {
        let rows: usize = chunks.iter().map(arrow_array::RecordBatch::num_rows).sum();
        let schema = self.builder.schema();
        // A choice that rests on few rows is made anew once there are more.
        let plan = match self.plan.take() {
            Some(plan) if rows.min(MEASURED_ROWS) < plan.rows().saturating_mul(2) => plan,
            _ => columns::choose(schema, chunks, &self.options, &self.dir)?,
        };
        let opened = Part::create(&self.dir, self.number, schema, &plan, &self.options);
        self.plan = Some(plan);
        self.part = Some(opened?);
        Ok(())
    }

    /// Seals the part with all rows so far.
    fn seal(&mut self) -> Result<(), ParquetError> {
        if !self.builder.is_empty() {
            self.group.push(self.builder.finish()?);
        }
        if self.group.rows() > 0 {
            self.close_group()?;
        }
        self.end_part()
    }

    fn end_part(&mut self) -> Result<(), ParquetError> {
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        part.seal(self.options.fsync())?;
        self.sealed_rows += part.rows();
        self.part = None;
        self.since = None;
        // The stream before the footer: a stream without a footer beside a sealed part is known to be stale.
        self.drop_stream()?;
        let footer = Name::Footer(self.number).path(&self.dir);
        self.number += 1;
        match fs::remove_file(&footer) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ParquetError::io("remove", footer, error))
            }
            _ => Ok(()),
        }
    }

    fn drop_stream(&mut self) -> Result<(), ParquetError> {
        self.stream.take().map_or(Ok(()), Stream::remove)
    }

    /// Puts the rows that are in no row group into the stream.
    fn write_stream(&mut self) -> Result<(), ParquetError> {
        if !self.builder.is_empty() {
            self.group.push(self.builder.finish()?);
        }
        if self.stream.is_none() {
            if self.group.unflushed().is_empty() && self.number > 0 {
                return Ok(());
            }
            let group = self.part.as_ref().map_or(0, Part::groups);
            let path = Name::Stream(self.number, group).path(&self.dir);
            self.stream = Some(Stream::create(path, group, self.builder.schema())?);
        }
        if let Some(stream) = &mut self.stream {
            for chunk in self.group.unflushed() {
                stream.append(chunk)?;
            }
            let path = &self.dir;
            let joined = self.group.mark_flushed();
            joined.map_err(|source| ParquetError::Stream {
                path: path.clone(),
                source,
            })?;
            stream.write_out(self.options.fsync())?;
        }
        Ok(())
    }
}
