//! The one error type of this crate.

use std::time::Duration;

/// A cause of any type, kept so that a reader sees the whole chain.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of a call into this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a source and an exporter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A source could not say what its engine is doing.
    #[error("source `{name}`")]
    Source {
        /// The source's name.
        name: String,
        /// Why it could not.
        #[source]
        source: BoxError,
    },
    /// A source did not answer in time; it is left alone until it does.
    #[error("source `{name}` did not answer within {waited:?}; its metrics are null until it does")]
    SourceHangs {
        /// The source's name.
        name: String,
        /// How long the collector waited.
        waited: Duration,
    },
    /// A source or an exporter panicked; the panic was caught.
    #[error("`{name}` panicked: {message}")]
    Panicked {
        /// The source's or exporter's name.
        name: String,
        /// The panic's message.
        message: String,
    },
    /// An exporter could not write.
    #[error("exporter `{exporter}`")]
    Export {
        /// The exporter's name.
        exporter: String,
        /// Why it could not.
        #[source]
        source: BoxError,
    },
    /// An exporter made no progress and was given up; its data up to there is kept.
    #[error(
        "exporter `{exporter}` made no progress for {waited:?} and was given up; what it wrote before is kept"
    )]
    ExporterStalls {
        /// The exporter's name.
        exporter: String,
        /// How long the collector waited.
        waited: Duration,
    },
    /// An exporter was used before [`begin`](crate::Exporter::begin).
    #[error("exporter `{exporter}` was used before `begin`; call `begin` with the run's schema first")]
    NotBegun {
        /// The exporter's name.
        exporter: String,
    },
    /// An exporter was used after [`finish`](crate::Exporter::finish).
    #[error("exporter `{exporter}` was used after `finish`; make a new one for a new run")]
    Finished {
        /// The exporter's name.
        exporter: String,
    },
    /// Two metrics of one run share a name and differ in kind or unit.
    #[error("metric `{name}` is declared twice with different kinds or units; rename one of them")]
    MetricConflict {
        /// The metric's name.
        name: String,
    },
    /// A metric's name can't be a column's.
    #[error(
        "metric name `{name}` is not usable as a column: use lower-case letters, digits and `_`, starting with a letter"
    )]
    MetricName {
        /// The name.
        name: String,
    },
    /// A handle was asked for with a descriptor of another kind.
    #[error("metric `{name}` is a {found}, not a {wanted}")]
    MetricKind {
        /// The metric's name.
        name: String,
        /// What it is.
        found: crate::Kind,
        /// What was asked for.
        wanted: crate::Kind,
    },
    /// A metric was registered after the recorder's source was taken, when the list of metrics is final.
    #[error(
        "metric `{name}` was registered after the recorder's source was taken; register every metric before"
    )]
    RegisteredLate {
        /// The metric's name.
        name: String,
    },
    /// A recorder's source was asked for twice.
    #[error(
        "the source of the recorder `{name}` is taken already; give each collector a recorder of its own"
    )]
    SourceTaken {
        /// The recorder's name.
        name: String,
    },
    /// Two histograms with different bucket layouts can't be added.
    #[error("histograms with different bucket layouts can't be merged ({left} and {right})")]
    HistogramLayout {
        /// The layout merged into.
        left: String,
        /// The layout merged from.
        right: String,
    },
    /// A histogram's parameters are out of range.
    #[error(
        "histogram parameters out of range: grouping power {grouping_power}, max value power {max_value_power}; {mend}"
    )]
    HistogramConfig {
        /// The grouping power asked for.
        grouping_power: u8,
        /// The max value power asked for.
        max_value_power: u8,
        /// What would be in range.
        mend: &'static str,
    },
    /// A setting is out of range.
    #[error("{setting} is {found}: {mend}")]
    Config {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        mend: &'static str,
    },
    /// A thread could not be started.
    #[error("could not start the thread `{name}`")]
    Thread {
        /// The thread's name.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps a cause as a source's error.
    pub fn source(name: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Source {
            name: name.into(),
            source: source.into(),
        }
    }

    /// Wraps a cause as an exporter's error.
    pub fn export(exporter: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Export {
            exporter: exporter.into(),
            source: source.into(),
        }
    }

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
