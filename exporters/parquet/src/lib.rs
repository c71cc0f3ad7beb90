//! Writes a kvlens run as Parquet, crash-safe.
//!
//! ```text
//! <out>/run_id=<id>/steps/part-00000.parquet     sealed: complete, never touched again
//! <out>/run_id=<id>/steps/_part-00001.parquet    open: whole row groups, no footer yet
//! <out>/run_id=<id>/steps/_part-00001.footer     the footer that would make the open part readable as it is
//! <out>/run_id=<id>/steps/_part-00001.00003.arrows   rows flushed since, not yet in a row group
//! ```
//!
//! Rows wait in memory, column by column, until a row group is full; then each column is encoded and the group goes
//! into the open part. [`flush`](kvlens_core::Exporter::flush) puts the rows that wait into an Arrow IPC stream beside
//! it. A run that is killed is made whole by [`recover`]: nothing flushed is lost, nothing is there twice.
//!
//! How each column is encoded is measured on the first row group of a run ([`encoding`]); `docs/parquet-encoding.md` has
//! the figures.
//!
//! ```
//! use kvlens_core::{Batch, Exporter, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow, run::RunEnd};
//! use kvlens_parquet::{ParquetExporter, ParquetOptions};
//! let out = tempfile::tempdir()?;
//! let run = RunSchema::new(RunInfo::new("demo"), vec![SourceInfo::new("engine-0", "mine")], vec![]);
//! let mut exporter = ParquetExporter::create(out.path(), ParquetOptions::default());
//! exporter.begin(&run)?;
//! exporter.write(&Batch::Steps(SourceIndex(0), vec![StepRow::default(); 3]))?;
//! exporter.finish(&RunEnd::default())?;
//! assert!(out.path().join("run_id=demo/steps/part-00000.parquet").is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod batches;
mod columns;
pub mod encoding;
mod error;
mod group;
mod journal;
mod names;
mod numbers;
mod options;
mod part;
mod recover;
mod stream;
mod table;
mod writer;

pub use batches::BatchWriter;
pub use error::ParquetError;
pub use options::ParquetOptions;
pub use recover::{recover, row_count};
pub use writer::ParquetExporter;
