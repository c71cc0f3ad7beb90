//! One engine step.

use super::column::row;

row! {
    /// One engine step (iteration): what was in the batch, what it computed, what it did to the cache, how long it took.
    ///
    /// 192 bytes: three cache lines, copied into a ring by the engine's thread. Counts are of this step alone, so sums
    /// over steps equal the run's counters.
    StepRow in Steps {
        monotonic_ns: time [Nanoseconds] "Start of the step.",
        step: u64 [None] "Number of the step, from 0, per engine.",
        step_time_ns: opt_u64 [Nanoseconds] "Duration of the step, from scheduling to the tokens being known.",
        device_time_ns: opt_u64 [Nanoseconds] "Time the device spent on the step, from events read later.",
        schedule_time_ns: opt_u64 [Nanoseconds] "Host time spent choosing the batch.",
        energy_mj: opt_u64 [Millijoules] "Energy the device used during the step's window.",
        prefill_kv_tokens: opt_u64 [Tokens] "Sum over prefilling requests of the context they attend to at the end of the step.",
        decode_kv_tokens: opt_u64 [Tokens] "Sum over decoding requests of the context they attend to.",
        kv_tokens_used: opt_u64 [Tokens] "Token slots filled in used blocks at the end of the step; shared blocks count once.",
        engine_index: u32 [None] "Which of the source's engines: the data-parallel rank.",
        requests_running: u32 [Requests] "Requests in the running batch at the end of the step.",
        requests_waiting: u32 [Requests] "Requests queued for admission at the end of the step.",
        requests_swapped: opt_u32 [Requests] "Preempted requests whose blocks wait in host memory.",
        requests_admitted: opt_u32 [Requests] "Requests admitted in this step, for the first time or again.",
        requests_finished: u32 [Requests] "Requests that finished in this step.",
        prefill_requests: opt_u32 [Requests] "Requests that computed prompt tokens (or recomputed) in this step.",
        decode_requests: u32 [Requests] "Requests that computed one new token in this step.",
        prefill_tokens: opt_u32 [Tokens] "Tokens computed by prefill in this step, recomputed ones included.",
        decode_tokens: u32 [Tokens] "Tokens computed by decoding requests in this step.",
        prompt_tokens: u32 [Tokens] "Prompt tokens of the requests admitted for the first time in this step.",
        generation_tokens: u32 [Tokens] "Tokens sampled in this step.",
        recomputed_tokens: opt_u32 [Tokens] "Tokens computed again after a preemption in this step.",
        prefix_cache_queries: opt_u32 [Tokens] "Prompt tokens looked up in the prefix cache at first admission in this step.",
        prefix_cache_hits: opt_u32 [Tokens] "Prompt tokens found in the prefix cache at first admission in this step.",
        kv_blocks_total: opt_u32 [Blocks] "KV blocks that requests can use.",
        kv_blocks_used: opt_u32 [Blocks] "KV blocks pinned by live requests at the end of the step.",
        kv_blocks_cached: opt_u32 [Blocks] "Evictable KV blocks that hold a reusable prefix at the end of the step.",
        kv_blocks_free: opt_u32 [Blocks] "KV blocks that hold nothing reusable at the end of the step.",
        kv_blocks_allocated: opt_u32 [Blocks] "KV blocks handed out in this step.",
        kv_blocks_evicted: opt_u32 [Blocks] "KV blocks whose reusable content was lost in this step.",
        kv_blocks_swapped_out: opt_u32 [Blocks] "KV blocks moved to host memory in this step.",
        kv_blocks_swapped_in: opt_u32 [Blocks] "KV blocks moved back from host memory in this step.",
        preemptions_recompute: opt_u32 [Count] "Preemptions by recompute in this step.",
        preemptions_swap: opt_u32 [Count] "Preemptions by swap in this step.",
        spec_decode_draft_tokens: opt_u32 [Tokens] "Tokens proposed by speculative drafts in this step.",
        spec_decode_accepted_tokens: opt_u32 [Tokens] "Proposed tokens accepted in this step.",
    }
}

const _: () = assert!(
    size_of::<StepRow>() <= 192,
    "a step row is at most three cache lines"
);
