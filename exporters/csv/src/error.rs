//! The error type of this crate.

use kvlens_schema::SchemaError;

/// What can go wrong while a run is written as CSV or recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// The directory or a file could not be written or read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}
