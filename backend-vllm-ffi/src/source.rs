//! The reading side: what the collector's thread runs.

use crate::fault;
use crate::shared::Shared;
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::record::AccessRow;
use kvlens_core::source::{MetricId, Reading, Sink, StatsSource};
use kvlens_core::{BlockRow, MetricDesc, RecorderSource, RequestRow, Result, SourceInfo, StepRow};
use std::sync::Arc;

/// A vLLM engine, or any other that pushes its figures into a [`Feed`](crate::Feed).
///
/// A metric is missing until the engine has said something about it once; so a counter that this engine does not have
/// is null, not 0. Every sample names the origin of the last figures, once there are any.
#[derive(Debug)]
pub struct VllmSource {
    inner: RecorderSource,
    shared: Arc<Shared>,
}

impl VllmSource {
    pub(crate) fn new(inner: RecorderSource, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl StatsSource for VllmSource {
    fn info(&self) -> &SourceInfo {
        self.inner.info()
    }

    fn metrics(&self) -> &[MetricDesc] {
        self.inner.metrics()
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        fault::on_sample(&self.shared);
        self.shared.pull();
        let mut known = Known {
            shared: &self.shared,
            fixed: self.shared.take_fixed(),
            sink,
        };
        self.inner.sample(&mut known)?;
        if let Some(origin) = self.shared.origin() {
            sink.served_by(origin.name());
        }
        let anomalies = self.shared.take_anomalies();
        if anomalies > 0 {
            sink.anomalies(anomalies);
        }
        Ok(())
    }

    fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.inner.drain(sink)
    }
}

/// Lets pass what is known.
struct Known<'a> {
    shared: &'a Shared,
    fixed: Vec<(MetricId, FixedHistogram)>,
    sink: &'a mut dyn Sink,
}

#[deny(clippy::missing_trait_methods)]
impl Sink for Known<'_> {
    fn gauge(&mut self, metric: MetricId, value: f64) {
        if self.shared.knows(metric) {
            self.sink.gauge(metric, value);
        }
    }

    fn counter(&mut self, metric: MetricId, reading: Reading) {
        if self.shared.knows(metric) {
            self.sink.counter(metric, reading);
        }
    }

    fn histogram(&mut self, metric: MetricId, delta: &SparseHistogram) {
        let coarse = self.fixed.iter().find(|(of, _)| *of == metric);
        match coarse {
            // What the engine pushed is finer than what a metrics page says of the same interval.
            Some((_, coarse)) if delta.is_empty() => self.sink.fixed_histogram(metric, coarse),
            _ if self.shared.knows(metric) => self.sink.histogram(metric, delta),
            _ => {}
        }
    }

    fn fixed_histogram(&mut self, metric: MetricId, delta: &FixedHistogram) {
        self.sink.fixed_histogram(metric, delta);
    }

    fn steps(&mut self, rows: &[StepRow]) {
        self.sink.steps(rows);
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        self.sink.requests(rows);
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        self.sink.blocks(rows);
    }

    fn accesses(&mut self, rows: &[AccessRow]) {
        self.sink.accesses(rows);
    }

    fn epoch(&mut self, epoch: u64) {
        self.sink.epoch(epoch);
    }

    fn served_by(&mut self, member: &str) {
        self.sink.served_by(member);
    }

    fn rows_dropped(&mut self, rows: u64) {
        self.sink.rows_dropped(rows);
    }

    fn anomalies(&mut self, count: u64) {
        self.sink.anomalies(count);
    }
}
