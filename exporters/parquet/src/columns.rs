//! A row group's columns: measured, and encoded as rows come, several at a time.
//!
//! Flat columns of integers and short lists of text are [encoded here](crate::numbers); text, floats and histograms by the
//! crate `parquet`.

use crate::encoding::{CANDIDATES, ColumnSize, MEASURED_BYTES, MEASURED_ROWS, Plan};
use crate::error::ParquetError;
use crate::numbers::{Chunk, Codec, OpenColumn};
use crate::options::ParquetOptions;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef};
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

    /// How large each leaf is.
    fn sizes(&self) -> Vec<ColumnSize> {
        match self {
            Self::Ours(chunk) => vec![chunk.size()],
            Self::Theirs(leaves) => {
                let metadata = leaves.iter().map(|leaf| &leaf.close().metadata);
                let size = metadata.map(|metadata| ColumnSize {
                    encoded: metadata.uncompressed_size(),
                    compressed: metadata.compressed_size(),
                });
                size.collect()
            }
        }
    }
}

/// How a part's row groups are encoded.
pub(crate) struct Encoder {
    factory: ArrowRowGroupWriterFactory,
    plan: Plan,
    schema: SchemaRef,
    /// The leaves, in order.
    leaves: Vec<ColumnDescPtr>,
    /// One for each thread that encodes.
    codecs: Vec<Codec>,
    zstd_level: i32,
    /// Whether the plan is followed also where something is known to be better, to measure it.
    exactly: bool,
}

/// A row group under construction: its rows are encoded as they come.
pub(crate) struct OpenGroup {
    columns: Vec<Open>,
    rows: usize,
}

/// A column of it.
enum Open {
    Ours(Box<OpenColumn>, ColumnDescPtr),
    /// A writer for each leaf.
    Theirs(Vec<ArrowColumnWriter>),
}

impl Encoder {
    pub(crate) fn new(
        factory: ArrowRowGroupWriterFactory,
        plan: Plan,
        schema: &SchemaRef,
        zstd_level: i32,
        exactly: bool,
    ) -> Result<Self, Cause> {
        Ok(Self {
            factory,
            plan,
            leaves: descriptor(schema)?.columns().to_vec(),
            schema: Arc::clone(schema),
            codecs: vec![Codec::new(zstd_level)?],
            zstd_level,
            exactly,
        })
    }

    /// Begins a row group, the part's `number`-th.
    pub(crate) fn begin(&self, number: usize) -> Result<OpenGroup, Cause> {
        let mut writers = self.factory.create_column_writers(number)?.into_iter();
        let mut leaf = 0;
        let mut columns = Vec::new();
        for field in self.schema.fields() {
            let count = leaves(field.data_type());
            let theirs = writers.by_ref().take(count).collect();
            let way = self.plan.columns().get(leaf).map(|(_, way)| *way);
            let ours = way
                .and_then(|way| OpenColumn::new(field.data_type(), field.is_nullable(), way, self.exactly));
            columns.push(match ours.zip(self.leaves.get(leaf)) {
                Some((column, descr)) => Open::Ours(Box::new(column), descr.clone()),
                None => Open::Theirs(theirs),
            });
            leaf += count;
        }
        Ok(OpenGroup { columns, rows: 0 })
    }

    /// Encodes rows, several columns at a time.
    pub(crate) fn append(
        &mut self,
        group: &mut OpenGroup,
        chunks: &[RecordBatch],
        threads: usize,
    ) -> Result<(), Cause> {
        let columns = group.columns.iter_mut().enumerate();
        let work = |(place, column): (usize, &mut Open), codec: &mut Codec| {
            let mut chunks = chunks.iter();
            chunks.try_for_each(|chunk| {
                column.append(chunk.schema_ref().field(place), chunk.column(place), codec)
            })
        };
        self.share(columns, threads, work)?
            .into_iter()
            .try_for_each(|(_, done)| done)?;
        group.rows += chunks.iter().map(RecordBatch::num_rows).sum::<usize>();
        Ok(())
    }

