//! What the engine records about itself.

mod metrics;
mod rows;

use crate::block_pool::{BlockPool, Lives, PoolTotals};
use crate::config::EngineConfig;
use crate::device::DeviceTime;
use crate::error::Result;
use crate::scheduler::{Ended, Scheduler};
use kvlens_core::record::{AccessRow, BlockEnd, Opt64};
use kvlens_core::recorder::{Overflow, Recorder, RowWriter};
use kvlens_core::{BlockRow, RequestRow, StepRow, Table, Tables};
use metrics::Metrics;
use std::collections::VecDeque;

/// Step rows that wait for the collector unless said otherwise: 6 MiB.
pub const DEFAULT_STEP_ROWS: usize = 32_768;
/// Request rows that wait for the collector unless said otherwise.
pub const DEFAULT_REQUEST_ROWS: usize = 8_192;
/// Block rows that wait for the collector unless said otherwise.
pub const DEFAULT_BLOCK_ROWS: usize = 65_536;

/// Look-up rows that wait for the collector unless said otherwise.
pub const DEFAULT_ACCESS_ROWS: usize = 65_536;

/// What is recorded, and what happens when the collector lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordingOptions {
    /// The tables; without any, nothing is recorded at all.
    pub tables: Tables,
    /// What happens to a row when its ring is full.
    pub overflow: Overflow,
    /// Whether to look, for each request, how far a block in the cache agrees with the first one that it misses: a copy of
    /// all cached tokens is kept for it, in order, which costs the engine some microseconds a block.
    pub almost_hits: bool,
    /// Capacity of the ring of step rows.
    pub step_rows: usize,
    /// Capacity of the ring of request rows.
    pub request_rows: usize,
    /// Capacity of the ring of block rows.
    pub block_rows: usize,
    /// Capacity of the ring of look-up rows.
    pub access_rows: usize,
}

impl RecordingOptions {
    /// Records some tables, with default capacities, dropping what overflows.
    pub fn new(tables: Tables) -> Self {
        Self {
            tables,
            ..Self::default()
        }
    }

    /// Sets what happens to a row when its ring is full.
    #[must_use]
    pub fn with_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Looks for almost hits.
    #[must_use]
    pub fn with_almost_hits(mut self) -> Self {
        self.almost_hits = true;
        self
    }
}

impl Default for RecordingOptions {
    fn default() -> Self {
        Self {
            tables: Tables::ALL,
            overflow: Overflow::Drop,
            almost_hits: false,
            step_rows: DEFAULT_STEP_ROWS,
            request_rows: DEFAULT_REQUEST_ROWS,
            block_rows: DEFAULT_BLOCK_ROWS,
            access_rows: DEFAULT_ACCESS_ROWS,
        }
    }
}

/// Where an engine's figures go, if anywhere.
///
/// Latency histograms hold requests that ended on a stop token or at their limit; the block histograms hold the block
/// lives that are sampled ([`EngineConfig::block_sample_every`]).
#[derive(Debug, Default)]
pub struct Recording {
    live: Option<Box<Live>>,
}

/// An engine's handles.
#[derive(Debug)]
pub(crate) struct Live {
    tables: Tables,
    almost_hits: bool,
    metrics: Metrics,
    steps: RowWriter<StepRow>,
    requests: RowWriter<RequestRow>,
    blocks: RowWriter<BlockRow>,
    accesses: RowWriter<AccessRow>,
    /// Rows whose device time is still to come, oldest first.
    pending: VecDeque<StepRow>,
    steps_late: usize,
    engine_index: u32,
    totals: PoolTotals,
    /// A time between tokens, and how many of this step were as long so far.
    gap: u64,
    gaps: u64,
}

/// When a step was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepTimes {
    pub(crate) step: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) scheduled: Option<u64>,
}

