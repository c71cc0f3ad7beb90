//! The error type of this crate.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with a run's layout or directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
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
    /// Something that a run would write is there already.
    #[error("`{}` exists already; use another run id, or move the old run away", path.display())]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// A run that is to be recovered is still being written.
    #[error("`{}` is still being written; end the process that records the run first", path.display())]
    Live {
        /// The file that a process holds open.
        path: PathBuf,
    },
    /// A run id can't be a directory's name.
    #[error(
        "run id `{run_id}` is not usable: use 1 to 128 letters, digits, `.`, `_` or `-`, not starting with `.`"
    )]
    RunId {
        /// The run id.
        run_id: String,
    },
    /// A directory is not a run.
    #[error(
        "`{}` is not a run: `run.json` is missing; put it back, or name the directory that it is in",
        path.display()
    )]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// A manifest can't be understood.
    #[error("`{}` is not a manifest of a run", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A run was written by a newer version.
    #[error(
        "`{}` has schema version {found}, this program knows up to {known}; use a newer kvlens to read it",
        path.display()
    )]
    TooNew {
        /// The manifest.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// Columns could not be put together.
    #[error("could not build a batch of `{table}`")]
    Batch {
        /// The table's name.
        table: &'static str,
        /// What Arrow said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// A histogram's layout can't be understood.
    #[error("histogram layout `{layout}` is not known; expected `h2(p,m)` or `le(b,b,…)`")]
    HistogramLayout {
        /// The layout's text.
        layout: String,
    },
    /// A column does not have the type that its name promises.
    #[error("column `{column}` is not a histogram: `{missing}` is missing or has another type")]
    NotAHistogram {
        /// The column.
        column: String,
        /// The part that was looked for.
        missing: &'static str,
    },
}

impl SchemaError {
    /// Wraps what the operating system said about a path.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        match source.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io { action, path, source },
        }
    }

    /// Turns it into an exporter's error.
    pub fn export(self, exporter: &str) -> kvlens_core::Error {
        kvlens_core::Error::export(exporter, self)
    }
}
