//! CSV tables.

use super::Scan;
use super::parquet::BATCH_ROWS;
use super::unit::{Each, Read};
use crate::error::DamageCause;
use arrow_csv::ReaderBuilder;
use arrow_csv::reader::Format;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use kvlens_core::Table;
use kvlens_core::metric::{Kind, MetricDesc};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// The columns that a histogram is flattened to.
const HISTOGRAM: [&str; 6] = ["_count", "_sum", "_p50", "_p90", "_p99", "_max"];
/// A line is looked for in pieces of this many bytes.
const PIECE: u64 = 65_536;

/// Reads a file; of one whose last line may be `torn`, the whole lines.
pub(super) fn read(path: &Path, torn: bool, scan: &Scan<'_>, each: &mut Each<'_>) -> Read {
    let reader = open(path, torn, scan);
    let reader = match reader {
        Ok(Some(reader)) => reader,
        Ok(None) => return Ok(Ok(())),
        Err(cause) => return Ok(Err(cause)),
    };
    for batch in reader {
        match batch {
            Ok(batch) => each(&batch)?,
            Err(cause) => return Ok(Err(cause.into())),
        }
    }
    Ok(Ok(()))
}

type Reader = arrow_csv::Reader<io::Take<File>>;

fn open(path: &Path, torn: bool, scan: &Scan<'_>) -> Result<Option<Reader>, DamageCause> {
    let mut file = File::open(path)?;
    let size = if torn {
        whole_lines(&mut file)?
    } else {
        file.metadata()?.len()
    };
    if size == 0 {
        return Ok(None);
    }
    let (schema, wanted) = schema(path, size, scan)?;
    file.seek(SeekFrom::Start(0))?;
    let builder = ReaderBuilder::new(schema)
        .with_header(true)
        .with_batch_size(BATCH_ROWS);
    Ok(Some(builder.with_projection(wanted).build(file.take(size))?))
}

/// The bytes up to the last line's end.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        file.seek(SeekFrom::Start(start))?;
        let mut piece = Vec::new();
        file.by_ref().take(end - start).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The types of the columns that the header names, and which of them are wanted. Standard names have the standard types,
/// others what their first values look like.
pub(crate) fn schema(
    path: &Path,
    size: u64,
    scan: &Scan<'_>,
) -> Result<(SchemaRef, Vec<usize>), DamageCause> {
    const LOOKED_AT: usize = 64;
    let head = BufReader::new(File::open(path)?.take(size));
    let (found, _) = Format::default()
        .with_header(true)
        .infer_schema(head, Some(LOOKED_AT))?;
    let run = scan.run.schema();
    let standard = kvlens_schema::table_schema(&run, scan.table);
    let metrics: &[MetricDesc] = if scan.table == Table::Samples {
        &run.metrics
    } else {
        &[]
    };
    let fields = found.fields().iter().map(|field| {
        let name = field.name();
        let ty = if is_histogram_part(metrics, name) {
            DataType::UInt64
        } else {
            standard
                .field_with_name(name)
                .map_or_else(|_| field.data_type().clone(), |known| plain(known, field))
        };
        Field::new(name, ty, true)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let wanted = schema.fields().iter().enumerate();
    let wanted = wanted
        .filter(|(_, field)| scan.wants(field.name()))
        .map(|(at, _)| at);
    let wanted = wanted.collect();
    Ok((Arc::new(schema), wanted))
}

fn is_histogram_part(metrics: &[MetricDesc], name: &str) -> bool {
    let histograms = metrics.iter().filter(|metric| metric.kind == Kind::Histogram);
    HISTOGRAM.iter().any(|part| {
        let metric = name.strip_suffix(part);
        metric.is_some_and(|metric| histograms.clone().any(|known| known.name == metric))
    })
}

/// A standard type as CSV can hold it. Times may be text or integers.
fn plain(known: &Field, found: &Field) -> DataType {
    match (known.data_type(), found.data_type()) {
        (DataType::Dictionary(..), _) => DataType::Utf8,
        (DataType::Timestamp(..), DataType::Int64) => DataType::Int64,
        // The text says that it is UTC; a named time zone would need a database of them.
        (DataType::Timestamp(unit, _), _) => DataType::Timestamp(*unit, None),
        (ty, _) => ty.clone(),
    }
}
