//! The engine's metrics: handles, and how a step and a request move them.

use super::StepContext;
use crate::block_pool::PoolTotals;
use crate::counts::StepCounts;
use crate::scheduler::Scheduler;
use kvlens_core::record::FinishReason;
use kvlens_core::recorder::{CounterWriter, Gauge, HistogramWriter, Recorder};
use kvlens_core::{RequestRow, Result, catalog};

/// What gauges show now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    running: u32,
    waiting: u32,
    swapped: u32,
    used: u32,
    cached: u32,
}

/// Declares the struct of handles and registers each under its catalog entry, in the catalog's order of kinds.
macro_rules! metrics {
    (
        gauges { $( $gauge:ident = $gauge_metric:ident, )* }
        counters { $( $counter:ident = $counter_metric:ident, )* }
        histograms { $( $histogram:ident = $histogram_metric:ident, )* }
    ) => {
        #[derive(Debug)]
        pub(super) struct Metrics {
            $( pub(super) $gauge: Gauge, )*
            $( pub(super) $counter: CounterWriter, )*
            $( pub(super) $histogram: HistogramWriter, )*
            /// Where almost hits are looked for: a counter that nothing counts would say 0.
            prefix_cache_almost_hits: Option<CounterWriter>,
            shown: Option<Shown>,
        }

        impl Metrics {
            pub(super) fn new(recorder: &Recorder, almost_hits: bool) -> Result<Self> {
                let almost_hits = almost_hits.then(|| recorder.counter_writer(&catalog::PREFIX_CACHE_ALMOST_HITS));
                Ok(Self {
                    $( $gauge: recorder.gauge(&catalog::$gauge_metric)?, )*
                    $( $counter: recorder.counter_writer(&catalog::$counter_metric)?, )*
                    $( $histogram: recorder.histogram_writer(&catalog::$histogram_metric)?, )*
                    prefix_cache_almost_hits: almost_hits.transpose()?,
                    shown: None,
                })
            }
        }
    };
}

metrics! {
    gauges {
        requests_running = REQUESTS_RUNNING,
        requests_waiting = REQUESTS_WAITING,
        requests_swapped = REQUESTS_SWAPPED,
        kv_blocks_total = KV_BLOCKS_TOTAL,
        kv_blocks_used = KV_BLOCKS_USED,
        kv_blocks_cached = KV_BLOCKS_CACHED,
        kv_blocks_free = KV_BLOCKS_FREE,
        kv_cache_usage = KV_CACHE_USAGE,
        kv_tokens_used = KV_TOKENS_USED,
    }
    counters {
        steps = STEPS,
        preemptions_recompute = PREEMPTIONS_RECOMPUTE,
        preemptions_swap = PREEMPTIONS_SWAP,
        kv_blocks_allocated = KV_BLOCKS_ALLOCATED,
        kv_blocks_evicted = KV_BLOCKS_EVICTED,
        kv_blocks_evicted_preempted = KV_BLOCKS_EVICTED_PREEMPTED,
        kv_blocks_copied = KV_BLOCKS_COPIED,
        kv_blocks_swapped_out = KV_BLOCKS_SWAPPED_OUT,
        kv_blocks_swapped_in = KV_BLOCKS_SWAPPED_IN,
        prefix_cache_queries = PREFIX_CACHE_QUERIES,
        prefix_cache_hits = PREFIX_CACHE_HITS,
        prefix_cache_queries_preempted = PREFIX_CACHE_QUERIES_PREEMPTED,
        prefix_cache_hits_preempted = PREFIX_CACHE_HITS_PREEMPTED,
        prompt_tokens = PROMPT_TOKENS,
        cached_prompt_tokens = CACHED_PROMPT_TOKENS,
        computed_prompt_tokens = COMPUTED_PROMPT_TOKENS,
        recomputed_tokens = RECOMPUTED_TOKENS,
        generation_tokens = GENERATION_TOKENS,
        requests_finished_stop = REQUESTS_FINISHED_STOP,
        requests_finished_length = REQUESTS_FINISHED_LENGTH,
        requests_finished_abort = REQUESTS_FINISHED_ABORT,
        requests_finished_error = REQUESTS_FINISHED_ERROR,
        requests_finished_other = REQUESTS_FINISHED_OTHER,
    }
    histograms {
        time_to_first_token = TIME_TO_FIRST_TOKEN,
        inter_token_latency = INTER_TOKEN_LATENCY,
        time_per_output_token = TIME_PER_OUTPUT_TOKEN,
        e2e_latency = E2E_LATENCY,
        queue_time = QUEUE_TIME,
        prefill_time = PREFILL_TIME,
        decode_time = DECODE_TIME,
        step_time = STEP_TIME,
        step_tokens = STEP_TOKENS,
        step_requests = STEP_REQUESTS,
        request_prompt_tokens = REQUEST_PROMPT_TOKENS,
        request_generation_tokens = REQUEST_GENERATION_TOKENS,
        kv_block_lifetime = KV_BLOCK_LIFETIME,
        kv_block_idle_before_evict = KV_BLOCK_IDLE_BEFORE_EVICT,
        kv_block_reuse_gap = KV_BLOCK_REUSE_GAP,
    }
}

