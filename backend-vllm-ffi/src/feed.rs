//! The pushing side: what the engine's thread runs.

use crate::error::{Error, Result};
use crate::figures::{BlockFigures, Origin, RequestFigures, StepFigures};
use crate::levels::Levels;
use crate::metrics::{COUNTERS, Count, GAUGES, HISTOGRAMS, Level, STANDARD, Spread};
use crate::rows;
use crate::shared::{Learned, MAX_CUSTOM_METRICS, Pull, Shared};
use crate::source::VllmSource;
use kvlens_core::histogram::FixedHistogram;
use kvlens_core::record::{BlockEnd, FinishReason};
use kvlens_core::recorder::{CounterWriter, Gauge, Histogram, HistogramWriter, Recorder, RowWriter};
use kvlens_core::{BlockRow, Clock, Kind, MetricDesc, RequestRow, SourceInfo, StepRow};
use std::sync::Arc;

/// How many engines of one run keep step numbers of their own; further ones share the last one's.
pub const MAX_ENGINES: usize = 256;

/// How many rows of each table wait for the collector at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSizes {
    /// Steps; 16,384 unless set: sixteen seconds of the fastest engine seen.
    pub steps: usize,
    /// Finished requests; 8,192 unless set.
    pub requests: usize,
    /// Block lives; 16,384 unless set.
    pub blocks: usize,
}

impl Default for QueueSizes {
    fn default() -> Self {
        Self {
            steps: 16_384,
            requests: 8_192,
            blocks: 16_384,
        }
    }
}

/// Takes what an engine says, step by step; made together with the [`VllmSource`] that a collector reads.
///
/// No call blocks, and none allocates: figures go into counters and histograms, rows into rings of fixed size, and what
/// does not fit there is dropped and counted.
///
/// ```
/// use kvlens_core::collector::CollectorBuilder;
/// use kvlens_core::memory::MemoryExporter;
/// use kvlens_core::{RunInfo, SourceInfo, SystemClock, catalog};
/// use kvlens_vllm_ffi::{FeedBuilder, StepFigures};
///
/// let clock = SystemClock::new();
/// let (mut feed, source) = FeedBuilder::new(SourceInfo::new("engine-0", "mine"), clock).build()?;
/// let memory = MemoryExporter::new();
/// let mut collector = CollectorBuilder::new(RunInfo::new("demo"))
///     .clock(clock)
///     .local_source(source)
///     .exporter(memory.clone())
///     .build()?;
///
/// let step = StepFigures { requests_running: Some(2), generation_tokens: Some(2), ..StepFigures::default() };
/// feed.step(&step, &[], &[0.011, 0.012]);
/// collector.tick();
/// let report = collector.finish();
/// assert_eq!(report.sources[0].counter(&catalog::GENERATION_TOKENS), Some(2));
/// assert_eq!(memory.steps().len(), 1);
/// # Ok::<(), kvlens_vllm_ffi::Error>(())
/// ```
#[derive(Debug)]
pub struct Feed {
    clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    counters: Vec<CounterWriter>,
    /// What the counters came to.
    totals: [u64; COUNTERS.len()],
    gauges: Vec<Gauge>,
    levels: Levels,
    histograms: Vec<HistogramWriter>,
    /// The same histograms, to look at.
    views: Vec<Histogram>,
    custom: Vec<Custom>,
    steps: RowWriter<StepRow>,
    requests: RowWriter<RequestRow>,
    blocks: RowWriter<BlockRow>,
    engines: Vec<EngineState>,
    learned: Learned,
    pub(crate) pages: crate::pages::Pages,
}

/// What is kept of an engine from one step to the next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EngineState {
    pub(crate) steps: u64,
    pub(crate) last_push_ns: u64,
    pub(crate) last_start_ns: u64,
    pub(crate) busy: bool,
    pub(crate) finished: u32,
}

#[derive(Debug)]
enum Custom {
    Counter(CounterWriter, u64),
    Gauge(Gauge),
    Histogram(HistogramWriter, Histogram),
}

