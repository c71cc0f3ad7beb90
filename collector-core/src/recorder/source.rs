//! The collector's side of a recorder.

use super::registry::{Cell, Shared};
use crate::error::Result;
use crate::histogram::SparseHistogram;
use crate::metric::MetricDesc;
use crate::run::SourceInfo;
use crate::source::{MetricId, Reading, Sink, StatsSource};
use std::sync::Arc;

/// Reads what a [`Recorder`](super::Recorder)'s handles recorded.
///
/// Sampling and draining allocate nothing once the buffers have grown to what an interval holds. Dropping it lets
/// writers that wait for room go on; see [`Overflow::Block`](super::Overflow::Block).
#[derive(Debug)]
pub struct RecorderSource {
    shared: Arc<Shared>,
    metrics: Vec<MetricDesc>,
    /// As long as `metrics`.
    cells: Vec<Cell>,
    delta: SparseHistogram,
}

impl RecorderSource {
    pub(super) fn new(shared: Arc<Shared>, metrics: Vec<MetricDesc>, cells: Vec<Cell>) -> Self {
        Self {
            shared,
            metrics,
            cells,
            delta: SparseHistogram::default(),
        }
    }
}

impl StatsSource for RecorderSource {
    fn info(&self) -> &SourceInfo {
        &self.shared.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let by_writer = self.shared.reader.is_driven();
        for (id, cell) in self.cells.iter().enumerate() {
            let id = MetricId(id);
            match cell {
                Cell::Counter(cell) => sink.counter(id, Reading::Cumulative(cell.read())),
                Cell::Gauge(cell) => {
                    if let Some(value) = cell.read() {
                        sink.gauge(id, value);
                    }
                }
                Cell::Histogram(cell) => {
                    cell.delta(&mut self.delta, by_writer);
                    sink.histogram(id, &self.delta);
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let mut dropped = self.shared.steps.drain(|rows| sink.steps(rows));
        dropped += self.shared.requests.drain(|rows| sink.requests(rows));
        dropped += self.shared.blocks.drain(|rows| sink.blocks(rows));
        dropped += self.shared.accesses.drain(|rows| sink.accesses(rows));
        if dropped > 0 {
            sink.rows_dropped(dropped);
        }
        Ok(())
    }
}

impl Drop for RecorderSource {
    fn drop(&mut self) {
        self.shared.reader.detach();
    }
}
