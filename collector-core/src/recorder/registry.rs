//! What is recorded: every metric once, and the rings of the row tables.

use super::counter::{Counter, CounterCell, CounterWriter};
use super::gauge::{Gauge, GaugeCell};
use super::histogram::{Histogram, HistogramCell, HistogramWriter};
use super::rows::{ReaderState, Rings, RowWriter};
use super::source::RecorderSource;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::metric::{Kind, MetricDesc};
use crate::record::{AccessRow, BlockRow, RequestRow, StepRow};
use crate::run::SourceInfo;
use std::sync::{Arc, Mutex};

/// Hands out the handles that an engine records through, and the source that a collector reads.
///
/// Clones register into the same recorder. Asking for a metric again, with the same kind and unit, gives a further
/// handle of the same metric. New metrics can be registered until [`source`](Self::source) is called; further handles
/// of known ones, and row writers, at any time.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) info: SourceInfo,
    metrics: Mutex<Metrics>,
    pub(super) steps: Rings<StepRow>,
    pub(super) requests: Rings<RequestRow>,
    pub(super) blocks: Rings<BlockRow>,
    pub(super) accesses: Rings<AccessRow>,
    pub(super) reader: Arc<ReaderState>,
}

#[derive(Debug, Default)]
struct Metrics {
    descs: Vec<MetricDesc>,
    /// As long as `descs`.
    cells: Vec<Cell>,
    sealed: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Cell {
    Counter(Arc<CounterCell>),
    Gauge(Arc<GaugeCell>),
    Histogram(Arc<HistogramCell>),
}

impl Cell {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Arc::new(CounterCell::new())),
            Kind::Gauge => Self::Gauge(Arc::new(GaugeCell::new())),
            Kind::Histogram => Self::Histogram(Arc::new(HistogramCell::new())),
        }
    }
}

impl Recorder {
    /// Makes a recorder without metrics.
    pub fn new(info: SourceInfo) -> Self {
        Self {
            shared: Arc::new(Shared {
                info,
                metrics: Mutex::default(),
                steps: Rings::default(),
                requests: Rings::default(),
                blocks: Rings::default(),
                accesses: Rings::default(),
                reader: Arc::default(),
            }),
        }
    }

    /// Registers a counter that any thread may add to.
    ///
    /// # Errors
    /// [`Error::MetricKind`], [`Error::MetricName`], [`Error::MetricConflict`] when the descriptor is not a counter's,
    /// its name can't be a column's, or the name stands for another metric already; [`Error::RegisteredLate`] for
    /// a new metric after [`source`](Self::source).
    pub fn counter(&self, metric: &MetricDesc) -> Result<Counter> {
        self.counter_cell(metric).map(Counter::of)
    }

    /// Registers a counter with one owner.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    pub fn counter_writer(&self, metric: &MetricDesc) -> Result<CounterWriter> {
        self.counter_cell(metric)
            .map(|cell| CounterWriter::of(cell.writer()))
    }

    /// Registers a gauge.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    pub fn gauge(&self, metric: &MetricDesc) -> Result<Gauge> {
        match self.cell(metric, Kind::Gauge)? {
            Cell::Gauge(cell) => Ok(Gauge::of(cell)),
            _ => Err(conflict(metric)),
        }
    }

    /// Registers a histogram that any thread may record into.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    pub fn histogram(&self, metric: &MetricDesc) -> Result<Histogram> {
        self.histogram_cell(metric).map(Histogram::of)
    }

    /// Registers a histogram with one owner.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    pub fn histogram_writer(&self, metric: &MetricDesc) -> Result<HistogramWriter> {
        self.histogram_cell(metric)
            .map(|cell| HistogramWriter::of(cell.writer()))
    }

    /// Opens a ring for steps; a capacity of 0 is taken as 1. Rows of several writers keep their order each.
    pub fn steps(&self, capacity: usize) -> RowWriter<StepRow> {
        self.shared.steps.open(capacity, self.shared.reader.clone())
    }

    /// Opens a ring for finished requests, as [`steps`](Self::steps) does for steps.
    pub fn requests(&self, capacity: usize) -> RowWriter<RequestRow> {
        self.shared.requests.open(capacity, self.shared.reader.clone())
    }

    /// Opens a ring for block lives, as [`steps`](Self::steps) does for steps.
    pub fn blocks(&self, capacity: usize) -> RowWriter<BlockRow> {
        self.shared.blocks.open(capacity, self.shared.reader.clone())
    }

    /// Opens a ring for prefix-cache look-ups, as [`steps`](Self::steps) does for steps.
    pub fn accesses(&self, capacity: usize) -> RowWriter<AccessRow> {
        self.shared.accesses.open(capacity, self.shared.reader.clone())
    }

    /// Says how room is made when a ring is full under [`Overflow::Block`](super::Overflow::Block): the writer calls this
    /// on its own thread, and tries again, instead of waiting for another thread. For an engine that drives its collector
    /// by hand; false if it was said before.
    pub fn on_full(&self, make_room: impl Fn() + Send + Sync + 'static) -> bool {
        self.shared.reader.relieve_with(Box::new(make_room))
    }

    /// Takes the source that reads what is recorded; the list of metrics is final from here on.
    ///
    /// # Errors
    /// [`Error::SourceTaken`] the second time: deltas can be handed over only once.
    pub fn source(&self) -> Result<RecorderSource> {
        let mut metrics = lock(&self.shared.metrics);
        if !self.shared.reader.attach() {
            return Err(Error::SourceTaken {
                name: self.shared.info.name.clone(),
            });
        }
        metrics.sealed = true;
        Ok(RecorderSource::new(
            self.shared.clone(),
            metrics.descs.clone(),
            metrics.cells.clone(),
        ))
    }

    fn counter_cell(&self, metric: &MetricDesc) -> Result<Arc<CounterCell>> {
        match self.cell(metric, Kind::Counter)? {
            Cell::Counter(cell) => Ok(cell),
            _ => Err(conflict(metric)),
        }
    }

    fn histogram_cell(&self, metric: &MetricDesc) -> Result<Arc<HistogramCell>> {
        match self.cell(metric, Kind::Histogram)? {
            Cell::Histogram(cell) => Ok(cell),
            _ => Err(conflict(metric)),
        }
    }

    fn cell(&self, metric: &MetricDesc, wanted: Kind) -> Result<Cell> {
        metric.check_name()?;
        let name = || metric.name.to_string();
        if metric.kind != wanted {
            let found = metric.kind;
            return Err(Error::MetricKind {
                name: name(),
                found,
                wanted,
            });
        }
        let mut metrics = lock(&self.shared.metrics);
        if let Some(at) = metrics.descs.iter().position(|known| known.name == metric.name) {
            let same = metrics.descs[at].kind == metric.kind && metrics.descs[at].unit == metric.unit;
            return if same {
                Ok(metrics.cells[at].clone())
            } else {
                Err(conflict(metric))
            };
        }
        if metrics.sealed {
            return Err(Error::RegisteredLate { name: name() });
        }
        let cell = Cell::new(wanted);
        metrics.descs.push(metric.clone());
        metrics.cells.push(cell.clone());
        Ok(cell)
    }
}

fn conflict(metric: &MetricDesc) -> Error {
    Error::MetricConflict {
        name: metric.name.to_string(),
    }
}