/// Puts a [`Feed`] and its [`VllmSource`] together.
#[derive(Debug)]
#[must_use]
pub struct FeedBuilder {
    info: SourceInfo,
    clock: Arc<dyn Clock>,
    queues: QueueSizes,
    custom: Vec<MetricDesc>,
}

impl FeedBuilder {
    /// Starts with the standard metrics; `clock` has to be the collector's.
    pub fn new(info: SourceInfo, clock: impl Clock) -> Self {
        Self {
            info,
            clock: Arc::new(clock),
            queues: QueueSizes::default(),
            custom: Vec::new(),
        }
    }

    /// Sets how many rows may wait.
    pub fn queues(mut self, queues: QueueSizes) -> Self {
        self.queues = queues;
        self
    }

    /// Sets the clock, which has to be the collector's.
    pub fn on_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a metric of the caller's own; returns the number by which it is set.
    ///
    /// # Errors
    /// [`Error::TooManyMetrics`] when there is no room, [`Error::Core`] when the name can't be a column's.
    pub fn declare(&mut self, metric: MetricDesc) -> Result<usize> {
        if self.custom.len() >= MAX_CUSTOM_METRICS {
            return Err(Error::TooManyMetrics {
                limit: MAX_CUSTOM_METRICS,
            });
        }
        metric.check_name()?;
        let same = |known: &MetricDesc| known.name == metric.name;
        if crate::metrics::standard().any(same) || self.custom.iter().any(same) {
            let name = metric.name.to_string();
            return Err(kvlens_core::Error::MetricConflict { name }.into());
        }
        self.custom.push(metric);
        Ok(self.custom.len() - 1)
    }

    /// Makes both sides.
    ///
    /// # Errors
    /// [`Error::Core`] when a metric can't be registered.
    pub fn build(self) -> Result<(Feed, VllmSource)> {
        let recorder = Recorder::new(self.info);
        let counters = COUNTERS.iter().map(|metric| recorder.counter_writer(metric));
        let counters = counters.collect::<kvlens_core::Result<_>>()?;
        let gauges = GAUGES.iter().map(|metric| recorder.gauge(metric));
        let gauges = gauges.collect::<kvlens_core::Result<_>>()?;
        let histograms = HISTOGRAMS.iter().map(|metric| recorder.histogram_writer(metric));
        let histograms = histograms.collect::<kvlens_core::Result<_>>()?;
        let views = HISTOGRAMS.iter().map(|metric| recorder.histogram(metric));
        let views = views.collect::<kvlens_core::Result<_>>()?;
        let custom = self
            .custom
            .iter()
            .map(|metric| Custom::register(&recorder, metric));
        let custom = custom.collect::<Result<_>>()?;
        let shared = Arc::new(Shared::default());
        let feed = Feed {
            clock: self.clock,
            shared: shared.clone(),
            counters,
            totals: [0; COUNTERS.len()],
            gauges,
            histograms,
            views,
            custom,
            steps: recorder.steps(self.queues.steps),
            requests: recorder.requests(self.queues.requests),
            blocks: recorder.blocks(self.queues.blocks),
            engines: vec![EngineState::default(); MAX_ENGINES],
            levels: Levels::default(),
            learned: Learned::default(),
            pages: crate::pages::Pages::default(),
        };
        Ok((feed, VllmSource::new(recorder.source()?, shared)))
    }
}

impl Custom {
    fn register(recorder: &Recorder, metric: &MetricDesc) -> Result<Self> {
        Ok(match metric.kind {
            Kind::Counter => Self::Counter(recorder.counter_writer(metric)?, 0),
            Kind::Gauge => Self::Gauge(recorder.gauge(metric)?),
            Kind::Histogram => {
                Self::Histogram(recorder.histogram_writer(metric)?, recorder.histogram(metric)?)
            }
        })
    }
}

