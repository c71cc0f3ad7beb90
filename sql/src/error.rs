//! The error type of this crate.

use datafusion::common::DataFusionError;
use kvlens_analysis::AnalysisError;
use std::path::PathBuf;

/// A result of this crate.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// What can go wrong around a query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// A run can't be opened.
    #[error(transparent)]
    Run(#[from] AnalysisError),
    /// None of the runs that were found can be opened.
    #[error("none of {count} runs can be opened; the first is `{}`", path.display())]
    Refused {
        /// How many there are.
        count: usize,
        /// The first of them.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<SqlError>,
    },
    /// A URL was given to a program that can't read from stores.
    #[error("`{}` is in a store: build with the feature `store` to read from there", path.display())]
    NoStore {
        /// The URL.
        path: PathBuf,
    },
    /// A run in a store has no Parquet files.
    #[cfg(feature = "store")]
    #[error(
        "the rows of `{url}` are in Arrow or CSV files, and in a store only Parquet is read: copy it to a disk first"
    )]
    NotParquet {
        /// The run.
        url: String,
    },
    /// No run in a store is of the job that was asked for.
    #[cfg(feature = "store")]
    #[error("no run below `{url}` is of job `{job}`")]
    NotOfJob {
        /// Where was looked.
        url: String,
        /// The job's identifier.
        job: String,
    },
    /// What a store says.
    #[cfg(feature = "store")]
    #[error(transparent)]
    Store(#[from] kvlens_store::StoreError),
    /// The query engine's word.
    #[error(transparent)]
    Engine(#[from] DataFusionError),
}