    /// Ends a row group; gives its columns in order.
    pub(crate) fn close(&mut self, group: OpenGroup, threads: usize) -> Result<Vec<Encoded>, Cause> {
        let columns = group.columns.into_iter().enumerate();
        let work = |(_, column): (usize, Open), codec: &mut Codec| column.close(codec);
        let mut closed = self.share(columns, threads, work)?;
        closed.sort_by_key(|(place, _)| *place);
        closed.into_iter().map(|(_, column)| column).collect()
    }

    /// Does something to every column, on several threads; the results come with their places, in any order.
    fn share<C: Send, R: Send>(
        &mut self,
        columns: impl Iterator<Item = (usize, C)> + Send,
        threads: usize,
        work: impl Fn((usize, C), &mut Codec) -> Result<R, Cause> + Sync,
    ) -> Result<Vec<Done<R>>, Cause> {
        while self.codecs.len() < threads.max(1) {
            self.codecs.push(Codec::new(self.zstd_level)?);
        }
        let queue = Mutex::new(columns);
        let worker = |codec: &mut Codec| {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let mut done = Vec::new();
            while let Some((place, column)) = next() {
                done.push((place, work((place, column), codec)));
            }
            done
        };
        let mut codecs = self.codecs.iter_mut().take(threads.max(1));
        let Some(own) = codecs.next() else {
            return Ok(Vec::new());
        };
        std::thread::scope(|scope| {
            let worker = &worker;
            let helpers: Vec<_> = codecs.map(|codec| scope.spawn(move || worker(codec))).collect();
            let mut done = worker(own);
            for helper in helpers {
                let theirs = helper.join();
                done.extend(
                    theirs
                        .map_err(|_| Cause::General("a thread that encoded columns panicked".to_owned()))?,
                );
            }
            Ok(done)
        })
    }
}

/// What came of a column, with its place.
type Done<R> = (usize, Result<R, Cause>);

impl OpenGroup {
    /// Rows so far.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

impl Open {
    fn append(&mut self, field: &Field, array: &ArrayRef, codec: &mut Codec) -> Result<(), Cause> {
        match self {
            Self::Ours(column, _) => column.append(array, codec),
            Self::Theirs(writers) => {
                let leaves = compute_leaves(field, array)?;
                writers
                    .iter_mut()
                    .zip(&leaves)
                    .try_for_each(|(writer, leaf)| writer.write(leaf))
            }
        }
    }

    fn close(self, codec: &mut Codec) -> Result<Encoded, Cause> {
        match self {
            Self::Ours(column, descr) => Ok(Encoded::Ours(Box::new(column.close(&descr, codec)?))),
            Self::Theirs(writers) => {
                let closed: Result<_, Cause> = writers.into_iter().map(ArrowColumnWriter::close).collect();
                closed.map(Encoded::Theirs)
            }
        }
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
    let descr = descriptor(schema).map_err(fail)?;
    let (chunks, enough) = measured(chunks);
    let mut sizes = vec![[ColumnSize::NONE; CANDIDATES]; descr.num_columns()];
    for candidate in 0..CANDIDATES {
        let found = measure(schema, &descr, &chunks, candidate, options).map_err(fail)?;
        for (sizes, found) in sizes.iter_mut().zip(found) {
            sizes[candidate] = found;
        }
    }
    let rows = chunks.iter().map(RecordBatch::num_rows).sum();
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

/// The size of every leaf in one way of writing it.
fn measure(
    schema: &SchemaRef,
    descr: &SchemaDescriptor,
    chunks: &[RecordBatch],
    candidate: usize,
    options: &ParquetOptions,
) -> Result<Vec<ColumnSize>, Cause> {
    let plan = Plan::uniform(descr, candidate);
    let properties = plan.properties(schema, options)?;
    let writer = SerializedFileWriter::new(std::io::sink(), descr.root_schema_ptr(), Arc::new(properties))?;
    let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(schema));
    let mut encoder = Encoder::new(factory, plan, schema, options.zstd_level(), true)?;
    let mut group = encoder.begin(0)?;
    encoder.append(&mut group, chunks, options.threads())?;
    let closed = encoder.close(group, options.threads())?;
    let sizes = closed.iter().flat_map(Encoded::sizes);
    Ok(sizes.collect())
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
