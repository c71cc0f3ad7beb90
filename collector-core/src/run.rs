//! What a run is: its facts, its sources, its columns.

use crate::clock::ClockAnchor;
use crate::job::JobInfo;
use crate::metric::MetricDesc;
use crate::record::Table;
use std::collections::BTreeMap;
use std::time::Duration;

/// The version of the column layout; readers refuse a newer one by name.
pub const SCHEMA_VERSION: u32 = 1;

/// A source's place in [`RunSchema::sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SourceIndex(pub u16);

/// Which tables a run records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables(u8);

impl Tables {
    /// Every table.
    pub const ALL: Self = Self(0b1_1111);
    /// Samples, steps, requests and blocks: what is recorded unless said otherwise.
    pub const STANDARD: Self = Self(0b1111);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether a table is recorded.
    pub const fn has(self, table: Table) -> bool {
        self.0 & (1 << table as u8) != 0
    }

    /// Adds a table.
    #[must_use]
    pub const fn with(self, table: Table) -> Self {
        Self(self.0 | 1 << table as u8)
    }

    /// Takes a table away.
    #[must_use]
    pub const fn without(self, table: Table) -> Self {
        Self(self.0 & !(1 << table as u8))
    }

    /// Walks the tables that are recorded.
    pub fn iter(self) -> impl Iterator<Item = Table> {
        Table::ALL.into_iter().filter(move |table| self.has(*table))
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// What a source is: the engine behind it and the clock it uses.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SourceInfo {
    /// The source's name, unique in a run: the `source` column.
    pub name: String,
    /// The engine, such as `kvlens-native` or `vllm`.
    pub engine: String,
    /// The engine's version.
    pub engine_version: Option<String>,
    /// The model that is served.
    pub model: Option<String>,
    /// The device, such as `cpu`, `sim:h100` or the GPU's name.
    pub device: Option<String>,
    /// Which clock the times come from, in words: `engine monotonic`, `virtual`, or several where an engine mixes them.
    pub clock_domain: Option<String>,
    /// How this source's monotonic readings turn into UTC; `None` takes the run's own anchor.
    pub clock: Option<ClockAnchor>,
    /// Anything else worth keeping, such as the block size.
    pub attributes: BTreeMap<String, String>,
}

impl SourceInfo {
    /// Describes a source by its name and its engine.
    pub fn new(name: impl Into<String>, engine: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            engine: engine.into(),
            ..Self::default()
        }
    }

    /// Sets the engine's version.
    #[must_use]
    pub fn with_engine_version(mut self, version: impl Into<String>) -> Self {
        self.engine_version = Some(version.into());
        self
    }

    /// Sets the model's name.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets the device's name.
    #[must_use]
    pub fn with_device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Sets the clock that the source's times come from.
    #[must_use]
    pub fn with_clock(mut self, domain: impl Into<String>, anchor: ClockAnchor) -> Self {
        self.clock_domain = Some(domain.into());
        self.clock = Some(anchor);
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with_attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }
}

/// What a run is, known when it begins.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The run's identifier: the `run_id` of the Hive partition.
    pub run_id: String,
    /// The clock of the run.
    pub clock: ClockAnchor,
    /// Planned time between samples.
    pub interval: Duration,
    /// Which tables are recorded.
    pub tables: Tables,
    /// The host's name, where it is known.
    pub host: Option<String>,
    /// The job that the run is part of, if it is.
    pub job: Option<JobInfo>,
    /// Anything else worth keeping, such as the configuration.
    pub attributes: BTreeMap<String, String>,
}

impl RunInfo {
    /// Describes a run that records the standard tables and samples once a second.
    pub fn new(run_id: impl Into<String>) -> Self {
        Self {
            run_id: run_id.into(),
            clock: ClockAnchor::default(),
            interval: Duration::from_secs(1),
            tables: Tables::STANDARD,
            host: None,
            job: None,
            attributes: BTreeMap::new(),
        }
    }

    /// Sets which tables are recorded.
    #[must_use]
    pub fn with_tables(mut self, tables: Tables) -> Self {
        self.tables = tables;
        self
    }

    /// Sets the host's name.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Sets the job that the run is part of.
    #[must_use]
    pub fn with_job(mut self, job: JobInfo) -> Self {
        self.job = Some(job);
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with_attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }
}

/// What an exporter is told when a run begins: it does not change afterwards.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunSchema {
    /// What the run is.
    pub run: RunInfo,
    /// The sources, by [`SourceIndex`].
    pub sources: Vec<SourceInfo>,
    /// The metric columns of `samples`, in order: every metric that some source knows.
    pub metrics: Vec<MetricDesc>,
}

impl RunSchema {
    /// Puts a schema together.
    pub fn new(run: RunInfo, sources: Vec<SourceInfo>, metrics: Vec<MetricDesc>) -> Self {
        Self {
            run,
            sources,
            metrics,
        }
    }

    /// The clock that a source's rows are on: its own, or the run's.
    pub fn clock_of(&self, source: SourceIndex) -> ClockAnchor {
        self.sources
            .get(usize::from(source.0))
            .and_then(|info| info.clock)
            .unwrap_or(self.run.clock)
    }

    /// A source's name; empty for an index out of range.
    pub fn source_name(&self, source: SourceIndex) -> &str {
        self.sources
            .get(usize::from(source.0))
            .map_or("", |info| &info.name)
    }
}

/// How a run ended, told to an exporter at the end.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RunEnd {
    /// Whether the run was ended by its owner, rather than by an error or a drop.
    pub clean_stop: bool,
    /// When it ended, on the run's monotonic clock.
    pub monotonic_ns: u64,
    /// Rows and samples handed to exporters, by table name.
    pub rows: BTreeMap<String, u64>,
    /// Rows of these that an exporter did not write, by table name, the most of any exporter; and as `engine_queue` those
    /// that an engine's full queue did not take.
    pub rows_dropped: BTreeMap<String, u64>,
    /// Anomalies clamped, over all sources.
    pub anomalies: u64,
    /// What went wrong and was survived, in words, oldest first.
    pub problems: Vec<String>,
    /// Readings of the monotonic and the wall clock side by side: at the start, in between, and at the end.
    pub clocks: Vec<ClockAnchor>,
}
