//! One reading of one source, and what is handed to an exporter.

use super::{AccessRow, BlockRow, RequestRow, StepRow, Table};
use crate::histogram::{FixedHistogram, SparseHistogram};
use crate::run::SourceIndex;
use std::sync::Arc;

/// One metric's value in a sample.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Value {
    /// Not known: null in every format.
    #[default]
    Missing,
    /// A gauge's value now.
    Gauge(f64),
    /// A counter's total since the start of the run.
    Counter(u64),
    /// What a log-linear histogram recorded in this interval.
    Histogram(SparseHistogram),
    /// What a fixed-boundary histogram recorded in this interval.
    Fixed(FixedHistogram),
}

/// One reading of one source: a row of `samples`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Sample {
    /// Which source.
    pub source: SourceIndex,
    /// Which member of a fallback served it; `None` for a source that has no members.
    pub served_by: Option<Arc<str>>,
    /// When it was read, on the run's monotonic clock.
    pub monotonic_ns: u64,
    /// The time it covers: since the source's previous sample.
    pub interval_ns: u64,
    /// How much later it was read than planned.
    pub overshoot_ns: u64,
    /// How many samples were merged into it because an exporter lagged; 1 for a plain one.
    pub merged: u32,
    /// One value per column of [`RunSchema::metrics`](crate::RunSchema), in its order.
    pub values: Vec<Value>,
}

/// What an exporter is handed: records of one kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Batch {
    /// Samples of any sources.
    Samples(Vec<Sample>),
    /// Steps of one source.
    Steps(SourceIndex, Vec<StepRow>),
    /// Requests of one source.
    Requests(SourceIndex, Vec<RequestRow>),
    /// Block lives of one source.
    Blocks(SourceIndex, Vec<BlockRow>),
    /// Prefix-cache look-ups of one source.
    Accesses(SourceIndex, Vec<AccessRow>),
}

impl Batch {
    /// The table that the records belong to.
    pub fn table(&self) -> Table {
        match self {
            Self::Samples(_) => Table::Samples,
            Self::Steps(..) => Table::Steps,
            Self::Requests(..) => Table::Requests,
            Self::Blocks(..) => Table::Blocks,
            Self::Accesses(..) => Table::Accesses,
        }
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Samples(rows) => rows.len(),
            Self::Steps(_, rows) => rows.len(),
            Self::Requests(_, rows) => rows.len(),
            Self::Blocks(_, rows) => rows.len(),
            Self::Accesses(_, rows) => rows.len(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