impl Metrics {
    /// Moves everything that a step moves.
    pub(super) fn step(&mut self, scheduler: &Scheduler, context: &StepContext) {
        let counts = &scheduler.counts;
        self.steps.inc();
        self.step_time.record(context.times.took());
        self.step_tokens.record(u64::from(counts.tokens()));
        self.step_requests.record(u64::from(counts.requests()));
        self.count(counts, context.totals, context.before);
        self.gauges(scheduler);
    }

    pub(super) fn gauges(&mut self, scheduler: &Scheduler) {
        self.kv_tokens_used.set_u64(scheduler.kv_tokens_used);
        let pool = &scheduler.pool;
        let shown = Shown {
            running: scheduler.running(),
            waiting: scheduler.waiting(),
            swapped: scheduler.swapped(),
            used: pool.used(),
            cached: pool.cached(),
        };
        // In most steps nothing of this has changed.
        if self.shown == Some(shown) {
            return;
        }
        self.shown = Some(shown);
        self.requests_running.set_u64(u64::from(shown.running));
        self.requests_waiting.set_u64(u64::from(shown.waiting));
        self.requests_swapped.set_u64(u64::from(shown.swapped));
        self.kv_blocks_used.set_u64(u64::from(shown.used));
        self.kv_blocks_cached.set_u64(u64::from(shown.cached));
        self.kv_blocks_free.set_u64(u64::from(pool.free()));
        self.kv_cache_usage
            .set(f64::from(shown.used) / f64::from(pool.total()));
    }

    /// Adds counts to counters. In most steps only the first few are not 0.
    pub(super) fn count(&mut self, counts: &StepCounts, now: PoolTotals, before: PoolTotals) {
        self.generation_tokens.add(u64::from(counts.sampled));
        if now != before {
            self.kv_blocks_allocated.add(now.allocated - before.allocated);
            self.kv_blocks_evicted.add(now.evicted - before.evicted);
            self.kv_blocks_evicted_preempted
                .add(now.evicted_preempted - before.evicted_preempted);
        }
        if counts.prefill_requests + counts.admitted + counts.copied + counts.preempted() == 0 {
            return;
        }
        for (counter, count) in [
            (&mut self.preemptions_recompute, counts.preemptions_recompute),
            (&mut self.preemptions_swap, counts.preemptions_swap),
            (&mut self.kv_blocks_copied, counts.copied),
            (&mut self.kv_blocks_swapped_out, counts.swapped_out),
            (&mut self.kv_blocks_swapped_in, counts.swapped_in),
            (&mut self.prefix_cache_queries, counts.queries),
            (&mut self.prefix_cache_hits, counts.hits),
            (&mut self.prefix_cache_queries_preempted, counts.queries_preempted),
            (&mut self.prefix_cache_hits_preempted, counts.hits_preempted),
            (&mut self.prompt_tokens, counts.prompt_tokens),
            (&mut self.cached_prompt_tokens, counts.cached_prompt_tokens),
            (&mut self.computed_prompt_tokens, counts.computed_prompt_tokens),
            (&mut self.recomputed_tokens, counts.recomputed_tokens),
        ] {
            counter.add(u64::from(count));
        }
        if let Some(counter) = &mut self.prefix_cache_almost_hits {
            counter.add(u64::from(counts.almost_hits));
        }
    }

    /// Moves everything that an ended request moves.
    pub(super) fn request(&mut self, row: &RequestRow) {
        match row.finish_reason {
            FinishReason::Stop => self.requests_finished_stop.inc(),
            FinishReason::Length => self.requests_finished_length.inc(),
            FinishReason::Abort => self.requests_finished_abort.inc(),
            FinishReason::Error => self.requests_finished_error.inc(),
            _ => self.requests_finished_other.inc(),
        }
        if !matches!(row.finish_reason, FinishReason::Stop | FinishReason::Length) {
            return;
        }
        self.request_prompt_tokens.record(u64::from(row.prompt_tokens));
        self.request_generation_tokens
            .record(u64::from(row.generation_tokens));
        for (histogram, value) in [
            (&mut self.time_per_output_token, row.time_per_output_token_ns),
            (&mut self.e2e_latency, row.e2e_latency_ns),
            (&mut self.queue_time, row.queue_time_ns),
            (&mut self.prefill_time, row.prefill_time_ns),
            (&mut self.decode_time, row.decode_time_ns),
        ] {
            if let Some(value) = value.get() {
                histogram.record(value);
            }
        }
    }
}
