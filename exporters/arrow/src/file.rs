//! One table's file.

use crate::error::ArrowExportError;
use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, SchemaRef};
use kvlens_schema::OutputFile;
use kvlens_schema::output::STAGE_BYTES;
use std::fs;
use std::path::{Path, PathBuf};

/// An IPC file under construction.
pub(crate) struct IpcFile {
    writer: FileWriter<OutputFile>,
    path: PathBuf,
    /// Whether the footer is staged.
    ended: bool,
}

impl std::fmt::Debug for IpcFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IpcFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl IpcFile {
    /// Makes the file, with the schema in it.
    pub(crate) fn create(path: PathBuf, schema: &SchemaRef) -> Result<Self, ArrowExportError> {
        let file = OutputFile::create(&path)?;
        let writer = FileWriter::try_new(file, schema).map_err(ipc(&path))?;
        Ok(Self {
            writer,
            path,
            ended: false,
        })
    }

    /// Tries again what failed last.
    pub(crate) fn ready(&mut self) -> Result<(), ArrowExportError> {
        Ok(self.writer.get_mut().ready()?)
    }

    /// Accepts rows.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<(), ArrowExportError> {
        self.writer.write(batch).map_err(ipc(&self.path))?;
        self.writer.get_mut().mark_rows(batch.num_rows() as u64);
        if self.writer.get_ref().len() >= STAGE_BYTES as u64 {
            self.writer.get_mut().settle();
        }
        Ok(())
    }

    /// Rows that are whole in the file.
    pub(crate) fn rows_written(&self) -> u64 {
        self.writer.get_ref().rows_written()
    }

    /// Writes out what was accepted.
    pub(crate) fn write_out(&mut self, fsync: bool) -> Result<(), ArrowExportError> {
        let file = self.writer.get_mut();
        Ok(if fsync { file.sync() } else { file.write_out() }?)
    }

    /// Writes the footer and gives the file its final name. After an error, call it again.
    pub(crate) fn seal(&mut self, to: &Path, fsync: bool) -> Result<(), ArrowExportError> {
        if !self.ended {
            self.writer.finish().map_err(ipc(&self.path))?;
            self.ended = true;
        }
        self.write_out(fsync)?;
        let renamed = fs::rename(&self.path, to);
        Ok(renamed.map_err(|e| kvlens_schema::SchemaError::io("rename", &self.path, e))?)
    }
}

pub(crate) fn ipc(path: &Path) -> impl Fn(ArrowError) -> ArrowExportError + '_ {
    |source| ArrowExportError::Ipc {
        path: path.to_path_buf(),
        source,
    }
}
