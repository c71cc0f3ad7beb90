//! What is read independently of the rest: a row group, or a file.

use super::{Scan, csv, ipc, label, parquet};
use crate::error::{AnalysisError, Damage, DamageCause, Result};
use crate::run::{OpenPart, Part, PartKind};
use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Takes batches.
pub(crate) type Each<'a> = dyn FnMut(&RecordBatch) -> Result<()> + 'a;

/// How a read ended: the outer error is the taker's, the inner one the file's.
pub(super) type Read = Result<std::result::Result<(), DamageCause>>;

/// What is read independently of the rest.
#[derive(Debug)]
pub(crate) struct Unit {
    path: PathBuf,
    kind: UnitKind,
    /// The process that it is of, where several are read as one run.
    label: Option<Arc<str>>,
}

#[derive(Debug)]
enum UnitKind {
    RowGroup(ArrowReaderMetadata, usize),
    /// Whether it may end anywhere.
    Ipc(bool),
    Csv(bool),
}

impl Unit {
    /// Takes a part apart.
    pub(crate) fn of(part: &Part) -> std::result::Result<Vec<Self>, Damage> {
        let unit = |kind| Self {
            path: part.path.clone(),
            kind,
            label: part.label.clone(),
        };
        let groups = |metadata: ArrowReaderMetadata, most: usize| {
            let count = metadata.metadata().num_row_groups().min(most);
            (0..count)
                .map(|at| unit(UnitKind::RowGroup(metadata.clone(), at)))
                .collect()
        };
        let found = guarded(|| match &part.kind {
            PartKind::Parquet => parquet::metadata(&part.path).map(|metadata| groups(metadata, usize::MAX)),
            PartKind::OpenParquet(footer, known) => OpenPart::read(footer)
                .and_then(|open| parquet::open_metadata(&open))
                .map(|metadata| groups(metadata, *known as usize)),
            PartKind::Ipc => Ok(vec![unit(UnitKind::Ipc(false))]),
            PartKind::OpenIpc => Ok(vec![unit(UnitKind::Ipc(true))]),
            PartKind::Csv => Ok(vec![unit(UnitKind::Csv(false))]),
            PartKind::OpenCsv => Ok(vec![unit(UnitKind::Csv(true))]),
        });
        found.map_err(|cause| damage(&part.path, None, None, cause))
    }

    /// The columns of a part; CSV has no types of its own.
    pub(super) fn schema(part: &Part) -> std::result::Result<Option<SchemaRef>, Damage> {
        let found = guarded(|| match &part.kind {
            PartKind::Parquet => {
                parquet::metadata(&part.path).map(|metadata| Some(metadata.schema().clone()))
            }
            PartKind::OpenParquet(footer, _) => OpenPart::read(footer)
                .and_then(|open| parquet::open_metadata(&open))
                .map(|metadata| Some(metadata.schema().clone())),
            PartKind::Ipc | PartKind::OpenIpc => ipc::schema(&part.path),
            PartKind::Csv | PartKind::OpenCsv => Ok(None),
        });
        found.map_err(|cause| damage(&part.path, None, None, cause))
    }

    /// Hands its batches over. The outer error is the taker's or a type's, the inner one is damage.
    pub(crate) fn read(
        &self,
        scan: &Scan<'_>,
        each: &mut Each<'_>,
    ) -> Result<std::result::Result<(), Damage>> {
        let label = self.label.as_deref();
        let each: &mut Each<'_> = &mut |batch| {
            scan.lacks(batch)?;
            match label {
                None => each(batch),
                Some(label) => match label::labelled(batch, label)? {
                    Ok(batch) => each(&batch),
                    Err(source) => Err(AnalysisError::Label { source }),
                },
            }
        };
        let read = catch_unwind(AssertUnwindSafe(|| match &self.kind {
            UnitKind::RowGroup(metadata, group) => parquet::read(&self.path, metadata, *group, scan, each),
            UnitKind::Ipc(torn) => ipc::read(&self.path, *torn, scan, each),
            UnitKind::Csv(torn) => csv::read(&self.path, *torn, scan, each),
        }));
        let cause = match read {
            Ok(Ok(Ok(()))) => return Ok(Ok(())),
            Ok(Ok(Err(cause))) => cause,
            Ok(Err(AnalysisError::ColumnType {
                column,
                found,
                expected,
            })) => DamageCause::ColumnType {
                column,
                found,
                expected,
            },
            Ok(Err(AnalysisError::Layout(error))) => DamageCause::Histogram(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => DamageCause::Nonsense,
        };
        let (group, rows) = match &self.kind {
            UnitKind::RowGroup(metadata, group) => {
                let rows = metadata
                    .metadata()
                    .row_groups()
                    .get(*group)
                    .map(::parquet::file::metadata::RowGroupMetaData::num_rows);
                (Some(*group), rows.and_then(|rows| u64::try_from(rows).ok()))
            }
            _ => (None, None),
        };
        Ok(Err(damage(&self.path, group, rows, cause)))
    }
}

/// The format readers are not written against hostile bytes: where one panics, the file is damaged.
fn guarded<T>(
    work: impl FnOnce() -> std::result::Result<T, DamageCause>,
) -> std::result::Result<T, DamageCause> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(DamageCause::Nonsense))
}

fn damage(path: &Path, row_group: Option<usize>, rows: Option<u64>, cause: DamageCause) -> Damage {
    Damage {
        path: path.to_path_buf(),
        row_group,
        rows,
        cause,
    }
}
