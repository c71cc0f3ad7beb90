//! A row group's columns: measured, and encoded several at a time.
//!
//! Flat columns of integers and short lists of text are [encoded here](crate::numbers); text, floats and histograms by the
//! crate `parquet`.

use crate::encoding::{CANDIDATES, ColumnEncoding, ColumnSize, MEASURED_BYTES, MEASURED_ROWS, Plan};
use crate::error::ParquetError;
use crate::numbers::{Chunk, Codec, Column, is_ours};
use crate::options::ParquetOptions;
use crate::statistics;
use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::errors::ParquetError as Cause;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A column of a row group, encoded.
pub(crate) enum Encoded {
    /// By us: one leaf.
    Ours(Box<Chunk>),
    /// By the crate `parquet`: all its leaves.
    Theirs(Vec<ArrowColumnChunk>),
}

impl Encoded {
    /// Puts it into a row group, as its next columns.
    pub(crate) fn append_to<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), Cause> {
        match self {
            Self::Ours(chunk) => chunk.append_to(group),
            Self::Theirs(leaves) => leaves
                .into_iter()
                .try_for_each(|leaf| leaf.append_to_row_group(group)),
        }
    }
}

/// Encodes row groups.
pub(crate) struct Encoder<'a> {
    pub(crate) factory: &'a ArrowRowGroupWriterFactory,
    pub(crate) plan: &'a Plan,
    /// The leaves, in order.
    pub(crate) columns: &'a [ColumnDescPtr],
    pub(crate) zstd_level: i32,
    pub(crate) path: &'a Path,
}

impl Encoder<'_> {
    /// Encodes the columns, several at a time.
    pub(crate) fn encode(
        &self,
        group: usize,
        chunks: &[RecordBatch],
        threads: usize,
    ) -> Result<Vec<Encoded>, ParquetError> {
        let fail = |source| ParquetError::Encode {
            path: self.path.to_path_buf(),
            source,
        };
        let writers = self.factory.create_column_writers(group).map_err(fail)?;
        let columns = Columns::new(self, writers, chunks);
        let mut done = if threads <= 1 {
            columns.work()
        } else {
            std::thread::scope(|scope| {
                let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(|| columns.work())).collect();
                let mut done = columns.work();
                for helper in helpers {
                    done.extend(helper.join().map_err(|_| ParquetError::Panicked {
                        path: self.path.to_path_buf(),
                    })?);
                }
                Ok::<_, ParquetError>(done)
            })?
        };
        done.sort_by_key(|(place, _)| *place);
        done.into_iter().map(|(_, column)| column.map_err(fail)).collect()
    }
}

/// A column that is still to be encoded: its place in the table, the first of its leaves, and a writer for each.
type Task = (usize, usize, Vec<ArrowColumnWriter>);

/// The columns that are still to be encoded.
struct Columns<'a> {
    encoder: &'a Encoder<'a>,
    chunks: &'a [RecordBatch],
    queue: Mutex<Vec<Task>>,
}

impl<'a> Columns<'a> {
    fn new(encoder: &'a Encoder<'a>, writers: Vec<ArrowColumnWriter>, chunks: &'a [RecordBatch]) -> Self {
        let mut writers = writers.into_iter();
        let mut queue = Vec::new();
        let mut leaf = 0;
        if let Some(first) = chunks.first() {
            for (place, field) in first.schema().fields().iter().enumerate() {
                let count = leaves(field.data_type());
                queue.push((place, leaf, writers.by_ref().take(count).collect()));
                leaf += count;
            }
        } else {
            queue.push((0, 0, writers.collect()));
        }
        Self {
            encoder,
            chunks,
            queue: Mutex::new(queue),
        }
    }

    /// Encodes columns until none is left.
    fn work(&self) -> Vec<(usize, Result<Encoded, Cause>)> {
        let mut codec = Codec::new(self.encoder.zstd_level);
        let mut done = Vec::new();
        loop {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((place, leaf, writers)) = next else {
                return done;
            };
            let encoded = match &mut codec {
                Ok(codec) => self.column(place, leaf, writers, codec),
                Err(error) => Err(Cause::General(error.to_string())),
            };
            done.push((place, encoded));
        }
    }

    fn column(
        &self,
        place: usize,
        leaf: usize,
        writers: Vec<ArrowColumnWriter>,
        codec: &mut Codec,
    ) -> Result<Encoded, Cause> {
        let arrays = self.chunks.iter().map(|chunk| chunk.column(place));
        let way = self.encoder.plan.columns().get(leaf).map(|(_, way)| *way);
        let ours = gather(self.chunks, place)
            .zip(way)
            .zip(self.encoder.columns.get(leaf));
        match ours {
            Some(((column, way), descr)) => {
                let written = column.write(descr, way, statistics::of(arrays), codec)?;
                Ok(Encoded::Ours(Box::new(written)))
            }
            None => self.theirs(place, writers).map(Encoded::Theirs),
        }
    }

    fn theirs(
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
        writers.into_iter().map(ArrowColumnWriter::close).collect()
    }
}

