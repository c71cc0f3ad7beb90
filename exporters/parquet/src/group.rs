//! The rows of the next row group: in memory, column by column.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use kvlens_schema::table::CHUNK_ROWS;

/// Chunks are joined up to this memory: beyond, copying what was flushed before costs more than a chunk of its own.
const JOINED_BYTES: usize = 1 << 20;

/// Record batches that wait to become a row group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    chunks: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// How many of the chunks are in the stream.
    flushed: usize,
}

impl Group {
    /// Rows that wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory that the rows take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows.
    pub(crate) fn chunks(&self) -> &[RecordBatch] {
        &self.chunks
    }

    /// Adds rows.
    pub(crate) fn push(&mut self, chunk: RecordBatch) {
        if chunk.num_rows() > 0 {
            self.rows += chunk.num_rows();
            self.bytes += chunk.get_array_memory_size();
            self.chunks.push(chunk);
        }
    }

    /// The rows that are not in the stream.
    pub(crate) fn unflushed(&self) -> &[RecordBatch] {
        self.chunks.get(self.flushed..).unwrap_or(&[])
    }

    /// Notes that all rows are in the stream, and joins the last chunks if they are small: a flush every second would
    /// otherwise leave hundreds of tiny ones.
    pub(crate) fn mark_flushed(&mut self) -> Result<(), ArrowError> {
        self.flushed = self.chunks.len();
        let [.., before, last] = self.chunks.as_slice() else {
            return Ok(());
        };
        let bytes = before.get_array_memory_size() + last.get_array_memory_size();
        if before.num_rows() + last.num_rows() <= CHUNK_ROWS && bytes <= JOINED_BYTES {
            let joined = concat_batches(&last.schema(), [before, last])?;
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(joined);
            self.flushed = self.chunks.len();
        }
        Ok(())
    }

    /// Forgets the rows: they are in a row group.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
