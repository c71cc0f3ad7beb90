//! The error type of this crate.

use kvlens_schema::SchemaError;
use std::path::{Path, PathBuf};

/// What can go wrong while a run is written as Parquet or recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParquetError {
    /// The directory or a file could not be written, or columns not be built.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Columns could not be encoded.
    #[error("could not encode a row group of `{}`", path.display())]
    Encode {
        /// The part.
        path: PathBuf,
        /// What the encoder said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A part could not be read back.
    #[error("`{}` can't be read as Parquet; move it away to go on without it", path.display())]
    Part {
        /// The part.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The rows of a recovery stream could not be written or read.
    #[error("recovery stream `{}`", path.display())]
    Stream {
        /// The stream.
        path: PathBuf,
        /// What Arrow said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// A footer file is not what this crate wrote.
    #[error("`{}` is damaged: {problem}; remove it to keep the flushed rows alone", path.display())]
    Journal {
        /// The footer file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// A table's directory has parts already.
    #[error("`{}` holds parts already; use another run id, or recover and move the old run away", path.display())]
    NotEmpty {
        /// The table's directory.
        path: PathBuf,
    },
    /// A thread that encoded columns panicked.
    #[error("encoding a row group of `{}` panicked", path.display())]
    Panicked {
        /// The part.
        path: PathBuf,
    },
}

impl ParquetError {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Schema(SchemaError::io(action, path, source))
    }
}