impl Feed {
    /// Takes a step, with its latencies in seconds.
    pub fn step(&mut self, step: &StepFigures, time_to_first_token_s: &[f64], inter_token_latency_s: &[f64]) {
        let now = self.clock.monotonic_ns();
        let engine_at = engine_at(step.engine_index);
        self.shared.set_origin(step.origin);
        self.take_gauges(engine_at, step);
        self.take_counts(step);
        self.take_times(Spread::FirstToken, time_to_first_token_s);
        self.take_times(Spread::InterToken, inter_token_latency_s);
        if !step.polled {
            self.count(Count::Steps, Some(1));
            if let Some(engine) = self.engines.get_mut(engine_at) {
                let row = rows::step(step, engine, now, inter_token_latency_s.len());
                self.steps.push(row);
                if let Some(prefill) = row.prefill_tokens.get() {
                    self.record(
                        Spread::StepTokens,
                        u64::from(prefill) + u64::from(row.decode_tokens),
                    );
                }
                if let Some(time) = row.step_time_ns.get() {
                    self.record(Spread::StepTime, time);
                }
            }
        }
        self.learn();
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &RequestFigures) {
        let now = self.clock.monotonic_ns();
        let (row, clamped) = rows::request(request, now);
        let times = [
            (Spread::PerOutputToken, row.time_per_output_token_ns),
            (Spread::EndToEnd, row.e2e_latency_ns),
            (Spread::Queue, row.queue_time_ns),
            (Spread::Prefill, row.prefill_time_ns),
            (Spread::Decode, row.decode_time_ns),
        ];
        for (spread, time) in times {
            if let Some(time) = time.get() {
                self.record(spread, time);
            }
        }
        self.record(Spread::RequestPrompt, request.prompt_tokens);
        self.record(Spread::RequestGeneration, request.generation_tokens);
        for reason in [
            Count::FinishedStop,
            Count::FinishedLength,
            Count::FinishedAbort,
            Count::FinishedError,
            Count::FinishedOther,
        ] {
            self.count(
                reason,
                Some(u64::from(reason == counter_of(request.finish_reason))),
            );
        }
        if let Some(engine) = self.engines.get_mut(engine_at(request.engine_index)) {
            engine.finished = engine.finished.saturating_add(1);
        }
        self.requests.push(row);
        self.anomalies(clamped);
        self.learn();
    }

    /// Takes the end of a block's life, with the seconds between its uses.
    pub fn block(&mut self, block: &BlockFigures, reuse_gap_s: &[f64]) {
        let now = self.clock.monotonic_ns();
        let (row, clamped) = rows::block(block, reuse_gap_s, now);
        // A censored life says only how long it was at least.
        if row.end != BlockEnd::Censored {
            self.record(Spread::BlockLifetime, row.lifetime_ns);
        }
        if let Some(idle) = row.idle_ns.get() {
            self.record(Spread::BlockIdle, idle);
        }
        self.take_times(Spread::BlockReuseGap, reuse_gap_s);
        self.blocks.push(row);
        self.anomalies(clamped);
        self.learn();
    }

    /// Sets a gauge of the caller's own.
    ///
    /// # Errors
    /// [`Error::UnknownMetric`] for a number that stands for no gauge.
    pub fn set_gauge(&mut self, id: usize, value: f64) -> Result<()> {
        match self.custom.get(id) {
            Some(Custom::Gauge(gauge)) => gauge.set(value),
            _ => {
                return Err(Error::UnknownMetric {
                    id,
                    wanted: Kind::Gauge,
                });
            }
        }
        self.learn_custom(id);
        Ok(())
    }

    /// Adds to a counter of the caller's own.
    ///
    /// # Errors
    /// [`Error::UnknownMetric`] for a number that stands for no counter.
    pub fn add_counter(&mut self, id: usize, value: u64) -> Result<()> {
        match self.custom.get_mut(id) {
            Some(Custom::Counter(counter, total)) => {
                counter.add(value);
                *total = total.saturating_add(value);
            }
            _ => {
                return Err(Error::UnknownMetric {
                    id,
                    wanted: Kind::Counter,
                });
            }
        }
        self.learn_custom(id);
        Ok(())
    }

