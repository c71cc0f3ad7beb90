//! Rewrites runs of many small files as few large ones.
//!
//! A run that is recorded in small parts, for a store that should have them soon, or by sixty-four processes at once, is
//! thousands of files; each costs a reader a look at its footer. [`compact`] makes one run of a run, or of a whole
//! [job](kvlens_analysis::run::JobFacts), with the same rows in few files: row groups of
//! [`CompactOptions::GROUP_ROWS`], each process's rows together, sorted by time, with statistics in every row group, so
//! that a reader passes over what it does not ask for.
//!
//! It works in bounded memory, into a directory aside that is renamed when all is there, and looks at every row again
//! before it says that it is done: [`Compacted::remove_source`] is only to be had from there.
//!
//! ```
//! use kvlens_analysis::Run;
//! use kvlens_compact::{CompactOptions, compact};
//! # use kvlens_core::{Batch, Exporter, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow, run::RunEnd};
//! # let (dir, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let schema = RunSchema::new(RunInfo::new("demo"), vec![SourceInfo::new("engine-0", "mine")], vec![]);
//! # let options = kvlens_parquet::ParquetOptions::default().with_part_rows(10);
//! # let mut manifest = kvlens_schema::Manifest::create(dir.path());
//! # let mut parquet = kvlens_parquet::ParquetExporter::create(dir.path(), options);
//! # manifest.begin(&schema)?;
//! # parquet.begin(&schema)?;
//! # for _ in 0..5 { parquet.write(&Batch::Steps(SourceIndex(0), vec![StepRow::default(); 10]))?; }
//! # parquet.finish(&RunEnd::default())?;
//! # manifest.finish(&RunEnd::default())?;
//! let run = Run::open(dir.path())?;
//! let done = compact(&run, out.path(), &CompactOptions::default())?;
//! let steps = &done.tables["steps"];
//! assert_eq!((steps.rows, steps.files_before, steps.files_after), (50, 5, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod check;
mod error;
mod rewrite;
mod sorter;
mod unify;

pub use error::{CompactError, Result};
pub use rewrite::{CompactOptions, Compacted, TableCompacted, compact};
