//! Structs of the boundary, turned into figures.

use crate::abi::{
    KVLENS_FINISH_ABORT, KVLENS_FINISH_ERROR, KVLENS_FINISH_LENGTH, KVLENS_FINISH_REPETITION,
    KVLENS_FINISH_STOP, KVLENS_FINISH_UNKNOWN, KVLENS_REQUEST_CACHED_PROMPT_TOKENS,
    KVLENS_REQUEST_DECODE_TIME, KVLENS_REQUEST_E2E_LATENCY, KVLENS_REQUEST_EXTERNAL_CACHED_TOKENS,
    KVLENS_REQUEST_INTER_TOKEN_LATENCY_MAX, KVLENS_REQUEST_MAX_TOKENS, KVLENS_REQUEST_PREEMPTIONS,
    KVLENS_REQUEST_PREFILL_TIME, KVLENS_REQUEST_PRIORITY, KVLENS_REQUEST_QUEUE_TIME,
    KVLENS_REQUEST_TIME_PER_OUTPUT_TOKEN, KVLENS_REQUEST_TIME_TO_FIRST_TOKEN,
    KVLENS_STEP_CACHED_PROMPT_TOKENS, KVLENS_STEP_COMPUTED_PROMPT_TOKENS, KVLENS_STEP_DECODE_TOKENS,
    KVLENS_STEP_EXTERNAL_PREFIX_CACHE_HITS, KVLENS_STEP_EXTERNAL_PREFIX_CACHE_QUERIES,
    KVLENS_STEP_FLAG_POLLED, KVLENS_STEP_GENERATION_TOKENS, KVLENS_STEP_KV_BLOCKS_CACHED,
    KVLENS_STEP_KV_BLOCKS_FREE, KVLENS_STEP_KV_BLOCKS_TOTAL, KVLENS_STEP_KV_BLOCKS_USED,
    KVLENS_STEP_KV_CACHE_USAGE, KVLENS_STEP_PREEMPTIONS, KVLENS_STEP_PREFILL_REQUESTS,
    KVLENS_STEP_PREFILL_TOKENS, KVLENS_STEP_PREFIX_CACHE_HIT_RATE, KVLENS_STEP_PREFIX_CACHE_HITS,
    KVLENS_STEP_PREFIX_CACHE_HITS_PREEMPTED, KVLENS_STEP_PREFIX_CACHE_QUERIES,
    KVLENS_STEP_PREFIX_CACHE_QUERIES_PREEMPTED, KVLENS_STEP_PROMPT_TOKENS, KVLENS_STEP_REQUESTS_ADMITTED,
    KVLENS_STEP_REQUESTS_DEFERRED, KVLENS_STEP_REQUESTS_RUNNING, KVLENS_STEP_REQUESTS_SWAPPED,
    KVLENS_STEP_REQUESTS_WAITING, KVLENS_STEP_SPEC_DECODE_ACCEPTED_TOKENS,
    KVLENS_STEP_SPEC_DECODE_DRAFT_TOKENS, KVLENS_STEP_SPEC_DECODE_DRAFTS, KVLENS_STEP_STEP_TIME,
    KvlensRequest, KvlensStep,
};
use crate::figures::{Origin, RequestFigures, StepFigures};
use kvlens_core::record::{FinishReason, Text};

/// Turns `known` bits into options.
struct Known(u64);

impl Known {
    fn get<T>(&self, bit: u64, value: T) -> Option<T> {
        (self.0 & bit != 0).then_some(value)
    }
}

