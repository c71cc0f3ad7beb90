//! Puts a collector together.

use super::driver::{Attached, Collector};
use super::handle::CollectorHandle;
use super::intake::{Intake, SELF_METRICS};
use super::isolated::Isolated;
use super::outlet::Outlet;
use super::problems::{OnProblem, Problems};
use super::sanity::part_columns;
use crate::clock::{Clock, ClockAnchor, SystemClock};
use crate::error::{Error, Result};
use crate::exporter::Exporter;
use crate::metric::MetricDesc;
use crate::run::{RunInfo, RunSchema, SourceIndex};
use crate::source::StatsSource;
use std::sync::Arc;
use std::time::Duration;

/// What happens to rows while an exporter's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowPolicy {
    /// They are dropped and counted: for live engines.
    #[default]
    DropNewest,
    /// The collector waits, and with it an engine whose own queue fills up: for replays, where nothing may be missing.
    Wait,
}

/// How a collector works, beside what it works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) interval_ns: u64,
    pub(super) flush_interval: Duration,
    pub(super) batch_rows: usize,
}

/// Puts a [`Collector`] together: sources, exporters, and how often.
///
/// ```
/// use kvlens_core::collector::CollectorBuilder;
/// use kvlens_core::memory::{MemoryExporter, ScriptedSource};
/// use kvlens_core::{catalog, RunInfo, Value};
///
/// let source = ScriptedSource::new("engine-0").with_gauge(&catalog::REQUESTS_RUNNING, [1.0, 2.0, 3.0]);
/// let memory = MemoryExporter::new();
/// let mut collector = CollectorBuilder::new(RunInfo::new("demo"))
///     .local_source(source)
///     .exporter(memory.clone())
///     .build()
///     .unwrap();
/// collector.tick();
/// collector.finish();
/// assert_eq!(memory.samples()[0].values[0], Value::Gauge(1.0));
/// ```
#[derive(Debug)]
#[must_use]
pub struct CollectorBuilder {
    run: RunInfo,
    clock: Arc<dyn Clock>,
    sources: Vec<Box<dyn StatsSource>>,
    exporters: Vec<Box<dyn Exporter>>,
    row_policy: RowPolicy,
    source_timeout: Duration,
    stall_timeout: Duration,
    flush_interval: Duration,
    batch_rows: usize,
    on_problem: ProblemHook,
}

#[derive(Default)]
struct ProblemHook(Option<OnProblem>);

impl std::fmt::Debug for ProblemHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}

impl CollectorBuilder {
    /// The shortest interval between samples.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(1);
    /// How long a source may take to answer before it is left behind.
    pub const SOURCE_TIMEOUT: Duration = Duration::from_secs(2);
    /// How long an exporter may make no progress before it is given up.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
    /// How often exporters are asked to make what they have safe.
    pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
    /// How many rows are handed over at once.
    pub const BATCH_ROWS: usize = 8_192;

    /// Starts with no source and no exporter.
    pub fn new(run: RunInfo) -> Self {
        Self {
            run,
            clock: Arc::new(SystemClock::new()),
            sources: Vec::new(),
            exporters: Vec::new(),
            row_policy: RowPolicy::default(),
            source_timeout: Self::SOURCE_TIMEOUT,
            stall_timeout: Self::STALL_TIMEOUT,
            flush_interval: Self::FLUSH_INTERVAL,
            batch_rows: Self::BATCH_ROWS,
            on_problem: ProblemHook::default(),
        }
    }

    /// Replaces what the run is.
    pub fn run(mut self, run: RunInfo) -> Self {
        self.run = run;
        self
    }

