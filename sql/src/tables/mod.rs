//! Runs as tables: `samples`, `steps`, `requests`, `blocks`, `accesses`, one column `run_id` added, and `runs`.
//!
//! Whole Parquet parts are read by DataFusion itself, so that filters, projections and statistics reach the files; what
//! an unfinished run has beside them, and runs of Arrow or CSV files, come through the reader of `kvlens-analysis`.

mod catalog;
mod footers;
mod loose;
mod provider;
mod runs;
mod schema;

pub use catalog::RunCatalog;
#[cfg(feature = "cluster")]
pub(crate) use footers::Sealed;
#[cfg(feature = "cluster")]
pub(crate) use provider::RunTable;
