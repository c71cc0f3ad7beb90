//! The error type of this crate.

use arrow_schema::ArrowError;
use kvlens_schema::SchemaError;
use std::path::PathBuf;

/// What can go wrong while a run is written as Arrow IPC, handed on or recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArrowExportError {
    /// The directory or a file could not be written, or columns not be built.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Rows could not be encoded.
    #[error("could not write record batches to `{}`", path.display())]
    Ipc {
        /// The file.
        path: PathBuf,
        /// What Arrow said.
        #[source]
        source: ArrowError,
    },
    /// Nobody takes the batches any more.
    #[error("the receiver of the record batches is gone; keep `Batches` for as long as the run goes on")]
    Disconnected,
}
