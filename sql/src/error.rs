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
        source: Box<AnalysisError>,
    },
    /// The query engine's word.
    #[error(transparent)]
    Engine(#[from] DataFusionError),
}
