//! Rows, from what the scheduler and its sequences know.

use super::StepContext;
use crate::scheduler::Scheduler;
use crate::sequence::Sequence;
use kvlens_core::record::{FinishReason, Opt32, Opt64};
use kvlens_core::{RequestRow, StepRow};

/// A step's row.
#[inline]
pub(super) fn step(scheduler: &Scheduler, context: &StepContext) -> StepRow {
    let counts = &scheduler.counts;
    let pool = &scheduler.pool;
    let times = &context.times;
    let (now, before) = (context.totals, context.before);
    let some = Opt32::some;
    StepRow {
        monotonic_ns: times.start,
        step: times.step,
        step_time_ns: Opt64::some(times.took()),
        device_time_ns: context.device.map(|time| time.device_ns).into(),
        schedule_time_ns: times.scheduled.map(|at| at.saturating_sub(times.start)).into(),
        energy_mj: context.device.and_then(|time| time.energy_mj).into(),
        prefill_kv_tokens: Opt64::some(counts.prefill_kv_tokens),
        decode_kv_tokens: Opt64::some(counts.decode_kv_tokens),
        kv_tokens_used: Opt64::some(scheduler.kv_tokens_used),
        engine_index: context.engine_index,
        requests_running: scheduler.running(),
        requests_waiting: scheduler.waiting(),
        requests_swapped: some(scheduler.swapped()),
        requests_admitted: some(counts.admitted),
        requests_finished: counts.finished,
        prefill_requests: some(counts.prefill_requests),
        decode_requests: counts.decode_requests,
        prefill_tokens: some(counts.prefill_tokens),
        decode_tokens: counts.decode_tokens,
        prompt_tokens: counts.prompt_tokens,
        generation_tokens: counts.sampled,
        recomputed_tokens: some(counts.recomputed_tokens),
        prefix_cache_queries: some(counts.queries),
        prefix_cache_hits: some(counts.hits),
        kv_blocks_total: some(pool.total()),
        kv_blocks_used: some(pool.used()),
        kv_blocks_cached: some(pool.cached()),
        kv_blocks_free: some(pool.free()),
        kv_blocks_allocated: some(difference(now.allocated, before.allocated)),
        kv_blocks_evicted: some(difference(now.evicted, before.evicted)),
        kv_blocks_swapped_out: some(counts.swapped_out),
        kv_blocks_swapped_in: some(counts.swapped_in),
        preemptions_recompute: some(counts.preemptions_recompute),
        preemptions_swap: some(counts.preemptions_swap),
        spec_decode_draft_tokens: Opt32::NONE,
        spec_decode_accepted_tokens: Opt32::NONE,
    }
}

fn difference(now: u64, before: u64) -> u32 {
    u32::try_from(now - before).unwrap_or(u32::MAX)
}

/// An ended request's row.
pub(super) fn request(sequence: &Sequence, reason: FinishReason, now: u64, engine_index: u32) -> RequestRow {
    let timing = &sequence.timing;
    let generated = crate::sequence::len(&sequence.generated);
    let since_arrival = |at: u64| at.saturating_sub(timing.arrival);
    let some = Opt32::some;
    RequestRow {
        monotonic_ns: now,
        arrival: timing.arrival,
        request_id: sequence.name,
        engine_index,
        finish_reason: reason,
        priority: some(sequence.priority),
        prompt_tokens: sequence.prompt_len,
        cached_prompt_tokens: timing.admitted.map(|_| timing.cached_prompt_tokens).into(),
        external_cached_tokens: Opt32::NONE,
        almost_hit_tokens: timing.almost_hit_tokens.into(),
        computed_prompt_tokens: some(timing.computed_prompt_tokens),
        recomputed_tokens: some(timing.recomputed_tokens),
        generation_tokens: generated,
        max_tokens: some(sequence.max_tokens),
        time_to_first_token_ns: timing.first_token.map(since_arrival).into(),
        time_per_output_token_ns: per_output_token(sequence, generated).into(),
        inter_token_latency_max_ns: timing.longest_gap.into(),
        e2e_latency_ns: timing
            .first_token
            .map(|_| since_arrival(timing.last_token))
            .into(),
        queue_time_ns: timing.admitted.map(since_arrival).into(),
        prefill_time_ns: timing.prefill_ns().into(),
        decode_time_ns: timing.decode_ns().into(),
        preempted_time_ns: Opt64::some(timing.preempted_ns()),
        stalled_time_ns: timing.stalled_ns().into(),
        preemptions_recompute: some(timing.preemptions_recompute),
        preemptions_swap: some(timing.preemptions_swap),
        prefill_steps: some(timing.prefill_steps),
        first_step: timing.first_step.into(),
        last_step: timing.last_step.into(),
        spec_decode_draft_tokens: Opt32::NONE,
        spec_decode_accepted_tokens: Opt32::NONE,
    }
}

fn per_output_token(sequence: &Sequence, generated: u32) -> Option<u64> {
    let first = sequence.timing.first_token?;
    let span = sequence.timing.last_token.saturating_sub(first);
    span.checked_div(u64::from(generated.checked_sub(1)?))
}
