//! The published Mooncake conversation trace through the replay driver: exact totals, and every invariant at every step.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::record::{AccessRow, FinishReason};
use kvlens_core::recorder::{Overflow, Recorder, RecorderSource};
use kvlens_core::{
    BlockRow, ManualClock, MetricId, Reading, RequestRow, Sink, SourceInfo, StatsSource, StepRow, Tables,
};
use kvlens_native::device::sim::{SimDevice, SimSpec};
use kvlens_native::replay::{Pace, Replay, ReplayStep, ReplayTotals};
use kvlens_native::trace::{TraceOptions, TraceReader};
use kvlens_native::workload::Arrivals;
use kvlens_native::{Engine, EngineConfig, Preemption, Recording, RecordingOptions};

/// The trace; `None`, said on stderr, where it is absent.
fn trace() -> Option<PathBuf> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces/mooncake_conversation.jsonl");
    if !path.exists() {
        eprintln!(
            "SKIPPED: {} is absent; put the published traces there to run this test",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// Sums over all rows of a run.
#[derive(Debug, Default)]
struct Sums {
    steps: u64,
    queries: u64,
    hits: u64,
    prompt_tokens: u64,
    generation_tokens: u64,
    computed_tokens: u64,
    recomputed_tokens: u64,
    preemptions: u64,
    swapped_out: u64,
    swapped_in: u64,
    allocated: u64,
    requests: u64,
    request_prompt_tokens: u64,
    request_cached_tokens: u64,
    request_computed_tokens: u64,
    request_recomputed_tokens: u64,
    request_generation_tokens: u64,
    request_preemptions: u64,
    lives: u64,
    dropped: u64,
}

impl Sink for Sums {
    fn gauge(&mut self, _: MetricId, _: f64) {}
    fn counter(&mut self, _: MetricId, _: Reading) {}
    fn histogram(&mut self, _: MetricId, _: &SparseHistogram) {}
    fn fixed_histogram(&mut self, _: MetricId, _: &FixedHistogram) {}

    fn steps(&mut self, rows: &[StepRow]) {
        let known = |value: kvlens_core::record::Opt32| u64::from(value.get().unwrap());
        for row in rows {
            assert_eq!(row.step, self.steps, "no step is missing");
            let blocks = [row.kv_blocks_used, row.kv_blocks_cached, row.kv_blocks_free].map(known);
            assert_eq!(blocks.iter().sum::<u64>(), known(row.kv_blocks_total));
            assert!(known(row.prefix_cache_hits) <= known(row.prefix_cache_queries));
            self.steps += 1;
            self.queries += known(row.prefix_cache_queries);
            self.hits += known(row.prefix_cache_hits);
            self.prompt_tokens += u64::from(row.prompt_tokens);
            self.generation_tokens += u64::from(row.generation_tokens);
            self.computed_tokens += known(row.prefill_tokens) + u64::from(row.decode_tokens);
            self.recomputed_tokens += known(row.recomputed_tokens);
            self.preemptions += known(row.preemptions_recompute) + known(row.preemptions_swap);
            self.swapped_out += known(row.kv_blocks_swapped_out);
            self.swapped_in += known(row.kv_blocks_swapped_in);
            self.allocated += known(row.kv_blocks_allocated);
        }
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        let known = |value: kvlens_core::record::Opt32| u64::from(value.get().unwrap());
        for row in rows {
            assert_eq!(row.finish_reason, FinishReason::Length);
            assert_eq!(
                row.prompt_tokens,
                row.cached_prompt_tokens.get().unwrap() + row.computed_prompt_tokens.get().unwrap(),
                "each prompt token was found or computed"
            );
            assert_eq!(Some(row.generation_tokens), row.max_tokens.get());
            let parts = [
                row.queue_time_ns,
                row.prefill_time_ns,
                row.decode_time_ns,
                row.preempted_time_ns,
            ];
            assert_eq!(
                parts.iter().map(|part| part.get().unwrap()).sum::<u64>(),
                row.e2e_latency_ns.get().unwrap()
            );
            self.requests += 1;
            self.request_prompt_tokens += u64::from(row.prompt_tokens);
            self.request_cached_tokens += known(row.cached_prompt_tokens);
            self.request_computed_tokens += known(row.computed_prompt_tokens);
            self.request_recomputed_tokens += known(row.recomputed_tokens);
            self.request_generation_tokens += u64::from(row.generation_tokens);
            self.request_preemptions += known(row.preemptions_recompute) + known(row.preemptions_swap);
        }
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        self.lives += rows.len() as u64;
    }

    fn accesses(&mut self, _: &[AccessRow]) {}
    fn epoch(&mut self, _: u64) {}
    fn served_by(&mut self, _: &str) {}
    fn rows_dropped(&mut self, rows: u64) {
        self.dropped += rows;
    }
    fn anomalies(&mut self, _: u64) {}
}

/// The reading side, shared by the step hook and by a writer that finds its ring full.
type Reader = Arc<Mutex<(RecorderSource, Sums)>>;

fn drain(reader: &Reader) {
    let (source, sums) = &mut *reader.lock().unwrap();
    source.drain(sums).unwrap();
}

/// Replays the trace on a simulated H100, all rows recorded; `check` sees every step.
fn replay(
    config: EngineConfig,
    path: PathBuf,
    arrivals: &str,
    limit: u64,
    mut check: impl FnMut(&ReplayStep<'_>),
) -> (ReplayTotals, Sums, Engine) {
    let recorder = Recorder::new(SourceInfo::new("engine", "kvlens-native"));
    let options = RecordingOptions::new(Tables::STANDARD).with_overflow(Overflow::Block);
    let recording = Recording::new(&recorder, options).unwrap();
    let reader = Arc::new(Mutex::new((recorder.source().unwrap(), Sums::default())));
    let full = reader.clone();
    recorder.on_full(move || drain(&full));
    let clock = Arc::new(ManualClock::new(0));
    let device = SimDevice::new(&SimSpec::default(), config.block_size, clock.clone());
    let mut engine = Engine::new(config, Box::new(device), clock.clone(), recording).unwrap();
    let totals = Replay::new(Pace::Virtual(clock))
        .with_arrivals(arrivals.parse::<Arrivals>().unwrap())
        .with_limit(limit)
        .on_step(|step| {
            if step.totals.steps % 1024 == 0 {
                drain(&reader);
            }
            check(step);
        })
        .run(&mut engine, TraceReader::open(path, TraceOptions::new()).unwrap())
        .unwrap();
    drain(&reader);
    let sums = std::mem::take(&mut reader.lock().unwrap().1);
    (totals, sums, engine)
}

fn config(block_size: u32, kv_blocks: u32, max_running: u32) -> EngineConfig {
    let mut config = EngineConfig::new(block_size, kv_blocks);
    config.max_running = max_running;
    config
}

/// What must agree once all requests have ended, whatever happened on the way.
fn assert_sums_agree(totals: &ReplayTotals, sums: &Sums, engine: &Engine) {
    assert_eq!(sums.dropped, 0);
    assert_eq!(
        (totals.finished, totals.refused, totals.aborted),
        (totals.submitted, 0, 0)
    );
    assert_eq!(sums.requests, totals.finished);
    assert_eq!(sums.steps, totals.steps);
    assert_eq!(sums.queries, totals.prompt_tokens);
    assert_eq!(sums.prompt_tokens, totals.prompt_tokens);
    assert_eq!(sums.request_prompt_tokens, totals.prompt_tokens);
    assert_eq!(sums.hits, sums.request_cached_tokens);
    assert_eq!(sums.generation_tokens, totals.generation_tokens);
    assert_eq!(sums.request_generation_tokens, totals.generation_tokens);
    assert_eq!(sums.computed_tokens, totals.computed_tokens);
    assert_eq!(sums.recomputed_tokens, sums.request_recomputed_tokens);
    assert_eq!(
        (sums.preemptions, sums.request_preemptions),
        (totals.preemptions, totals.preemptions)
    );
    assert_eq!(sums.swapped_in, sums.swapped_out);
    assert_eq!(sums.allocated, engine.state().kv_blocks_allocated);
    assert_eq!(sums.lives, sums.allocated, "each block handed out has one life");
    // Every token but the last of a request is computed once to go on from it, and again if it was lost.
    let decoded = totals.generation_tokens - totals.finished;
    assert_eq!(
        totals.computed_tokens,
        sums.request_computed_tokens + decoded + sums.recomputed_tokens
    );
}

#[test]
fn one_at_a_time_with_blocks_of_512() {
    let Some(path) = trace() else { return };
    let (totals, sums, engine) = replay(config(512, 400_000, 1), path, "closed:1", u64::MAX, |_| {});
    assert_sums_agree(&totals, &sums, &engine);
    assert_eq!(sums.requests, 12_031);
    assert_eq!(sums.queries, 144_793_823);
    assert_eq!(sums.hits, 54_063_104);
    assert_eq!(sums.generation_tokens, 4_122_048);
    assert_eq!(sums.preemptions, 0);
}

#[test]
fn one_at_a_time_with_blocks_of_16() {
    let Some(path) = trace() else { return };
    let (totals, sums, engine) = replay(config(16, 8_000_000, 1), path, "closed:1", u64::MAX, |_| {});
    assert_sums_agree(&totals, &sums, &engine);
    assert_eq!(sums.queries, 144_793_823);
    assert_eq!(sums.hits, 54_097_440);
    assert_eq!(sums.generation_tokens, 4_122_048);
}

/// A pool that 256 requests of the trace don't fit by far: some 30 of them do.
const SMALL_POOL: u32 = 25_000;

fn preempting(preemption: Preemption) -> Option<(ReplayTotals, Sums)> {
    let path = trace()?;
    let mut config = config(16, SMALL_POOL, 256);
    config.preemption = preemption;
    config.host_blocks = SMALL_POOL;
    let (totals, sums, engine) = replay(config, path, "closed:256", 1_500, |step| {
        let state = step.engine.state();
        assert_eq!(
            state.kv_blocks_used + state.kv_blocks_cached + state.kv_blocks_free,
            state.kv_blocks_total
        );
        let under_way = state.requests_running + state.requests_waiting + state.requests_swapped;
        assert_eq!(usize::try_from(under_way).unwrap(), step.in_flight);
        if step.totals.steps % 4096 == 0 {
            step.engine.audit().unwrap();
        }
    });
    engine.audit().unwrap();
    assert_sums_agree(&totals, &sums, &engine);
    assert!(sums.hits <= sums.queries);
    assert!(sums.preemptions > 100, "{} preemptions", sums.preemptions);
    Some((totals, sums))
}

#[test]
fn a_pool_too_small_preempts_and_recomputes() {
    let Some((totals, sums)) = preempting(Preemption::Recompute) else {
        return;
    };
    assert!(sums.recomputed_tokens > 0);
    assert_eq!(sums.swapped_out, 0);
    println!(
        "{} preemptions, {} tokens recomputed, {} steps",
        totals.preemptions, sums.recomputed_tokens, totals.steps
    );
}

#[test]
fn a_pool_too_small_preempts_and_swaps() {
    let Some((totals, sums)) = preempting(Preemption::Swap) else {
        return;
    };
    assert!(sums.swapped_out > 0);
    println!(
        "{} preemptions, {} blocks swapped, {} steps",
        totals.preemptions, sums.swapped_out, totals.steps
    );
}