pub(crate) fn step(step: &KvlensStep) -> StepFigures {
    let known = Known(step.known);
    StepFigures {
        origin: Origin::from_number(step.origin),
        engine_index: step.engine_index,
        polled: step.flags & KVLENS_STEP_FLAG_POLLED != 0,
        requests_running: known.get(KVLENS_STEP_REQUESTS_RUNNING, step.requests_running),
        requests_waiting: known.get(KVLENS_STEP_REQUESTS_WAITING, step.requests_waiting),
        requests_deferred: known.get(KVLENS_STEP_REQUESTS_DEFERRED, step.requests_deferred),
        requests_swapped: known.get(KVLENS_STEP_REQUESTS_SWAPPED, step.requests_swapped),
        requests_admitted: known.get(KVLENS_STEP_REQUESTS_ADMITTED, step.requests_admitted),
        kv_cache_usage: known.get(KVLENS_STEP_KV_CACHE_USAGE, step.kv_cache_usage),
        kv_blocks_total: known.get(KVLENS_STEP_KV_BLOCKS_TOTAL, step.kv_blocks_total),
        kv_blocks_used: known.get(KVLENS_STEP_KV_BLOCKS_USED, step.kv_blocks_used),
        kv_blocks_cached: known.get(KVLENS_STEP_KV_BLOCKS_CACHED, step.kv_blocks_cached),
        kv_blocks_free: known.get(KVLENS_STEP_KV_BLOCKS_FREE, step.kv_blocks_free),
        prefix_cache_queries: known.get(KVLENS_STEP_PREFIX_CACHE_QUERIES, step.prefix_cache_queries),
        prefix_cache_hits: known.get(KVLENS_STEP_PREFIX_CACHE_HITS, step.prefix_cache_hits),
        prefix_cache_queries_preempted: known.get(
            KVLENS_STEP_PREFIX_CACHE_QUERIES_PREEMPTED,
            step.prefix_cache_queries_preempted,
        ),
        prefix_cache_hits_preempted: known.get(
            KVLENS_STEP_PREFIX_CACHE_HITS_PREEMPTED,
            step.prefix_cache_hits_preempted,
        ),
        external_prefix_cache_queries: known.get(
            KVLENS_STEP_EXTERNAL_PREFIX_CACHE_QUERIES,
            step.external_prefix_cache_queries,
        ),
        external_prefix_cache_hits: known.get(
            KVLENS_STEP_EXTERNAL_PREFIX_CACHE_HITS,
            step.external_prefix_cache_hits,
        ),
        prefix_cache_hit_rate: known.get(KVLENS_STEP_PREFIX_CACHE_HIT_RATE, step.prefix_cache_hit_rate),
        prompt_tokens: known.get(KVLENS_STEP_PROMPT_TOKENS, step.prompt_tokens),
        cached_prompt_tokens: known.get(KVLENS_STEP_CACHED_PROMPT_TOKENS, step.cached_prompt_tokens),
        computed_prompt_tokens: known.get(KVLENS_STEP_COMPUTED_PROMPT_TOKENS, step.computed_prompt_tokens),
        generation_tokens: known.get(KVLENS_STEP_GENERATION_TOKENS, step.generation_tokens),
        preemptions: known.get(KVLENS_STEP_PREEMPTIONS, step.preemptions),
        spec_decode_drafts: known.get(KVLENS_STEP_SPEC_DECODE_DRAFTS, step.spec_decode_drafts),
        spec_decode_draft_tokens: known.get(
            KVLENS_STEP_SPEC_DECODE_DRAFT_TOKENS,
            step.spec_decode_draft_tokens,
        ),
        spec_decode_accepted_tokens: known.get(
            KVLENS_STEP_SPEC_DECODE_ACCEPTED_TOKENS,
            step.spec_decode_accepted_tokens,
        ),
        prefill_requests: known.get(KVLENS_STEP_PREFILL_REQUESTS, step.prefill_requests),
        prefill_tokens: known.get(KVLENS_STEP_PREFILL_TOKENS, step.prefill_tokens),
        decode_tokens: known.get(KVLENS_STEP_DECODE_TOKENS, step.decode_tokens),
        step_time_s: known.get(KVLENS_STEP_STEP_TIME, step.step_time_s),
    }
}

pub(crate) fn request(request: &KvlensRequest) -> RequestFigures {
    let known = Known(request.known);
    RequestFigures {
        request_id: identifier(&request.request_id),
        engine_index: request.engine_index,
        finish_reason: match request.finish_reason {
            KVLENS_FINISH_STOP => FinishReason::Stop,
            KVLENS_FINISH_LENGTH => FinishReason::Length,
            KVLENS_FINISH_ABORT => FinishReason::Abort,
            KVLENS_FINISH_ERROR => FinishReason::Error,
            KVLENS_FINISH_REPETITION => FinishReason::Repetition,
            KVLENS_FINISH_UNKNOWN => FinishReason::Unknown,
            _ => FinishReason::Other,
        },
        prompt_tokens: request.prompt_tokens,
        generation_tokens: request.generation_tokens,
        cached_prompt_tokens: known.get(KVLENS_REQUEST_CACHED_PROMPT_TOKENS, request.cached_prompt_tokens),
        external_cached_tokens: known.get(
            KVLENS_REQUEST_EXTERNAL_CACHED_TOKENS,
            request.external_cached_tokens,
        ),
        max_tokens: known.get(KVLENS_REQUEST_MAX_TOKENS, request.max_tokens),
        preemptions: known.get(KVLENS_REQUEST_PREEMPTIONS, request.preemptions),
        priority: known.get(KVLENS_REQUEST_PRIORITY, request.priority),
        time_to_first_token_s: known.get(KVLENS_REQUEST_TIME_TO_FIRST_TOKEN, request.time_to_first_token_s),
        time_per_output_token_s: known.get(
            KVLENS_REQUEST_TIME_PER_OUTPUT_TOKEN,
            request.time_per_output_token_s,
        ),
        e2e_latency_s: known.get(KVLENS_REQUEST_E2E_LATENCY, request.e2e_latency_s),
        queue_time_s: known.get(KVLENS_REQUEST_QUEUE_TIME, request.queue_time_s),
        prefill_time_s: known.get(KVLENS_REQUEST_PREFILL_TIME, request.prefill_time_s),
        decode_time_s: known.get(KVLENS_REQUEST_DECODE_TIME, request.decode_time_s),
        inter_token_latency_max_s: known.get(
            KVLENS_REQUEST_INTER_TOKEN_LATENCY_MAX,
            request.inter_token_latency_max_s,
        ),
    }
}

/// An identifier that is cut off or no UTF-8 is kept as far as it is good; a missing one is `?`.
fn identifier(bytes: &[u8]) -> Text {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let good = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Text::new(if good.is_empty() { "?" } else { good })
}
