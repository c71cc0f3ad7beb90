//! An open part: rows in, row groups by and by, a sealed Parquet file out.

use crate::columns::{Encoder, OpenGroup, descriptor};
use crate::encoding::Plan;
use crate::error::ParquetError;
use crate::journal::Journal;
use crate::names::Name;
use crate::options::ParquetOptions;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kvlens_schema::OutputFile;
use kvlens_schema::layout::sync_dir;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataWriter};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A part that row groups are appended to.
pub(crate) struct Part {
    writer: SerializedFileWriter<OutputFile>,
    encoder: Encoder,
    /// The row group that is being made.
    open: Option<OpenGroup>,
    dir: PathBuf,
    number: u32,
    rows: u64,
    /// Row groups and rows that the journal tells of.
    journaled: (u32, u64),
    /// Whether row groups were appended that the journal does not tell of yet.
    dirty: bool,
    /// Whether the footer is staged: no row group may follow.
    ended: bool,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("number", &self.number)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Part {
    /// Makes the file.
    pub(crate) fn create(
        dir: &Path,
        number: u32,
        schema: &SchemaRef,
        plan: &Plan,
        options: &ParquetOptions,
    ) -> Result<Self, ParquetError> {
        let path = Name::Open(number).path(dir);
        let encode = |source| ParquetError::Encode {
            path: path.clone(),
            source,
        };
        let properties = Arc::new(plan.properties(schema, options).map_err(encode)?);
        let root = descriptor(schema).map_err(encode)?.root_schema_ptr();
        let file = OutputFile::create(&path)?;
        let writer = SerializedFileWriter::new(file, root, properties).map_err(encode)?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(schema));
        let encoder = Encoder::new(factory, plan.clone(), schema, options.zstd_level(), false);
        Ok(Self {
            writer,
            encoder: encoder.map_err(encode)?,
            open: None,
            dir: dir.to_path_buf(),
            number,
            rows: 0,
            journaled: (0, 0),
            dirty: false,
            ended: false,
        })
    }

    /// Rows in whole row groups.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Row groups and rows that a recovery finds.
    pub(crate) fn journaled(&self) -> (u32, u64) {
        self.journaled
    }

    /// Row groups appended.
    pub(crate) fn groups(&self) -> u32 {
        u32::try_from(self.writer.flushed_row_groups().len()).unwrap_or(u32::MAX)
    }

    /// Whether the journal lags behind, because writing failed.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether sealing has begun.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Encodes rows into the row group that is being made, or the next one.
    pub(crate) fn append(&mut self, chunks: &[RecordBatch], threads: usize) -> Result<(), ParquetError> {
        let (encoder, number) = (&mut self.encoder, self.writer.flushed_row_groups().len());
        let mut encode = || {
            let group = match &mut self.open {
                Some(group) => group,
                none => none.insert(encoder.begin(number)?),
            };
            encoder.append(group, chunks, threads)
        };
        encode().map_err(|source| self.failed(source))
    }

    /// Ends the row group that is being made. It is staged, not written: see [`checkpoint`](Self::checkpoint).
    pub(crate) fn end_group(&mut self, threads: usize) -> Result<(), ParquetError> {
        let Some(group) = self.open.take() else {
            return Ok(());
        };
        let rows = group.rows() as u64;
        let encode = || {
            let columns = self.encoder.close(group, threads)?;
            let mut writer = self.writer.next_row_group()?;
            for column in columns {
                column.append_to(&mut writer)?;
            }
            writer.close().map(|_| ())
        };
        encode().map_err(|source| self.failed(source))?;
        self.rows += rows;
        self.dirty = true;
        Ok(())
    }

    fn failed(&self, source: parquet::errors::ParquetError) -> ParquetError {
        let path = Name::Open(self.number).path(&self.dir);
        ParquetError::Encode { path, source }
    }

    /// Writes what is staged and makes it recoverable. After an error, call it again.
    pub(crate) fn checkpoint(&mut self, fsync: bool) -> Result<(), ParquetError> {
        if !self.dirty {
            return Ok(());
        }
        self.write_out(fsync)?;
        let journal = Journal {
            groups: self.groups(),
            rows: self.rows,
            length: self.writer.inner().len(),
            footer: self.footer()?,
        };
        journal.write(&Name::Footer(self.number).path(&self.dir), fsync)?;
        self.journaled = (journal.groups, journal.rows);
        self.dirty = false;
        Ok(())
    }

    /// Writes the footer and gives the part its final name. After an error, call it again.
    pub(crate) fn seal(&mut self, fsync: bool) -> Result<(), ParquetError> {
        self.checkpoint(fsync)?;
        if !self.ended {
            let footer = self.footer()?;
            let path = Name::Open(self.number).path(&self.dir);
            let staged = self.writer.write_all(&footer);
            staged.map_err(|e| ParquetError::io("write", path, e))?;
            self.ended = true;
        }
        self.write_out(fsync)?;
        let (from, to) = (
            Name::Open(self.number).path(&self.dir),
            Name::Part(self.number).path(&self.dir),
        );
        fs::rename(&from, &to).map_err(|e| ParquetError::io("rename", &from, e))?;
        if fsync { Ok(sync_dir(&self.dir)?) } else { Ok(()) }
    }

    fn write_out(&mut self, fsync: bool) -> Result<(), ParquetError> {
        let path = Name::Open(self.number).path(&self.dir);
        self.writer
            .flush()
            .map_err(|e| ParquetError::io("write", path, e))?;
        let file = self.writer.inner_mut();
        Ok(if fsync { file.sync() } else { file.write_out() }?)
    }

    /// The footer that makes a file of the row groups so far.
    fn footer(&self) -> Result<Vec<u8>, ParquetError> {
        let path = || Name::Open(self.number).path(&self.dir);
        let properties = self.writer.properties();
        let file = FileMetaData::new(
            properties.writer_version().as_num(),
            i64::try_from(self.rows).unwrap_or(i64::MAX),
            Some(properties.created_by().to_owned()),
            properties.key_value_metadata().cloned(),
            Arc::new(SchemaDescriptor::new(
                self.writer.schema_descr().root_schema_ptr(),
            )),
            None,
        );
        let metadata = ParquetMetaData::new(file, self.writer.flushed_row_groups().to_vec());
        let mut bytes = Vec::new();
        let written = ParquetMetaDataWriter::new(&mut bytes, &metadata).finish();
        written.map_err(|source| ParquetError::Encode { path: path(), source })?;
        Ok(bytes)
    }
}
