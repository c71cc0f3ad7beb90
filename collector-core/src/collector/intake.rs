//! Takes what one source hands over, puts it right, and shapes it into samples and batches.

use super::sanity::{Sane, clamp_parts};
use super::spares::Spares;
use crate::catalog;
use crate::histogram::{FixedHistogram, SparseHistogram};
use crate::metric::{Kind, MetricDesc, Unit};
use crate::record::{AccessRow, Batch, BlockRow, RequestRow, Sample, StepRow, Table, Value};
use crate::run::{RunSchema, SourceIndex, Tables};
use crate::source::{MetricId, Reading, Sink, StatsSource};
use std::sync::Arc;

/// What a source reports may be anything: up to this it is believed, and what the collector itself counts never overflows.
const MOST: u64 = u64::MAX >> 1;

/// What the collector measures of a source itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SelfMetrics {
    pub(super) collect_ns: u64,
    pub(super) ticks_missed: u64,
    pub(super) rows_dropped: u64,
    pub(super) errors: u64,
    pub(super) anomalies: u64,
}

/// The metrics that every source's samples carry, whatever the source knows.
pub(super) static SELF_METRICS: [&MetricDesc; 5] = [
    &catalog::COLLECT_TIME,
    &catalog::TICKS_MISSED,
    &catalog::ROWS_DROPPED,
    &catalog::SOURCE_ERRORS,
    &catalog::ANOMALIES,
];

/// Where a source's metric goes.
#[derive(Debug, Clone, Copy)]
struct Target {
    column: usize,
    kind: Kind,
    unit: Unit,
    /// The last cumulative reading of the epoch.
    last: u64,
    /// The total since the start of the run; `None` until the counter was read once.
    total: Option<u64>,
}

/// One source's side of the collector.
#[derive(Debug)]
pub(super) struct Intake {
    source: SourceIndex,
    targets: Vec<Target>,
    pairs: Vec<(usize, usize)>,
    self_columns: [Option<usize>; 5],
    tables: Tables,
    epoch: Option<u64>,
    served_by: Option<Arc<str>>,
    /// What is to be the next sample. Where `filled` says no, a value is left over from an earlier one, for its memory.
    values: Vec<Value>,
    filled: Vec<bool>,
    /// Values of samples that exporters are done with.
    worn: Vec<Vec<Value>>,
    pub(super) metrics: SelfMetrics,
    pub(super) steps: Vec<StepRow>,
    pub(super) requests: Vec<RequestRow>,
    pub(super) blocks: Vec<BlockRow>,
    pub(super) accesses: Vec<AccessRow>,
    /// By table.
    spares: [Spares; Table::ALL.len()],
}

impl Intake {
    pub(super) fn new(
        source: SourceIndex,
        of: &dyn StatsSource,
        schema: &RunSchema,
        pairs: Vec<(usize, usize)>,
    ) -> Self {
        let column = |name: &str| schema.metrics.iter().position(|metric| metric.name == name);
        let target = |metric: &MetricDesc| Target {
            // Every metric of every source has a column; one past the end is never written.
            column: column(&metric.name).unwrap_or(usize::MAX),
            kind: metric.kind,
            unit: metric.unit,
            last: 0,
            total: None,
        };
        Self {
            source,
            targets: of.metrics().iter().map(target).collect(),
            pairs,
            self_columns: SELF_METRICS.map(|metric| column(&metric.name)),
            tables: schema.run.tables,
            epoch: None,
            served_by: None,
            values: vec![Value::Missing; schema.metrics.len()],
            filled: vec![false; schema.metrics.len()],
            worn: Vec::new(),
            metrics: SelfMetrics::default(),
            steps: Vec::new(),
            requests: Vec::new(),
            blocks: Vec::new(),
            accesses: Vec::new(),
            spares: Default::default(),
        }
    }

    /// Takes the sample that was handed over since the last call, and starts a new one.
    pub(super) fn take_sample(&mut self, monotonic_ns: u64, interval_ns: u64, overshoot_ns: u64) -> Sample {
        for (slot, filled) in self.values.iter_mut().zip(&mut self.filled) {
            if !std::mem::take(filled) {
                *slot = Value::Missing;
            }
        }
        self.metrics.anomalies += clamp_parts(&mut self.values, &self.pairs);
        let own = self.metrics;
        let own = [
            own.collect_ns,
            own.ticks_missed,
            own.rows_dropped,
            own.errors,
            own.anomalies,
        ];
        for (column, value) in self.self_columns.iter().zip(own) {
            if let Some(slot) = column.and_then(|column| self.values.get_mut(column)) {
                *slot = Value::Counter(value);
            }
        }
        let fresh = self
            .worn
            .pop()
            .filter(|worn| worn.len() == self.values.len())
            .unwrap_or_else(|| vec![Value::Missing; self.values.len()]);
        Sample {
            source: self.source,
            served_by: self.served_by.take(),
            monotonic_ns,
            interval_ns,
            overshoot_ns,
            merged: 1,
            values: std::mem::replace(&mut self.values, fresh),
        }
    }

    /// Takes back the values of samples that exporters are done with: their histograms' memory is used again.
    pub(super) fn wear(&mut self, values: Vec<Value>) {
        self.worn.push(values);
    }

