//! Writes a kvlens run as Arrow IPC, or hands it on as record batches.
//!
//! - [`ArrowExporter`] writes one IPC file a table: `steps.arrow` and so on in the run's directory. pyarrow and Polars
//!   map it into memory, `pandas.read_feather` reads it. While the run goes on the file is `_steps.arrow`: it has no
//!   footer yet, and is a stream after its padded magic. [`recover`] completes the file of a killed run.
//! - [`channel`] gives a program that embeds kvlens the record batches themselves, through a bounded queue.
//!
//! ```
//! use kvlens_arrow::channel;
//! use kvlens_core::{Batch, Exporter, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow, Table};
//! let run = RunSchema::new(RunInfo::new("demo"), vec![SourceInfo::new("engine-0", "mine")], vec![]);
//! let (mut exporter, batches) = channel(4);
//! exporter.begin(&run)?;
//! exporter.write(&Batch::Steps(SourceIndex(0), vec![StepRow::default(); 3]))?;
//! exporter.flush()?;
//! let (table, batch) = batches.recv().unwrap();
//! assert_eq!((table, batch.num_rows()), (Table::Steps, 3));
//! # Ok::<(), kvlens_core::Error>(())
//! ```

#![forbid(unsafe_code)]

mod channel;
mod error;
mod file;
mod options;
mod recover;
mod writer;

pub use channel::{Batches, ChannelExporter, channel};
pub use error::ArrowExportError;
pub use options::ArrowOptions;
pub use recover::recover;
pub use writer::ArrowExporter;
