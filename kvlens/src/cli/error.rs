//! What ends a command early, and with which exit code.

use kvlens_core::BoxError;
use std::path::PathBuf;

/// What ends a command early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The command line or the configuration is wrong.
    #[error("{option}")]
    Usage {
        /// The option, with its value.
        option: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The configuration file can't be read.
    #[error("can't use the configuration file {}", path.display())]
    Config {
        path: PathBuf,
        #[source]
        source: BoxError,
    },
    /// A file of a run is damaged, and the command can do without it.
    #[error("can't read the run")]
    Damaged {
        #[source]
        source: BoxError,
    },
    /// It was tried and failed.
    #[error("{what}")]
    Failed {
        what: String,
        #[source]
        source: BoxError,
    },
}

impl CliError {
    pub(super) fn usage(option: &str, value: impl std::fmt::Display, source: impl Into<BoxError>) -> Self {
        Self::Usage {
            option: format!("--{option} {value}"),
            source: source.into(),
        }
    }

    pub(super) fn failed(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Failed {
            what: what.into(),
            source: source.into(),
        }
    }

    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Config { .. } => 2,
            Self::Damaged { .. } | Self::Failed { .. } => 1,
        }
    }

    /// The error and its causes on one line.
    pub(super) fn chain(&self) -> String {
        let mut text = chain(self);
        if matches!(self, Self::Damaged { .. }) {
            text.push_str("; --skip-damaged uses the rest");
        }
        text
    }
}

/// An error and its causes on one line; a cause that only repeats what is there is left out.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = inner.source();
    }
    text
}
