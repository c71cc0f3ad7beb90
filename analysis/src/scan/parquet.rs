//! Parquet parts.

use super::Scan;
use super::unit::{Each, Read};
use crate::error::DamageCause;
use crate::run::OpenPart;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaDataReader;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Rows of a batch: enough that per-batch costs vanish, few enough that a column of them stays in the cache.
pub(crate) const BATCH_ROWS: usize = 16_384;

/// Reads a part's footer.
pub(super) fn metadata(path: &Path) -> Result<ArrowReaderMetadata, DamageCause> {
    let file = File::open(path)?;
    Ok(ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?)
}

/// Makes what a footer gives of an open part.
pub(super) fn open_metadata(open: &OpenPart) -> Result<ArrowReaderMetadata, DamageCause> {
    let metadata = ParquetMetaDataReader::decode_metadata(open.metadata())?;
    Ok(ArrowReaderMetadata::try_new(
        Arc::new(metadata),
        ArrowReaderOptions::new(),
    )?)
}

/// Reads a row group.
pub(super) fn read(
    path: &Path,
    metadata: &ArrowReaderMetadata,
    group: usize,
    scan: &Scan<'_>,
    each: &mut Each<'_>,
) -> Read {
    let reader = File::open(path).map_err(DamageCause::from).and_then(|file| {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
        let wanted = metadata.schema().fields().iter().enumerate();
        let wanted = wanted
            .filter(|(_, field)| scan.wants(field.name()))
            .map(|(at, _)| at);
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let builder = builder.with_projection(mask).with_row_groups(vec![group]);
        Ok(builder.with_batch_size(BATCH_ROWS).build()?)
    });
    let reader = match reader {
        Ok(reader) => reader,
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
