//! Writes a kvlens run as CSV: `samples.csv`, `steps.csv`, `requests.csv`, `blocks.csv`, `accesses.csv` in the run's
//! directory, as far as the run records them.
//!
//! - One header line; fields are separated by commas, lines end in a line feed.
//! - Times are UTC in RFC 3339 with nanoseconds (`2026-11-24T02:23:15.000000123Z`), which pandas, pyarrow, `DuckDB` and
//!   Polars recognise by themselves; `monotonic_ns` beside them is an integer. [`Timestamps::Nanoseconds`] writes
//!   integers throughout.
//! - A missing value is an empty field; empty text is `""`. Text is quoted where RFC 4180 needs it.
//! - A histogram becomes six columns: `_count`, `_sum`, `_p50`, `_p90`, `_p99`, `_max`.
//!
//! A file is made of whole lines at any time, so it can be watched with `tail -f`. Lines reach it at
//! [`flush`](kvlens_core::Exporter::flush) or in pieces of 256 KiB. A line that a kill cut through is taken away by
//! [`recover`].
//!
//! ```
//! use kvlens_core::{Batch, RunInfo, RunSchema, Sample, SourceInfo, Value, catalog};
//! let run = RunSchema::new(
//!     RunInfo::new("demo"),
//!     vec![SourceInfo::new("engine-0", "mine")],
//!     vec![catalog::REQUESTS_RUNNING.clone()],
//! );
//! let mut sample = Sample::default();
//! sample.values = vec![Value::Gauge(3.0)];
//! let text = kvlens_csv::to_string(&run, &Batch::Samples(vec![sample]));
//! assert_eq!(
//!     text,
//!     "timestamp,monotonic_ns,source,served_by,interval_ns,overshoot_ns,merged,requests_running\n\
//!      1970-01-01T00:00:00.000000000Z,0,engine-0,,0,0,0,3\n"
//! );
//! ```

#![forbid(unsafe_code)]

mod error;
mod field;
mod line;
mod options;
mod recover;
mod time;
mod writer;

pub use error::CsvError;
pub use options::{CsvOptions, Timestamps};
pub use recover::recover;
pub use writer::{CsvExporter, to_string};
