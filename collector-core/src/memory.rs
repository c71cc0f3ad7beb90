//! A scripted source and an exporter that keeps everything in memory: for tests and examples.

use crate::error::{Error, Result};
use crate::exporter::Exporter;
use crate::histogram::{Config, SparseHistogram};
use crate::metric::MetricDesc;
use crate::record::{AccessRow, Batch, BlockRow, RequestRow, Sample, StepRow};
use crate::run::{RunEnd, RunSchema, SourceInfo};
use crate::source::{MetricId, Reading, Sink, StatsSource};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A source that plays back a script: at each sample the next value of every metric, at each drain the next rows.
///
/// A script that is over leaves its metric missing.
///
/// ```
/// use kvlens_core::memory::ScriptedSource;
/// use kvlens_core::{catalog, StatsSource};
/// let source = ScriptedSource::new("demo")
///     .with_gauge(&catalog::REQUESTS_RUNNING, [1.0, 2.0])
///     .with_counter(&catalog::GENERATION_TOKENS, [10, 30]);
/// assert_eq!(source.metrics().len(), 2);
/// ```
#[derive(Debug)]
pub struct ScriptedSource {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    scripts: Vec<VecDeque<Scripted>>,
    rows: VecDeque<Rows>,
    samples_until_error: Option<usize>,
}

#[derive(Debug)]
enum Scripted {
    Gauge(f64),
    Counter(u64),
    Histogram(SparseHistogram),
}

#[derive(Debug)]
enum Rows {
    Steps(Vec<StepRow>),
    Requests(Vec<RequestRow>),
    Blocks(Vec<BlockRow>),
    Accesses(Vec<AccessRow>),
}

impl ScriptedSource {
    /// Makes a source that knows nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            info: SourceInfo::new(name, "scripted"),
            metrics: Vec::new(),
            scripts: Vec::new(),
            rows: VecDeque::new(),
            samples_until_error: None,
        }
    }

    /// Adds a gauge and its values.
    #[must_use]
    pub fn with_gauge(self, metric: &MetricDesc, values: impl IntoIterator<Item = f64>) -> Self {
        self.with_script(metric, values.into_iter().map(Scripted::Gauge).collect())
    }

    /// Adds a counter and its cumulative readings.
    #[must_use]
    pub fn with_counter(self, metric: &MetricDesc, totals: impl IntoIterator<Item = u64>) -> Self {
        self.with_script(metric, totals.into_iter().map(Scripted::Counter).collect())
    }

    /// Adds a histogram and the values recorded in each interval.
    #[must_use]
    pub fn with_histogram<const N: usize>(self, metric: &MetricDesc, intervals: [&[u64]; N]) -> Self {
        let interval = |values: &[u64]| {
            let mut histogram = SparseHistogram::new(Config::DEFAULT);
            values.iter().for_each(|value| histogram.record(*value));
            Scripted::Histogram(histogram)
        };
        self.with_script(metric, intervals.into_iter().map(interval).collect())
    }

    /// Adds steps, handed over by one drain.
    #[must_use]
    pub fn with_steps(mut self, rows: Vec<StepRow>) -> Self {
        self.rows.push_back(Rows::Steps(rows));
        self
    }

    /// Adds requests, handed over by one drain.
    #[must_use]
    pub fn with_requests(mut self, rows: Vec<RequestRow>) -> Self {
        self.rows.push_back(Rows::Requests(rows));
        self
    }

    /// Adds block lives, handed over by one drain.
    #[must_use]
    pub fn with_blocks(mut self, rows: Vec<BlockRow>) -> Self {
        self.rows.push_back(Rows::Blocks(rows));
        self
    }

    /// Adds prefix-cache look-ups, handed over by one drain.
    #[must_use]
    pub fn with_accesses(mut self, rows: Vec<AccessRow>) -> Self {
        self.rows.push_back(Rows::Accesses(rows));
        self
    }

    /// Lets every sample after the given number of them fail.
    #[must_use]
    pub fn failing_after(mut self, samples: usize) -> Self {
        self.samples_until_error = Some(samples);
        self
    }

    fn with_script(mut self, metric: &MetricDesc, script: VecDeque<Scripted>) -> Self {
        self.metrics.push(metric.clone());
        self.scripts.push(script);
        self
    }
}

