//! Records what happens inside an LLM inference engine: KV-cache blocks, prefix-cache hits, queues, tokens and
//! latencies, every step, every request, with no metrics server, and leaves a columnar run on disk.
//!
//! This crate is the front door: [`run`] puts a run together, and the parts stand behind it.
//!
//! | part | crate | feature |
//! |---|---|---|
//! | traits, catalog, recorder, collector | [`core`] | always |
//! | a paged-KV engine that records itself | [`native`] | `native` |
//! | Parquet, CSV, Arrow | [`parquet`], [`csv`], [`arrow`] | `parquet`, `csv`, `arrow` |
//! | few large files out of many small ones | [`compact`] | `compact` |
//! | object storage | `kvlens-store` | `store` |
//! | reading a run back | [`analysis`] | `analysis` |
//! | SQL over runs | `kvlens-sql` | `sql` |
//! | the columns they share, `run.json` | [`schema`] | always |
//! | the command `kvlens` | | `cli` |
//!
//! An engine that embeds kvlens needs a [`Recorder`](core::recorder::Recorder) for its hot path and a
//! [`RunBuilder`] for where it goes:
//!
//! ```
//! use kvlens::core::recorder::Recorder;
//! use kvlens::core::{SourceInfo, StepRow, catalog};
//! use kvlens::{Format, RunBuilder};
//!
//! # let out = tempfile::tempdir()?;
//! # let out = out.path();
//! let recorder = Recorder::new(SourceInfo::new("engine-0", "my-engine"));
//! let mut step_time = recorder.histogram_writer(&catalog::STEP_TIME)?;
//! let running = recorder.gauge(&catalog::REQUESTS_RUNNING)?;
//! let mut steps = recorder.steps(4096);
//!
//! let run = RunBuilder::new(out).formats([Format::Parquet]).recorder(&recorder)?.start()?;
//! for step in 0..100 {
//!     running.set_u64(3);
//!     step_time.record(1_000_000);
//!     steps.push(StepRow { step, monotonic_ns: step * 1_000_000, requests_running: 3, ..StepRow::default() });
//! }
//! let report = run.stop();
//! assert_eq!(report.rows["steps"], 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
extern crate self as kvlens;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod destination;
pub mod run;

pub use kvlens_core as core;
pub use kvlens_schema as schema;
pub use run::{DrivenRun, Format, Run, RunBuilder};

#[cfg(feature = "analysis")]
pub use kvlens_analysis as analysis;
#[cfg(feature = "arrow")]
pub use kvlens_arrow as arrow;
#[cfg(feature = "compact")]
pub use kvlens_compact as compact;
#[cfg(feature = "csv")]
pub use kvlens_csv as csv;
#[cfg(feature = "native")]
pub use kvlens_native as native;
#[cfg(feature = "parquet")]
pub use kvlens_parquet as parquet;
#[cfg(feature = "sql")]
pub use kvlens_sql as sql;
#[cfg(feature = "store")]
pub use kvlens_store as store;

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