    /// Records values into a histogram of the caller's own.
    ///
    /// # Errors
    /// [`Error::UnknownMetric`] for a number that stands for no histogram.
    pub fn record_histogram(&mut self, id: usize, values: &[u64]) -> Result<()> {
        match self.custom.get_mut(id) {
            Some(Custom::Histogram(histogram, _)) => values.iter().for_each(|value| histogram.record(*value)),
            _ => {
                return Err(Error::UnknownMetric {
                    id,
                    wanted: Kind::Histogram,
                });
            }
        }
        self.learn_custom(id);
        Ok(())
    }

    /// Sets what is called before every sample, from the collector's thread: an engine that would rather be asked.
    pub fn set_pull(&self, pull: Option<Pull>) {
        self.shared.set_pull(pull);
    }

    /// Adds values that the caller had to leave out or change.
    pub fn anomalies(&mut self, count: u64) {
        if count > 0 {
            self.shared.add_anomalies(count);
        }
    }

    fn take_gauges(&mut self, engine: usize, step: &StepFigures) {
        let used = step.kv_blocks_used.or_else(|| rows::blocks_used(step));
        let levels = [
            (Level::Running, step.requests_running),
            (Level::Waiting, step.requests_waiting),
            (Level::Deferred, step.requests_deferred),
            (Level::Swapped, step.requests_swapped),
            (Level::BlocksTotal, step.kv_blocks_total),
            (Level::BlocksUsed, used),
            (Level::BlocksCached, step.kv_blocks_cached),
            (Level::BlocksFree, step.kv_blocks_free),
        ];
        for (level, value) in levels {
            if let Some(value) = value {
                self.gauge(engine, level, rows::float(value));
            }
        }
        for (level, value) in [
            (Level::Usage, step.kv_cache_usage),
            (Level::HitRate, step.prefix_cache_hit_rate),
        ] {
            if let Some(value) = value {
                self.gauge(engine, level, value);
            }
        }
    }

    fn take_counts(&mut self, step: &StepFigures) {
        self.count(Count::Preemptions, step.preemptions);
        self.count(Count::PrefixQueries, step.prefix_cache_queries);
        self.count(Count::PrefixHits, step.prefix_cache_hits);
        self.count(Count::PrefixQueriesPreempted, step.prefix_cache_queries_preempted);
        self.count(Count::PrefixHitsPreempted, step.prefix_cache_hits_preempted);
        self.count(Count::ExternalQueries, step.external_prefix_cache_queries);
        self.count(Count::ExternalHits, step.external_prefix_cache_hits);
        self.count(Count::PromptTokens, step.prompt_tokens);
        self.count(Count::CachedPromptTokens, step.cached_prompt_tokens);
        self.count(Count::ComputedPromptTokens, step.computed_prompt_tokens);
        self.count(Count::GenerationTokens, step.generation_tokens);
        self.count(Count::Drafts, step.spec_decode_drafts);
        self.count(Count::DraftTokens, step.spec_decode_draft_tokens);
        self.count(Count::AcceptedTokens, step.spec_decode_accepted_tokens);
    }

    fn take_times(&mut self, spread: Spread, seconds: &[f64]) {
        if seconds.is_empty() {
            return;
        }
        self.learned.add(COUNTERS.len() + GAUGES.len() + spread as usize);
        let mut odd = 0;
        if let Some(histogram) = self.histograms.get_mut(spread as usize) {
            for &seconds in seconds {
                match rows::nanoseconds(seconds) {
                    (Some(time), clamped) => {
                        histogram.record(time);
                        odd += u64::from(clamped);
                    }
                    (None, _) => odd += 1,
                }
            }
        }
        self.anomalies(odd);
    }