impl StatsSource for ScriptedSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        if let Some(left) = &mut self.samples_until_error {
            if *left == 0 {
                return Err(Error::source(&self.info.name, "the script ends in an error"));
            }
            *left -= 1;
        }
        for (at, script) in self.scripts.iter_mut().enumerate() {
            match script.pop_front() {
                Some(Scripted::Gauge(value)) => sink.gauge(MetricId(at), value),
                Some(Scripted::Counter(total)) => sink.counter(MetricId(at), Reading::Cumulative(total)),
                Some(Scripted::Histogram(delta)) => sink.histogram(MetricId(at), &delta),
                None => {}
            }
        }
        Ok(())
    }

    fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        match self.rows.pop_front() {
            Some(Rows::Steps(rows)) => sink.steps(&rows),
            Some(Rows::Requests(rows)) => sink.requests(&rows),
            Some(Rows::Blocks(rows)) => sink.blocks(&rows),
            Some(Rows::Accesses(rows)) => sink.accesses(&rows),
            None => {}
        }
        Ok(())
    }
}

/// An exporter that keeps everything; clones share what is kept.
///
/// Memory grows with the run: for tests and short experiments.
#[derive(Debug, Clone, Default)]
pub struct MemoryExporter {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    schema: Option<Arc<RunSchema>>,
    samples: Vec<Sample>,
    steps: Vec<StepRow>,
    requests: Vec<RequestRow>,
    blocks: Vec<BlockRow>,
    accesses: Vec<AccessRow>,
    flushes: usize,
    end: Option<RunEnd>,
}

impl MemoryExporter {
    /// Makes an exporter that has kept nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the run is; `None` before `begin`.
    pub fn schema(&self) -> Option<Arc<RunSchema>> {
        self.kept().schema.clone()
    }

    /// Every sample so far.
    pub fn samples(&self) -> Vec<Sample> {
        self.kept().samples.clone()
    }

    /// Every step so far.
    pub fn steps(&self) -> Vec<StepRow> {
        self.kept().steps.clone()
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<RequestRow> {
        self.kept().requests.clone()
    }

    /// Every block life so far.
    pub fn blocks(&self) -> Vec<BlockRow> {
        self.kept().blocks.clone()
    }

    /// Every prefix-cache look-up so far.
    pub fn accesses(&self) -> Vec<AccessRow> {
        self.kept().accesses.clone()
    }

    /// How often it was flushed.
    pub fn flushes(&self) -> usize {
        self.kept().flushes
    }

    /// How the run ended; `None` before `finish`.
    pub fn end(&self) -> Option<RunEnd> {
        self.kept().end.clone()
    }

    /// The values of one metric, one per sample; `None` if the run has no such metric.
    pub fn column(&self, metric: &MetricDesc) -> Option<Vec<crate::Value>> {
        let kept = self.kept();
        let column = kept
            .schema
            .as_ref()?
            .metrics
            .iter()
            .position(|known| known.name == metric.name)?;
        kept.samples
            .iter()
            .map(|sample| sample.values.get(column).cloned())
            .collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that a call is in order.
    fn open(&self) -> Result<MutexGuard<'_, Kept>> {
        let kept = self.kept();
        if kept.end.is_some() {
            return Err(Error::Finished {
                exporter: self.name().to_owned(),
            });
        }
        if kept.schema.is_none() {
            return Err(Error::NotBegun {
                exporter: self.name().to_owned(),
            });
        }
        Ok(kept)
    }
}

impl Exporter for MemoryExporter {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn begin(&mut self, schema: &RunSchema) -> Result<()> {
        let mut kept = self.kept();
        if kept.end.is_some() || kept.schema.is_some() {
            return Err(Error::Finished {
                exporter: self.name().to_owned(),
            });
        }
        kept.schema = Some(Arc::new(schema.clone()));
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut kept = self.open()?;
        match batch {
            Batch::Samples(rows) => kept.samples.extend_from_slice(rows),
            Batch::Steps(_, rows) => kept.steps.extend_from_slice(rows),
            Batch::Requests(_, rows) => kept.requests.extend_from_slice(rows),
            Batch::Blocks(_, rows) => kept.blocks.extend_from_slice(rows),
            Batch::Accesses(_, rows) => kept.accesses.extend_from_slice(rows),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.open()?.flushes += 1;
        Ok(())
    }

    fn finish(&mut self, end: &RunEnd) -> Result<()> {
        self.open()?.end = Some(end.clone());
        Ok(())
    }
}
