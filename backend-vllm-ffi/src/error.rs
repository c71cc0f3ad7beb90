//! What can go wrong on this side of the boundary.

use std::path::PathBuf;

/// The result of a call into this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between an engine and its recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is not what it should be.
    #[error("the configuration can't be read; it is a JSON object, see `kvlens.h`")]
    Config {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A setting has a value that it can't have.
    #[error("setting `{setting}` is `{found}`: {mend}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        mend: &'static str,
    },
    /// The output directory can't be used.
    #[error("the output directory `{}` can't be used; name one that this process may write to", path.display())]
    Output {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The collector refused.
    #[error(transparent)]
    Core(#[from] kvlens_core::Error),
    /// More metrics than there is room for.
    #[error("a recorder has room for {limit} metrics of the caller's own; declare fewer")]
    TooManyMetrics {
        /// How many there is room for.
        limit: usize,
    },
    /// A metric that was never declared, or that is of another kind.
    #[error("no {wanted} was declared as number {id}; declare it before the start and keep the number")]
    UnknownMetric {
        /// The number.
        id: usize,
        /// What it was used as.
        wanted: kvlens_core::Kind,
    },
    /// A metrics page could not be read.
    #[error("the metrics page `{url}` can't be read")]
    Scrape {
        /// The page.
        url: String,
        /// Why.
        #[source]
        source: kvlens_core::BoxError,
    },
    /// A metrics page has nothing that is known.
    #[error(
        "the metrics page has no metric of vLLM's; is statistics logging on, and is this the right page?"
    )]
    NothingKnown,
}

impl Error {
    /// Renders the error and its causes on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        text
    }
}