    #[inline]
    fn count(&mut self, counter: Count, value: Option<u64>) {
        let Some(value) = value else { return };
        let at = counter as usize;
        self.learned.add(at);
        if value > 0
            && let (Some(writer), Some(total)) = (self.counters.get_mut(at), self.totals.get_mut(at))
        {
            writer.add(value);
            *total = total.saturating_add(value);
        }
    }

    #[inline]
    fn gauge(&mut self, engine: usize, level: Level, value: f64) {
        let of_all = self.levels.put(engine, level, value);
        self.gauge_at(level as usize, of_all);
    }

    #[inline]
    fn record(&mut self, spread: Spread, value: u64) {
        self.learned.add(COUNTERS.len() + GAUGES.len() + spread as usize);
        if let Some(histogram) = self.histograms.get_mut(spread as usize) {
            histogram.record(value);
        }
    }

    /// Adds what a page says is missing, by the counter's place.
    pub(crate) fn catch_up(&mut self, at: usize, missing: u64) {
        self.learned.add(at);
        if let (Some(writer), Some(total)) = (self.counters.get_mut(at), self.totals.get_mut(at)) {
            writer.add(missing);
            *total = total.saturating_add(missing);
        }
    }

    /// Sets a gauge by its place.
    pub(crate) fn gauge_at(&mut self, at: usize, value: f64) {
        self.learned.add(COUNTERS.len() + at);
        if let Some(gauge) = self.gauges.get(at) {
            gauge.set(value);
        }
    }

    /// What a counter came to.
    pub(crate) fn total(&self, counter: usize) -> u64 {
        self.totals.get(counter).copied().unwrap_or(0)
    }

    /// Publishes which metrics are known.
    pub(crate) fn learn(&mut self) {
        self.shared.learn(self.learned.bits());
    }

    pub(crate) fn learn_metric(&mut self, metric: usize) {
        self.learned.add(metric);
    }

    fn learn_custom(&mut self, id: usize) {
        self.learned.add(STANDARD + id);
        self.learn();
    }

    pub(crate) fn set_origin(&self, origin: Origin) {
        self.shared.set_origin(origin);
    }

    /// What metrics pages recorded of a metric, by its place in the source's list.
    pub(crate) fn pages_fixed(&self, metric: usize) -> Option<&FixedHistogram> {
        self.pages.fixed(metric)
    }

    /// Looks at a metric's present value, by its place in the source's list.
    pub(crate) fn look(&self, metric: usize) -> Look<'_> {
        let (gauges, histograms) = (COUNTERS.len(), COUNTERS.len() + GAUGES.len());
        if metric < gauges {
            Look::Counter(self.total(metric))
        } else if metric < histograms {
            self.gauges
                .get(metric - gauges)
                .map_or(Look::Nothing, Look::Gauge)
        } else if metric < STANDARD {
            self.views
                .get(metric - histograms)
                .map_or(Look::Nothing, Look::Histogram)
        } else {
            match self.custom.get(metric - STANDARD) {
                Some(Custom::Counter(_, total)) => Look::Counter(*total),
                Some(Custom::Gauge(gauge)) => Look::Gauge(gauge),
                Some(Custom::Histogram(_, view)) => Look::Histogram(view),
                None => Look::Nothing,
            }
        }
    }
}

/// A metric's present value.
pub(crate) enum Look<'a> {
    Counter(u64),
    Gauge(&'a Gauge),
    Histogram(&'a Histogram),
    Nothing,
}

/// Where an engine's state is kept.
fn engine_at(engine_index: u32) -> usize {
    usize::try_from(engine_index).map_or(MAX_ENGINES - 1, |at| at.min(MAX_ENGINES - 1))
}

fn counter_of(reason: FinishReason) -> Count {
    match reason {
        FinishReason::Stop => Count::FinishedStop,
        FinishReason::Length => Count::FinishedLength,
        FinishReason::Abort => Count::FinishedAbort,
        FinishReason::Error => Count::FinishedError,
        _ => Count::FinishedOther,
    }
}
