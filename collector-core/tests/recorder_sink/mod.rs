//! A sink that keeps what it is handed, shared by the recorder's tests.

use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::{AccessRow, BlockRow, MetricId, Reading, RequestRow, Sink, StepRow};
use std::collections::BTreeMap;

/// Keeps the last value of every metric, the sum of all histogram deltas, and all rows.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) gauges: BTreeMap<usize, f64>,
    pub(crate) counters: BTreeMap<usize, u64>,
    pub(crate) histograms: BTreeMap<usize, SparseHistogram>,
    pub(crate) last_delta: BTreeMap<usize, SparseHistogram>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) requests: usize,
    pub(crate) blocks: usize,
    pub(crate) accesses: usize,
    pub(crate) dropped: u64,
}

impl Sink for Kept {
    fn gauge(&mut self, metric: MetricId, value: f64) {
        self.gauges.insert(metric.0, value);
    }

    fn counter(&mut self, metric: MetricId, reading: Reading) {
        let Reading::Cumulative(total) = reading else {
            panic!("a recorder hands over totals");
        };
        self.counters.insert(metric.0, total);
    }

    fn histogram(&mut self, metric: MetricId, delta: &SparseHistogram) {
        self.histograms.entry(metric.0).or_default().merge(delta).unwrap();
        self.last_delta.insert(metric.0, delta.clone());
    }

    fn fixed_histogram(&mut self, _metric: MetricId, _delta: &FixedHistogram) {
        panic!("a recorder has no fixed histograms");
    }

    fn steps(&mut self, rows: &[StepRow]) {
        self.steps.extend_from_slice(rows);
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        self.requests += rows.len();
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        self.blocks += rows.len();
    }

    fn accesses(&mut self, rows: &[AccessRow]) {
        self.accesses += rows.len();
    }

    fn epoch(&mut self, _epoch: u64) {}

    fn served_by(&mut self, _member: &str) {}

    fn rows_dropped(&mut self, rows: u64) {
        self.dropped += rows;
    }

    fn anomalies(&mut self, _count: u64) {}
}
