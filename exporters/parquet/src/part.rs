//! An open part: row groups in, a sealed Parquet file out.

use crate::encoding::{CANDIDATES, ColumnSize, MEASURED_ROWS, Plan};
use crate::error::ParquetError;
use crate::journal::Journal;
use crate::names::Name;
use crate::options::ParquetOptions;
use crate::statistics;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kvlens_schema::OutputFile;
use kvlens_schema::layout::sync_dir;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::errors::ParquetError as Cause;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataWriter};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A part that row groups are appended to.
pub(crate) struct Part {
    writer: SerializedFileWriter<OutputFile>,
    factory: ArrowRowGroupWriterFactory,
    dir: PathBuf,
    number: u32,
    rows: u64,
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
        Ok(Self {
            factory: ArrowRowGroupWriterFactory::new(&writer, Arc::clone(schema)),
            writer,
            dir: dir.to_path_buf(),
            number,
            rows: 0,
            dirty: false,
            ended: false,
        })
    }

    /// Rows appended.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
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

    /// Encodes rows as the next row group. It is staged, not written: see [`checkpoint`](Self::checkpoint).
    pub(crate) fn append(&mut self, chunks: &[RecordBatch], threads: usize) -> Result<(), ParquetError> {
        let path = Name::Open(self.number).path(&self.dir);
        let group = self.writer.flushed_row_groups().len();
        let encoded = encode(&self.factory, group, chunks, threads, &path)?;
        let fail = |source| ParquetError::Encode {
            path: path.clone(),
            source,
        };
        let mut writer = self.writer.next_row_group().map_err(fail)?;
        for column in encoded {
            column.append_to_row_group(&mut writer).map_err(fail)?;
        }
        writer.close().map_err(fail)?;
        self.rows += chunks.iter().map(|chunk| chunk.num_rows() as u64).sum::<u64>();
        self.dirty = true;
        Ok(())
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

/// Measures every way of writing these rows and picks the smallest for each column.
pub(crate) fn choose(
    schema: &SchemaRef,
    chunks: &[RecordBatch],
    options: &ParquetOptions,
    path: &Path,
) -> Result<Plan, ParquetError> {
    let fail = |source| ParquetError::Encode {
        path: path.to_path_buf(),
        source,
    };
    let columns = descriptor(schema).map_err(fail)?;
    let mut rows = 0;
    let measured = chunks.iter().take_while(|chunk| {
        let before = rows;
        rows += chunk.num_rows();
        before < MEASURED_ROWS
    });
    let chunks: Vec<_> = measured.cloned().collect();
    let chunks = chunks.as_slice();
    let sizes = (0..CANDIDATES).map(|candidate| measure(schema, &columns, candidate, chunks, options, path));
    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    let rows = chunks.iter().map(RecordBatch::num_rows).sum();
    Ok(Plan::pick(&columns, &sizes, rows))
}

/// Measures one way of writing these rows.
pub(crate) fn measure(
    schema: &SchemaRef,
    columns: &SchemaDescriptor,
    candidate: usize,
    chunks: &[RecordBatch],
    options: &ParquetOptions,
    path: &Path,
) -> Result<Vec<ColumnSize>, ParquetError> {
    let fail = |source| ParquetError::Encode {
        path: path.to_path_buf(),
        source,
    };
    let properties = Plan::uniform(columns, candidate)
        .properties(schema, options)
        .map_err(fail)?;
    let writer = SerializedFileWriter::new(std::io::sink(), columns.root_schema_ptr(), Arc::new(properties));
    let factory = ArrowRowGroupWriterFactory::new(&writer.map_err(fail)?, Arc::clone(schema));
    let encoded = encode(&factory, 0, chunks, options.threads(), path)?;
    let size = |chunk: &ArrowColumnChunk| {
        let metadata = &chunk.close().metadata;
        ColumnSize {
            encoded: metadata.uncompressed_size(),
            compressed: metadata.compressed_size(),
        }
    };
    Ok(encoded.iter().map(size).collect())
}

pub(crate) fn descriptor(schema: &SchemaRef) -> Result<SchemaDescriptor, Cause> {
    ArrowSchemaConverter::new().convert(schema)
}

/// Encodes the columns, several at a time.
fn encode(
    factory: &ArrowRowGroupWriterFactory,
    group: usize,
    chunks: &[RecordBatch],
    threads: usize,
    path: &Path,
) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    let fail = |source| ParquetError::Encode {
        path: path.to_path_buf(),
        source,
    };
    let columns = Columns::new(factory.create_column_writers(group).map_err(fail)?, chunks);
    let done = if threads <= 1 {
        columns.work()
    } else {
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(|| columns.work())).collect();
            let mut done = columns.work();
            for helper in helpers {
                done.extend(helper.join().map_err(|_| ParquetError::Panicked {
                    path: path.to_path_buf(),
                })?);
            }
            Ok::<_, ParquetError>(done)
        })?
    };
    let mut done = done;
    done.sort_by_key(|(place, _)| *place);
    let mut leaves = Vec::new();
    for (_, column) in done {
        leaves.extend(column.map_err(fail)?);
    }
    Ok(leaves)
}

type Encoded = (usize, Result<Vec<ArrowColumnChunk>, Cause>);

/// The columns that are still to be encoded.
struct Columns<'a> {
    chunks: &'a [RecordBatch],
    /// The place of a column in the table, and a writer for each of its leaves.
    queue: Mutex<Vec<(usize, Vec<ArrowColumnWriter>)>>,
}

impl<'a> Columns<'a> {
    fn new(writers: Vec<ArrowColumnWriter>, chunks: &'a [RecordBatch]) -> Self {
        let mut writers = writers.into_iter();
        let mut queue = Vec::new();
        if let Some(first) = chunks.first() {
            for (place, field) in first.schema().fields().iter().enumerate() {
                queue.push((place, writers.by_ref().take(leaves(field.data_type())).collect()));
            }
        } else {
            queue.push((0, writers.collect()));
        }
        Self {
            chunks,
            queue: Mutex::new(queue),
        }
    }

    /// Encodes columns until none is left.
    fn work(&self) -> Vec<Encoded> {
        let mut done = Vec::new();
        loop {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((place, writers)) = next else { return done };
            done.push((place, self.column(place, writers)));
        }
    }

    fn column(
        &self,
        place: usize,
        mut writers: Vec<ArrowColumnWriter>,
    ) -> Result<Vec<ArrowColumnChunk>, Cause> {
        for chunk in self.chunks {
            let leaves = compute_leaves(chunk.schema_ref().field(place), chunk.column(place))?;
            for (writer, leaf) in writers.iter_mut().zip(&leaves) {
                writer.write(leaf)?;
            }
        }
        let mut closed = writers
            .into_iter()
            .map(ArrowColumnWriter::close)
            .collect::<Result<Vec<_>, _>>()?;
        if let ([leaf], Some(found)) = (
            closed.as_mut_slice(),
            statistics::of(self.chunks.iter().map(|chunk| chunk.column(place))),
        ) {
            let close = leaf.close_mut();
            close.metadata = close
                .metadata
                .clone()
                .into_builder()
                .set_statistics(found)
                .build()?;
        }
        Ok(closed)
    }
}

fn leaves(data_type: &arrow_schema::DataType) -> usize {
    use arrow_schema::DataType::{List, Struct};
    match data_type {
        Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        List(element) => leaves(element.data_type()),
        _ => 1,
    }
}