    /// Sets the time between samples: at least [`MIN_INTERVAL`](Self::MIN_INTERVAL), one second unless set.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.run.interval = interval;
        self
    }

    /// Sets the clock; the sources' rows must be on the same one, or say which they are on.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a source that may hang: it gets a thread of its own.
    pub fn source(mut self, source: impl StatsSource + 'static) -> Self {
        let isolated = Isolated::new(source, self.source_timeout);
        self.sources.push(Box::new(isolated));
        self
    }

    /// Adds a source that never blocks, such as a [`RecorderSource`](crate::recorder::RecorderSource): it is read on the
    /// collector's own thread.
    pub fn local_source(mut self, source: impl StatsSource + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// Adds an exporter. Exporters begin in the order in which they were added and end in reverse, so one that says what
    /// the run is and how it ended, such as a manifest, goes first.
    pub fn exporter(mut self, exporter: impl Exporter + 'static) -> Self {
        self.exporters.push(Box::new(exporter));
        self
    }

    /// Sets what happens to rows while an exporter's queue is full.
    pub fn row_policy(mut self, policy: RowPolicy) -> Self {
        self.row_policy = policy;
        self
    }

    /// Sets how long sources added after this call may take to answer.
    pub fn source_timeout(mut self, timeout: Duration) -> Self {
        self.source_timeout = timeout;
        self
    }

    /// Sets how long an exporter may make no progress before it is given up.
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Sets how often exporters are asked to make what they have safe, in real time.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// Sets how many rows are handed over at once.
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// Calls back with every new problem, in words, as it arises; from any of the collector's threads.
    pub fn on_problem(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_problem = ProblemHook(Some(Arc::new(hook)));
        self
    }

    /// Begins the run, to be driven by [`Collector::poll`].
    ///
    /// # Errors
    /// [`Error::Config`] for an interval under a millisecond or two sources of one name, [`Error::MetricConflict`] and
    /// [`Error::MetricName`] for metrics that can't be columns, [`Error::Export`] when an exporter can't begin: those
    /// that had begun are ended again.
    pub fn build(mut self) -> Result<Collector> {
        let interval_ns = self.checked_interval()?;
        self.run.clock = ClockAnchor::take(&self.clock);
        let schema = Arc::new(self.schema()?);
        let problems = Problems::new(self.on_problem.0.take());
        let outlets = self.begin(&schema, &problems)?;
        let pairs = part_columns(&schema.metrics);
        let attach = |(index, source): (usize, Box<dyn StatsSource>)| {
            let index = SourceIndex(u16::try_from(index).unwrap_or(u16::MAX));
            let intake = Intake::new(index, source.as_ref(), &schema, pairs.clone());
            Attached::new(source, intake)
        };
        let sources = std::mem::take(&mut self.sources)
            .into_iter()
            .enumerate()
            .map(attach)
            .collect();
        let options = Options {
            interval_ns,
            flush_interval: self.flush_interval,
            batch_rows: self.batch_rows,
        };
        Ok(Collector::new(
            schema, self.clock, sources, outlets, options, problems,
        ))
    }

    /// Begins the run on a thread of its own.
    ///
    /// # Errors
    /// As [`build`](Self::build), and [`Error::Thread`] when the thread can't be started.
    pub fn spawn(self) -> Result<CollectorHandle> {
        CollectorHandle::spawn(self.build()?)
    }

    fn checked_interval(&self) -> Result<u64> {
        let interval = self.run.interval;
        let ns = u64::try_from(interval.as_nanos())
            .ok()
            .filter(|_| interval >= Self::MIN_INTERVAL);
        ns.ok_or_else(|| Error::Config {
            setting: "interval",
            found: format!("{interval:?}"),
            mend: "use at least 1ms",
        })
    }

    /// The columns: every metric of every source, once, then the collector's own.
    fn schema(&self) -> Result<RunSchema> {
        let mut metrics: Vec<MetricDesc> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let own = SELF_METRICS.iter().copied();
        for source in &self.sources {
            let name = source.info().name.as_str();
            if names.contains(&name) {
                let mend = "give every source of a run its own name";
                return Err(Error::Config {
                    setting: "source name",
                    found: format!("`{name}` twice"),
                    mend,
                });
            }
            names.push(name);
        }
        for metric in self.sources.iter().flat_map(StatsSource::metrics).chain(own) {
            metric.check_name()?;
            match metrics.iter().find(|known| known.name == metric.name) {
                None => metrics.push(metric.clone()),
                Some(known) if known.kind == metric.kind && known.unit == metric.unit => {}
                Some(_) => {
                    return Err(Error::MetricConflict {
                        name: metric.name.to_string(),
                    });
                }
            }
        }
        let sources = self.sources.iter().map(|source| source.info().clone()).collect();
        Ok(RunSchema::new(self.run.clone(), sources, metrics))
    }

    /// Begins every exporter, or none.
    fn begin(&mut self, schema: &RunSchema, problems: &Problems) -> Result<Vec<Outlet>> {
        let mut begun: Vec<Box<dyn Exporter>> = Vec::new();
        for mut exporter in std::mem::take(&mut self.exporters) {
            if let Err(error) = exporter.begin(schema) {
                for mut earlier in begun.into_iter().rev() {
                    // The error that matters is the one that is returned.
                    let _ = earlier.finish(&crate::run::RunEnd::default());
                }
                return Err(error);
            }
            begun.push(exporter);
        }
        let start = |exporter| Outlet::start(exporter, self.row_policy, self.stall_timeout, problems.clone());
        begun.into_iter().map(start).collect()
    }
}
