//! The Arrow IPC stream beside an open part: rows that were flushed and are in no row group yet.

use crate::error::ParquetError;
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use kvlens_schema::OutputFile;
use kvlens_schema::recovery::guarded;
use kvlens_schema::stream::Messages;
use std::fs::{self, File};
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};

/// A stream under construction.
pub(crate) struct Stream {
    writer: StreamWriter<OutputFile>,
    path: PathBuf,
    /// The row group that the rows are to be.
    group: u32,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// Makes the file, with the schema in it.
    pub(crate) fn create(path: PathBuf, group: u32, schema: &SchemaRef) -> Result<Self, ParquetError> {
        let file = OutputFile::create(&path)?;
        let writer = StreamWriter::try_new(file, schema).map_err(error(&path))?;
        Ok(Self { writer, path, group })
    }

    /// Stages rows.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.writer.write(batch).map_err(error(&self.path))?;
        self.writer.get_mut().mark_rows(batch.num_rows() as u64);
        Ok(())
    }

    /// Rows that a recovery finds in the file and takes, where the part's journal knows so many row groups.
    pub(crate) fn live_rows(&self, known_groups: u32) -> u64 {
        if self.group < known_groups {
            return 0;
        }
        self.writer.get_ref().rows_written()
    }

    /// Writes out what is staged.
    pub(crate) fn write_out(&mut self, fsync: bool) -> Result<(), ParquetError> {
        let file = self.writer.get_mut();
        Ok(if fsync { file.sync() } else { file.write_out() }?)
    }

    /// Removes the file: its rows are in a row group now.
    pub(crate) fn remove(self) -> Result<(), ParquetError> {
        fs::remove_file(&self.path).map_err(|e| ParquetError::io("remove", &self.path, e))
    }
}

/// What is left of a stream.
#[derive(Debug)]
pub(crate) struct Salvage {
    /// The schema; `None` when not even that was whole.
    pub(crate) schema: Option<SchemaRef>,
    /// The rows of every whole message.
    pub(crate) batches: Vec<RecordBatch>,
    /// Bytes after the last whole message.
    pub(crate) torn_bytes: u64,
}

/// Reads a stream up to the last whole message; what follows is cut off by not being read.
pub(crate) fn salvage(path: &Path) -> Result<Salvage, ParquetError> {
    let io = |e| ParquetError::io("read", path, e);
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut salvage = Salvage {
        schema: None,
        batches: Vec::new(),
        torn_bytes: size,
    };
    let messages = Messages::new(file).map_err(io)?;
    let Some(Ok(mut reader)) = guarded(|| StreamReader::try_new(BufReader::new(messages), None)) else {
        return Ok(salvage);
    };
    salvage.schema = Some(reader.schema());
    loop {
        let whole = reader.get_mut().stream_position().map_err(io)?;
        salvage.torn_bytes = size.saturating_sub(whole);
        match guarded(|| reader.next()) {
            Some(Some(Ok(batch))) => salvage.batches.push(batch),
            Some(Some(Err(_)) | None) | None => return Ok(salvage),
        }
    }
}

fn error(path: &Path) -> impl Fn(ArrowError) -> ParquetError + '_ {
    |source| ParquetError::Stream {
        path: path.to_path_buf(),
        source,
    }
}
