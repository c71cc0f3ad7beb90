//! Makes rows out of figures.

use crate::feed::EngineState;
use crate::figures::{BlockFigures, RequestFigures, StepFigures};
use kvlens_core::record::{Opt32, Opt64};
use kvlens_core::{BlockRow, RequestRow, StepRow};

/// A year and a bit: no latency is longer, and its nanoseconds fit any sum.
const LONGEST_S: f64 = 4.0e7;

/// Turns seconds into nanoseconds, rounded; none for what is no number, and whether it had to be clamped.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a range that fits"
)]
pub(crate) fn nanoseconds(seconds: f64) -> (Option<u64>, bool) {
    if !seconds.is_finite() {
        return (None, true);
    }
    let clamped = seconds.clamp(0.0, LONGEST_S);
    (
        Some((clamped * 1e9).round() as u64),
        (clamped - seconds).abs() > 0.0,
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; counts of requests and blocks are small"
)]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// The blocks in use, out of the usage that vLLM gives: it computed the one from the other.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count of blocks"
)]
pub(crate) fn blocks_used(step: &StepFigures) -> Option<u64> {
    let (usage, total) = (step.kv_cache_usage?, step.kv_blocks_total?);
    (usage.is_finite() && (0.0..=1.0).contains(&usage)).then(|| (usage * float(total)).round() as u64)
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn optional(value: Option<u64>) -> Opt32 {
    value.map(narrow).into()
}

/// Makes a step's row and moves the engine's state on.
pub(crate) fn step(step: &StepFigures, engine: &mut EngineState, now: u64, decoding: usize) -> StepRow {
    let told = step.step_time_s.and_then(|seconds| nanoseconds(seconds).0);
    let since_last = engine.busy.then(|| now.saturating_sub(engine.last_push_ns));
    let step_time = told.or(since_last);
    let start = now
        .saturating_sub(step_time.unwrap_or(0))
        .max(engine.last_start_ns);
    let row = StepRow {
        monotonic_ns: start,
        step: engine.steps,
        step_time_ns: step_time.into(),
        engine_index: step.engine_index,
        requests_running: narrow(step.requests_running.unwrap_or(0)),
        requests_waiting: narrow(step.requests_waiting.unwrap_or(0)),
        requests_swapped: optional(step.requests_swapped),
        requests_admitted: optional(step.requests_admitted),
        requests_finished: engine.finished,
        prefill_requests: optional(step.prefill_requests),
        decode_requests: narrow(decoding as u64),
        prefill_tokens: optional(step.prefill_tokens),
        decode_tokens: narrow(step.decode_tokens.unwrap_or(decoding as u64)),
        prompt_tokens: narrow(step.prompt_tokens.unwrap_or(0)),
        generation_tokens: narrow(step.generation_tokens.unwrap_or(0)),
        prefix_cache_queries: optional(step.prefix_cache_queries),
        prefix_cache_hits: optional(step.prefix_cache_hits),
        kv_blocks_total: optional(step.kv_blocks_total),
        kv_blocks_used: optional(step.kv_blocks_used.or_else(|| blocks_used(step))),
        kv_blocks_cached: optional(step.kv_blocks_cached),
        kv_blocks_free: optional(step.kv_blocks_free),
        preemptions_recompute: optional(step.preemptions),
        spec_decode_draft_tokens: optional(step.spec_decode_draft_tokens),
        spec_decode_accepted_tokens: optional(step.spec_decode_accepted_tokens),
        ..StepRow::default()
    };
    engine.steps += 1;
    engine.finished = 0;
    engine.last_push_ns = now;
    engine.last_start_ns = start;
    engine.busy = step.requests_running.unwrap_or(0) + step.requests_waiting.unwrap_or(0) > 0;
    row
}

/// Makes a request's row; also how many values had to be clamped or left out.
pub(crate) fn request(request: &RequestFigures, now: u64) -> (RequestRow, u64) {
    let mut clamped = 0;
    let mut time = |seconds: Option<f64>| -> Opt64 {
        let (value, odd) = seconds.map_or((None, false), nanoseconds);
        clamped += u64::from(odd);
        value.into()
    };
    let e2e = time(request.e2e_latency_s);
    let row = RequestRow {
        monotonic_ns: now,
        arrival: now.saturating_sub(e2e.get().unwrap_or(0)),
        request_id: request.request_id,
        engine_index: request.engine_index,
        finish_reason: request.finish_reason,
        priority: optional(request.priority),
        prompt_tokens: narrow(request.prompt_tokens),
        cached_prompt_tokens: optional(request.cached_prompt_tokens),
        external_cached_tokens: optional(request.external_cached_tokens),
        generation_tokens: narrow(request.generation_tokens),
        max_tokens: optional(request.max_tokens),
        time_to_first_token_ns: time(request.time_to_first_token_s),
        time_per_output_token_ns: per_output_token(request, &mut time),
        inter_token_latency_max_ns: time(request.inter_token_latency_max_s),
        e2e_latency_ns: e2e,
        queue_time_ns: time(request.queue_time_s),
        prefill_time_ns: time(request.prefill_time_s),
        decode_time_ns: time(request.decode_time_s),
        preemptions_recompute: optional(request.preemptions),
        ..RequestRow::default()
    };
    (row, clamped)
}

/// vLLM gives 0 for an answer of one token: that is no latency.
fn per_output_token(request: &RequestFigures, time: &mut impl FnMut(Option<f64>) -> Opt64) -> Opt64 {
    if request.generation_tokens < 2 {
        return Opt64::NONE;
    }
    let gaps = float(request.generation_tokens - 1);
    time(
        request
            .time_per_output_token_s
            .or(request.decode_time_s.map(|decode| decode / gaps)),
    )
}

/// Makes a block's row; also how many values had to be clamped or left out.
pub(crate) fn block(block: &BlockFigures, gaps: &[f64], now: u64) -> (BlockRow, u64) {
    let (lifetime, odd) = nanoseconds(block.lifetime_s);
    let (idle, odd_idle) = block.idle_s.map_or((None, false), nanoseconds);
    let (cached, odd_cached) = block.cached_s.map_or((None, false), nanoseconds);
    let lifetime = lifetime.unwrap_or(0);
    let gaps = gaps.iter().filter_map(|gap| nanoseconds(*gap).0);
    let row = BlockRow {
        monotonic_ns: now,
        block: optional(block.block),
        engine_index: block.engine_index,
        prefix_hash: block.prefix_hash.into(),
        allocated: now.saturating_sub(lifetime),
        cached: cached.map(|since| now.saturating_sub(since)).into(),
        last_touched: idle.map(|since| now.saturating_sub(since)).into(),
        end: block.end,
        tokens: optional(block.tokens),
        // The recording can't have begun after the life did; then the life is as long as the recording.
        lifetime_ns: lifetime.min(now),
        idle_ns: idle.map(|idle| idle.min(now)).into(),
        reuse_count: optional(block.reuse_count),
        reuse_gap_max_ns: gaps.max().into(),
        sample_every: block.sample_every.max(1),
        ..BlockRow::default()
    };
    (row, u64::from(odd) + u64::from(odd_idle) + u64::from(odd_cached))
}
