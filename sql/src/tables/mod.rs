//! Runs as tables: `samples`, `steps`, `requests`, `blocks`, `accesses`, one column `run_id` added, and `runs`.
//!
//! Whole Parquet parts are read by DataFusion itself, so that filters, projections and statistics reach the files; what
//! an unfinished run has beside them, and runs of Arrow or CSV files, come through the reader of `kvlens-analysis`. Runs in a
//! store are known by their manifests and the names of their files, which DataFusion reads from there.

mod catalog;
mod footers;
mod found;
mod loose;
mod provider;
#[cfg(feature = "store")]
mod remote;
mod runs;
mod schema;

pub use catalog::RunCatalog;
#[cfg(feature = "cluster")]
pub(crate) use footers::Sealed;
#[cfg(feature = "cluster")]
pub(crate) use provider::RunTable;
#[cfg(feature = "store")]
pub(crate) use remote::OpensStores;