/// A column's values, if it is of our types.
fn gather(chunks: &[RecordBatch], place: usize) -> Option<Column> {
    let nullable = chunks.first()?.schema_ref().field(place).is_nullable();
    Column::gather(chunks.iter().map(|chunk| chunk.column(place)), nullable)
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
    let descr = descriptor(schema).map_err(fail)?;
    let (chunks, enough) = measured(chunks);
    let (ours, theirs): (Vec<usize>, Vec<usize>) =
        (0..schema.fields().len()).partition(|place| is_ours(schema.field(*place).data_type()));
    let mut codec = Codec::new(options.zstd_level()).map_err(fail)?;
    let mut sizes = vec![Vec::new(); schema.fields().len()];
    for place in ours {
        sizes[place] = measure(&chunks, place, &mut codec).map_err(fail)?;
    }
    let found = measure_theirs(schema, &theirs, &chunks, options, path)?;
    let mut found = found.into_iter();
    for place in theirs {
        let leaves = leaves(schema.field(place).data_type());
        sizes[place] = found.by_ref().take(leaves).collect();
    }
    let rows = chunks.iter().map(RecordBatch::num_rows).sum();
    let sizes: Vec<Sizes> = sizes.into_iter().flatten().collect();
    let plan = Plan::pick(&descr, &sizes, rows);
    Ok(if enough { plan.lasting() } else { plan })
}

/// The size of a leaf in each way of writing it.
pub(crate) type Sizes = [ColumnSize; CANDIDATES];

/// The last rows, as many as are measured, and whether more would not have been looked at: the first rows of a run are
/// seldom like the others.
fn measured(chunks: &[RecordBatch]) -> (Vec<RecordBatch>, bool) {
    let (mut rows, mut bytes) = (0, 0);
    let mut measured = Vec::new();
    for chunk in chunks.iter().rev() {
        let memory = chunk.get_array_memory_size().max(1);
        let affordable = MEASURED_BYTES
            .saturating_sub(bytes)
            .saturating_mul(chunk.num_rows())
            / memory;
        let len = chunk.num_rows().min(MEASURED_ROWS - rows).min(affordable.max(1));
        measured.push(chunk.slice(chunk.num_rows() - len, len));
        rows += len;
        bytes = bytes.saturating_add(memory);
        if rows >= MEASURED_ROWS || bytes >= MEASURED_BYTES {
            break;
        }
    }
    measured.reverse();
    (measured, rows >= MEASURED_ROWS || bytes >= MEASURED_BYTES)
}

fn measure(chunks: &[RecordBatch], place: usize, codec: &mut Codec) -> Result<Vec<Sizes>, Cause> {
    let nothing = [ColumnSize::NONE; CANDIDATES];
    let Some(first) = chunks.first() else {
        return Ok(vec![nothing]);
    };
    let Some(column) = gather(chunks, place) else {
        return Ok(vec![nothing]);
    };
    let physical = ArrowSchemaConverter::new().convert(&first.schema_ref().project(&[place])?)?;
    let mut sizes = nothing;
    for (size, encoding) in sizes
        .iter_mut()
        .zip(ColumnEncoding::candidates(physical.column(0).physical_type()))
    {
        *size = column.size(encoding, codec)?;
    }
    Ok(vec![sizes])
}

/// Measures the columns that the crate `parquet` writes, leaf by leaf.
fn measure_theirs(
    schema: &SchemaRef,
    places: &[usize],
    chunks: &[RecordBatch],
    options: &ParquetOptions,
    path: &Path,
) -> Result<Vec<Sizes>, ParquetError> {
    let fail = |source| ParquetError::Encode {
        path: path.to_path_buf(),
        source,
    };
    let project = || -> Result<_, Cause> {
        let schema: SchemaRef = Arc::new(schema.project(places)?);
        let chunks: Result<Vec<_>, _> = chunks.iter().map(|chunk| chunk.project(places)).collect();
        Ok((descriptor(&schema)?, schema, chunks?))
    };
    let (columns, schema, chunks) = project().map_err(fail)?;
    let mut sizes = vec![[ColumnSize::NONE; CANDIDATES]; columns.num_columns()];
    for candidate in 0..CANDIDATES {
        let plan = Plan::uniform(&columns, candidate);
        let properties = plan.properties(&schema, options).map_err(fail)?;
        let writer =
            SerializedFileWriter::new(std::io::sink(), columns.root_schema_ptr(), Arc::new(properties));
        let encoder = Encoder {
            factory: &ArrowRowGroupWriterFactory::new(&writer.map_err(fail)?, Arc::clone(&schema)),
            plan: &plan,
            columns: columns.columns(),
            zstd_level: options.zstd_level(),
            path,
        };
        let encoded = encoder.encode(0, &chunks, options.threads())?;
        let leaves = encoded.iter().flat_map(|encoded| match encoded {
            Encoded::Theirs(leaves) => leaves.as_slice(),
            Encoded::Ours(_) => &[],
        });
        for (sizes, leaf) in sizes.iter_mut().zip(leaves) {
            let metadata = &leaf.close().metadata;
            sizes[candidate] = ColumnSize {
                encoded: metadata.uncompressed_size(),
                compressed: metadata.compressed_size(),
            };
        }
    }
    Ok(sizes)
}

pub(crate) fn descriptor(schema: &SchemaRef) -> Result<SchemaDescriptor, Cause> {
    ArrowSchemaConverter::new().convert(schema)
}

fn leaves(data_type: &DataType) -> usize {
    use arrow_schema::DataType::{List, Struct};
    match data_type {
        Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        List(element) => leaves(element.data_type()),
        _ => 1,
    }
}