    /// Takes the rows of every table that has at least `at_least` of them, as batches.
    pub(super) fn take_rows(&mut self, at_least: usize, mut each: impl FnMut(&Arc<Batch>)) {
        macro_rules! take {
            ($rows:ident, $table:ident) => {
                if self.$rows.len() >= at_least.max(1) {
                    let spares = &mut self.spares[Table::$table as usize];
                    let empty = match spares.reuse() {
                        Some(Batch::$table(_, mut rows)) => {
                            rows.clear();
                            rows
                        }
                        // As much memory, so that filling it does not grow it step by step.
                        _ => Vec::with_capacity(self.$rows.len()),
                    };
                    let rows = std::mem::replace(&mut self.$rows, empty);
                    let batch = Arc::new(Batch::$table(self.source, rows));
                    each(&batch);
                    spares.keep(batch);
                }
            };
        }
        take!(steps, Steps);
        take!(requests, Requests);
        take!(blocks, Blocks);
        take!(accesses, Accesses);
    }

    /// Finds a metric's target if the value is of its kind, else counts an anomaly.
    fn target(&mut self, metric: MetricId, kind: Kind) -> Option<&mut Target> {
        let found = self
            .targets
            .get_mut(metric.0)
            .filter(|target| target.kind == kind);
        if found.is_none() {
            self.metrics.anomalies += 1;
        }
        found
    }

    fn put(&mut self, column: usize, value: &Value) {
        let Some((slot, filled)) = self.slot(column) else {
            return;
        };
        if filled {
            let merged = slot.merge(value);
            self.metrics.anomalies += u64::from(!merged);
        } else {
            slot.clone_from(value);
        }
    }

    /// Where a metric's value goes, and whether this sample has one already; from here on it has.
    fn slot(&mut self, column: usize) -> Option<(&mut Value, bool)> {
        let filled = std::mem::replace(self.filled.get_mut(column)?, true);
        Some((self.values.get_mut(column)?, filled))
    }
}

/// Copies rows and puts them right; returns how many values were clamped.
fn keep<R: Copy + Sane>(rows: &[R], into: &mut Vec<R>) -> u64 {
    let from = into.len();
    into.extend_from_slice(rows);
    into.iter_mut().skip(from).map(Sane::clamp).sum()
}

impl Sink for Intake {
    fn gauge(&mut self, metric: MetricId, value: f64) {
        let Some(target) = self.target(metric, Kind::Gauge).copied() else {
            return;
        };
        let possible = match target.unit {
            Unit::Ratio => value.clamp(0.0, 1.0),
            Unit::Celsius | Unit::None => value,
            _ => value.max(0.0),
        };
        let impossible = !value.is_finite() || (possible - value).abs() > 0.0;
        if impossible {
            self.metrics.anomalies += 1;
        }
        if value.is_finite() {
            self.put(target.column, &Value::Gauge(possible));
        }
    }

    fn counter(&mut self, metric: MetricId, reading: Reading) {
        let Some(target) = self.target(metric, Kind::Counter) else {
            return;
        };
        let (added, went_back) = match reading {
            Reading::Delta(delta) => (delta, false),
            Reading::Cumulative(now) => {
                let last = target.last;
                target.last = last.max(now);
                (now.saturating_sub(last), now < last)
            }
        };
        let total = target.total.unwrap_or(0).saturating_add(added);
        target.total = Some(total);
        let column = target.column;
        self.metrics.anomalies += u64::from(went_back);
        self.put(column, &Value::Counter(total));
    }

    fn histogram(&mut self, metric: MetricId, delta: &SparseHistogram) {
        let Some(target) = self.target(metric, Kind::Histogram).copied() else {
            return;
        };
        // Two histograms of one metric in one sample add up: a late answer of a source that hung comes so.
        match self.slot(target.column) {
            Some((Value::Histogram(slot), false)) => slot.clone_from(delta),
            Some((Value::Histogram(slot), true)) => {
                let merged = slot.merge(delta).is_ok();
                if !merged {
                    slot.clone_from(delta);
                }
                self.metrics.anomalies += u64::from(!merged);
            }
            Some((slot, filled)) => {
                *slot = Value::Histogram(delta.clone());
                self.metrics.anomalies += u64::from(filled);
            }
            None => {}
        }
    }

    fn fixed_histogram(&mut self, metric: MetricId, delta: &FixedHistogram) {
        let Some(target) = self.target(metric, Kind::Histogram).copied() else {
            return;
        };
        self.put(target.column, &Value::Fixed(delta.clone()));
    }

    fn steps(&mut self, rows: &[StepRow]) {
        if self.tables.has(Table::Steps) {
            self.metrics.anomalies += keep(rows, &mut self.steps);
        }
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        if self.tables.has(Table::Requests) {
            self.metrics.anomalies += keep(rows, &mut self.requests);
        }
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        if self.tables.has(Table::Blocks) {
            self.metrics.anomalies += keep(rows, &mut self.blocks);
        }
    }

    fn accesses(&mut self, rows: &[AccessRow]) {
        if self.tables.has(Table::Accesses) {
            self.metrics.anomalies += keep(rows, &mut self.accesses);
        }
    }

    fn epoch(&mut self, epoch: u64) {
        if self.epoch.replace(epoch).is_some_and(|before| before != epoch) {
            self.targets.iter_mut().for_each(|target| target.last = 0);
        }
    }

    fn served_by(&mut self, member: &str) {
        if self.served_by.as_deref() != Some(member) {
            self.served_by = Some(member.into());
        }
    }

    fn rows_dropped(&mut self, rows: u64) {
        self.metrics.rows_dropped = self.metrics.rows_dropped.saturating_add(rows).min(MOST);
    }

    fn anomalies(&mut self, count: u64) {
        self.metrics.anomalies = self.metrics.anomalies.saturating_add(count).min(MOST);
    }
}