impl StepTimes {
    const fn took(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What a step's figures are made of, besides the scheduler's counts.
#[derive(Debug, Clone, Copy)]
struct StepContext {
    times: StepTimes,
    device: Option<DeviceTime>,
    /// What the pool has done, now and before the step.
    totals: PoolTotals,
    before: PoolTotals,
    engine_index: u32,
}

impl Recording {
    /// Records nothing, and skips the work.
    pub fn off() -> Self {
        Self::default()
    }

    /// Records through a recorder; the engine registers its metrics there, so that comes before the recorder's
    /// [`source`](Recorder::source) is taken.
    ///
    /// # Errors
    /// [`Error::Recording`](crate::Error::Recording) if a metric can't be registered.
    pub fn new(recorder: &Recorder, options: RecordingOptions) -> Result<Self> {
        let RecordingOptions { tables, overflow, .. } = options;
        if tables == Tables::NONE {
            return Ok(Self::off());
        }
        let mut live = Live {
            tables,
            almost_hits: options.almost_hits,
            metrics: Metrics::new(recorder, options.almost_hits)?,
            steps: RowWriter::noop(),
            requests: RowWriter::noop(),
            blocks: RowWriter::noop(),
            accesses: RowWriter::noop(),
            pending: VecDeque::new(),
            steps_late: 0,
            engine_index: 0,
            totals: PoolTotals::default(),
            gap: 0,
            gaps: 0,
        };
        if tables.has(Table::Steps) {
            live.steps = recorder.steps(options.step_rows).with_overflow(overflow);
        }
        if tables.has(Table::Requests) {
            live.requests = recorder.requests(options.request_rows).with_overflow(overflow);
        }
        if tables.has(Table::Blocks) {
            live.blocks = recorder.blocks(options.block_rows).with_overflow(overflow);
        }
        if tables.has(Table::Accesses) {
            live.accesses = recorder.accesses(options.access_rows).with_overflow(overflow);
        }
        Ok(Self {
            live: Some(Box::new(live)),
        })
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.live.is_some()
    }

    /// The pool of an engine, which keeps what this recording wants to know.
    pub(crate) fn pool(&self, config: &EngineConfig) -> BlockPool {
        let wanted = |live: &Live| live.tables.has(Table::Blocks) || live.tables.has(Table::Samples);
        let lives = match &self.live {
            Some(live) if wanted(live) => Lives::new(config.block_sample_every, config.engine_index),
            _ => Lives::off(),
        };
        let mut pool = BlockPool::new(config.kv_blocks, lives);
        if self.live.as_ref().is_some_and(|live| live.almost_hits) {
            pool.keep_contents();
        }
        pool
    }

    /// Of how many block contents one has its look-ups recorded; 0 for none.
    pub(crate) fn access_sample_every(&self, config: &EngineConfig) -> u32 {
        let wanted = self
            .live
            .as_ref()
            .is_some_and(|live| live.tables.has(Table::Accesses));
        if wanted { config.access_sample_every } else { 0 }
    }

    /// Takes the handles, set up for a device and an engine.
    pub(crate) fn begin(self, config: &EngineConfig, steps_late: u32) -> Option<Box<Live>> {
        let mut live = self.live?;
        live.engine_index = config.engine_index;
        live.steps_late = steps_late as usize;
        live.metrics.kv_blocks_total.set_u64(u64::from(config.kv_blocks));
        Some(live)
    }
}

impl Live {
    /// Records the time of a request's first token, or between two.
    ///
    /// Nearly all requests of a step have had their last token in the same earlier step: equal gaps are recorded at once.
    #[inline]
    pub(crate) fn token(&mut self, arrival: u64, gap: Option<u64>, now: u64) {
        match gap {
            Some(gap) if gap == self.gap => self.gaps += 1,
            Some(gap) => {
                self.record_gaps();
                (self.gap, self.gaps) = (gap, 1);
            }
            None => self
                .metrics
                .time_to_first_token
                .record(now.saturating_sub(arrival)),
        }
    }

    #[inline]
    fn record_gaps(&mut self) {
        let gaps = std::mem::take(&mut self.gaps);
        self.metrics.inter_token_latency.record_n(self.gap, gaps);
    }

    /// Records a request that has ended.
    pub(crate) fn request(&mut self, scheduler: &Scheduler, ended: Ended, now: u64) {
        let row = rows::request(&scheduler.slab[ended.slot], ended.reason, now, self.engine_index);
        self.metrics.request(&row);
        self.requests.push(row);
    }

    /// Records a step that is over: what the scheduler counted, and the lives that ended in it.
    pub(crate) fn step(&mut self, scheduler: &mut Scheduler, times: StepTimes, device: &[DeviceTime]) {
        self.record_gaps();
        let totals = scheduler.pool.totals();
        let context = StepContext {
            times,
            device: device.iter().copied().find(|time| time.step == times.step),
            totals,
            before: self.totals,
            engine_index: self.engine_index,
        };
        self.metrics.step(scheduler, &context);
        self.totals = totals;
        if self.tables.has(Table::Steps) {
            if self.steps_late == 0 {
                self.steps.push(rows::step(scheduler, &context));
            } else {
                self.push_late(rows::step(scheduler, &context), device);
            }
        }
        self.details(scheduler);
    }

    /// Passes steps' rows on, once their device time is known or no longer to be expected.
    fn push_late(&mut self, row: StepRow, device: &[DeviceTime]) {
        self.pending.push_back(row);
        self.device_times(device);
        while self.pending.len() > self.steps_late {
            if let Some(row) = self.pending.pop_front() {
                self.steps.push(row);
            }
        }
    }

    fn device_times(&mut self, device: &[DeviceTime]) {
        for row in &mut self.pending {
            if let Some(time) = device.iter().find(|time| time.step == row.step) {
                row.device_time_ns = Opt64::some(time.device_ns);
                row.energy_mj = Opt64::from(time.energy_mj);
            }
        }
    }

    /// Records the lives of blocks that ended, and look-ups.
    fn details(&mut self, scheduler: &mut Scheduler) {
        for row in scheduler.lookups.drain(..) {
            self.accesses.push(row);
        }
        let lives = scheduler.pool.lives_mut();
        for gap in lives.take_gaps() {
            self.metrics.kv_block_reuse_gap.record(gap);
        }
        for row in lives.take_rows() {
            if matches!(row.end, BlockEnd::Evicted | BlockEnd::Reallocated) {
                self.metrics.kv_block_lifetime.record(row.lifetime_ns);
            }
            if let (BlockEnd::Evicted, Some(idle)) = (row.end, row.idle_ns.get()) {
                self.metrics.kv_block_idle_before_evict.record(idle);
            }
            self.blocks.push(row);
        }
    }

    /// Records what is still open at the end: rows that waited for device times, lives of blocks, counts without a step.
    pub(crate) fn finish(&mut self, scheduler: &mut Scheduler, device: &[DeviceTime]) {
        let totals = scheduler.pool.totals();
        self.metrics.count(&scheduler.counts, totals, self.totals);
        self.metrics.gauges(scheduler);
        self.totals = totals;
        self.device_times(device);
        while let Some(row) = self.pending.pop_front() {
            self.steps.push(row);
        }
        self.details(scheduler);
    }
}
