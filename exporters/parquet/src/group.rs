//! The rows of the row group that is being made, as far as they are still needed as rows.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use kvlens_schema::table::CHUNK_ROWS;

/// Chunks are joined up to this memory: beyond, copying what was flushed before costs more than a chunk of its own.
const JOINED_BYTES: usize = 1 << 20;

/// Rows that are kept for the stream, at most. A run that has more of them between two flushes has them in a row group at
/// the next flush instead, which is written once and not twice.
const KEPT_ROWS: usize = 32_768;

/// The memory of the rows that are kept for the stream, at most.
const KEPT_BYTES: usize = 8 << 20;

/// A row group's rows: those that wait to be encoded, and those that are not in the stream.
#[derive(Debug, Default)]
pub(crate) struct Group {
    rows: usize,
    bytes: usize,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    unflushed: Vec<RecordBatch>,
    unflushed_rows: usize,
    unflushed_bytes: usize,
    /// Whether rows are in neither the stream nor a row group that is whole.
    overflowed: bool,
}

impl Group {
    /// Rows of the group, encoded ones included.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory that all rows of the group took before they were encoded.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows that wait to be encoded.
    pub(crate) fn waiting(&self) -> &[RecordBatch] {
        &self.waiting
    }

    /// How many rows wait to be encoded.
    pub(crate) fn waiting_rows(&self) -> usize {
        self.waiting_rows
    }

    /// Memory of the rows that wait to be encoded.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether the group has to be ended for a flush: there are more rows than are kept for the stream.
    pub(crate) fn is_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Adds rows.
    pub(crate) fn push(&mut self, chunk: RecordBatch) {
        if chunk.num_rows() == 0 {
            return;
        }
        let (rows, bytes) = (chunk.num_rows(), chunk.get_array_memory_size());
        self.rows += rows;
        self.bytes += bytes;
        self.waiting_rows += rows;
        self.waiting_bytes += bytes;
        self.unflushed_rows += rows;
        self.unflushed_bytes += bytes;
        if !self.overflowed {
            self.unflushed.push(chunk.clone());
        }
        if self.unflushed_rows > KEPT_ROWS || self.unflushed_bytes > KEPT_BYTES {
            self.overflowed = true;
            self.unflushed.clear();
        }
        self.waiting.push(chunk);
    }

    /// Takes the rows that wait, to encode them.
    pub(crate) fn take_waiting(&mut self) -> Vec<RecordBatch> {
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        std::mem::take(&mut self.waiting)
    }

    /// The rows that are not in the stream.
    pub(crate) fn unflushed(&self) -> &[RecordBatch] {
        &self.unflushed
    }

    /// Notes that all rows are in the stream, and joins the last chunks that wait if they are small: a flush every second
    /// would otherwise leave hundreds of tiny ones.
    pub(crate) fn mark_flushed(&mut self) -> Result<(), ArrowError> {
        self.unflushed.clear();
        (self.unflushed_rows, self.unflushed_bytes) = (0, 0);
        let [.., before, last] = self.waiting.as_slice() else {
            return Ok(());
        };
        let bytes = before.get_array_memory_size() + last.get_array_memory_size();
        if before.num_rows() + last.num_rows() <= CHUNK_ROWS && bytes <= JOINED_BYTES {
            let joined = concat_batches(&last.schema(), [before, last])?;
            self.waiting.truncate(self.waiting.len() - 2);
            self.waiting.push(joined);
        }
        Ok(())
    }

    /// Forgets the rows: they are in a row group.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
