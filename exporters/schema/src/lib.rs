//! The column layout of a kvlens run, as Arrow schemas and record batches, and the layout of its directory.
//!
//! Every exporter and every reader builds on this crate, so that a column has one name, one type and one meaning in
//! Rust, CSV, Arrow and Parquet. The layout is written out in `docs/format.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`schema`] | the Arrow schema of each table, derived from [`Row::COLUMNS`](kvlens_core::record::Row) and the run's metrics |
//! | [`table`] | [`TableBuilder`]: typed rows in, record batches out |
//! | [`histogram`] | the histogram column: how it is written, how it is read back and merged |
//! | [`layout`] | paths of a run directory |
//! | [`manifest`] | `run.json`: the [`RunManifest`] and the exporter that writes it |
//! | [`output`] | [`OutputFile`]: a file that survives a full disk |
//! | [`recovery`] | what a recovery reports |
//! | [`stream`] | how far an Arrow IPC stream can be believed |
//!
//! ```
//! use kvlens_core::{Batch, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow};
//! let run = RunSchema::new(RunInfo::new("demo"), vec![SourceInfo::new("engine-0", "mine")], vec![]);
//! let steps = Batch::Steps(SourceIndex(0), vec![StepRow::default(); 3]);
//! let batch = kvlens_schema::to_record_batch(&run, &steps)?;
//! assert_eq!(batch.num_rows(), 3);
//! assert_eq!(batch.schema().field(0).name(), "timestamp");
//! # Ok::<(), kvlens_schema::SchemaError>(())
//! ```

#![forbid(unsafe_code)]

mod column;
pub mod error;
pub mod histogram;
pub mod layout;
pub mod manifest;
pub mod output;
pub mod recovery;
mod rows;
mod samples;
pub mod schema;
pub mod stream;
pub mod table;

pub use error::SchemaError;
pub use layout::RunDir;
pub use manifest::{Manifest, RunManifest};
pub use output::OutputFile;
pub use recovery::Recovery;
pub use samples::{float_of, integer_of};
pub use schema::table_schema;
pub use table::{TableBuilder, to_record_batch};
