//! The error type of this crate.

use kvlens_analysis::AnalysisError;
use kvlens_parquet::ParquetError;
use kvlens_schema::SchemaError;
use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = CompactError> = std::result::Result<T, E>;

/// What can go wrong when a run is rewritten. Whatever it is, the source is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The source can't be read.
    #[error(transparent)]
    Read(#[from] AnalysisError),
    /// The result can't be written.
    #[error(transparent)]
    Write(#[from] ParquetError),
    /// A layout or a manifest is not as it should be.
    #[error(transparent)]
    Layout(#[from] SchemaError),
    /// A run is still being written, or was killed.
    #[error("`{}` is not sealed; end the process that records the run, or `kvlens recover` it", path.display())]
    Open {
        /// A file under construction.
        path: PathBuf,
    },
    /// A run was recorded as CSV, which keeps no histogram's buckets and not every type.
    #[error("`{}` is CSV, which does not hold all that Parquet would; compact the run's Parquet or Arrow files", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
    },
    /// A column has one type in one part and another in the next.
    #[error("column `{column}` of `{table}` is {one} in one part and {other} in another")]
    Types {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// A type.
        one: String,
        /// Another one.
        other: String,
    },
    /// Rows could not be put in order or compared.
    #[error("could not {action} rows of `{table}`")]
    Rows {
        /// What was tried.
        action: &'static str,
        /// The table.
        table: &'static str,
        /// What Arrow said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// The result does not hold what the source holds. This is a defect; the source was left alone.
    #[error(
        "`{table}` came out different: {before} rows before, {after} after; the source was left alone, please report this"
    )]
    Differs {
        /// The table.
        table: &'static str,
        /// Rows read.
        before: u64,
        /// Rows found in the result.
        after: u64,
    },
    /// The result is there already.
    #[error("`{}` exists already; name another directory", path.display())]
    Exists {
        /// The result's directory.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl CompactError {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        Self::Io { action, path, source }
    }
}
