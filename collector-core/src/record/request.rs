//! One finished request.

use super::column::{code, row};

code! {
    /// Why a request ended.
    FinishReason {
        /// A stop token or stop string.
        Stop = "stop",
        /// The token limit.
        Length = "length",
        /// The caller gave it up.
        Abort = "abort",
        /// An error.
        Error = "error",
        /// The engine saw it repeat itself.
        Repetition = "repetition",
        /// Any other reason.
        Other = "other",
    }
}

row! {
    /// One finished request: its sizes, its times, and why it was slow.
    ///
    /// `e2e_latency_ns = queue_time_ns + prefill_time_ns + decode_time_ns + preempted_time_ns` where one clock gave all
    /// of them; `stalled_time_ns` is a part of decode time. A source whose engine times these on several clocks says so
    /// in [`SourceInfo::clock_domain`](crate::SourceInfo).
    RequestRow in Requests {
        monotonic_ns: time [Nanoseconds] "When the request finished.",
        arrival: time [Nanoseconds] "When the request arrived.",
        request_id: text [None] "The engine's identifier of the request.",
        engine_index: u32 [None] "Which of the source's engines: the data-parallel rank.",
        finish_reason: code<FinishReason> [None] "Why the request ended.",
        priority: opt_u32 [None] "The request's priority; lower runs earlier.",
        prompt_tokens: u32 [Tokens] "Tokens of the prompt.",
        cached_prompt_tokens: opt_u32 [Tokens] "Prompt tokens found in the prefix cache at first admission.",
        external_cached_tokens: opt_u32 [Tokens] "Prompt tokens loaded by a KV connector.",
        almost_hit_tokens: opt_u32 [Tokens] "Prompt tokens that matched a cached prefix beyond the last whole block and were computed all the same.",
        computed_prompt_tokens: opt_u32 [Tokens] "Prompt tokens computed for the first time.",
        recomputed_tokens: opt_u32 [Tokens] "Tokens computed again after preemptions.",
        generation_tokens: u32 [Tokens] "Tokens generated.",
        max_tokens: opt_u32 [Tokens] "The request's token limit.",
        time_to_first_token_ns: opt_u64 [Nanoseconds] "From arrival to the first token.",
        time_per_output_token_ns: opt_u64 [Nanoseconds] "(Last token - first token) / (generation tokens - 1); null for one token.",
        inter_token_latency_max_ns: opt_u64 [Nanoseconds] "The longest time between two outputs.",
        e2e_latency_ns: opt_u64 [Nanoseconds] "From arrival to the last token.",
        queue_time_ns: opt_u64 [Nanoseconds] "From arrival to the first admission.",
        prefill_time_ns: opt_u64 [Nanoseconds] "From the first admission to the first token, time preempted taken out.",
        decode_time_ns: opt_u64 [Nanoseconds] "From the first token to the last, time preempted taken out.",
        preempted_time_ns: opt_u64 [Nanoseconds] "Time between preemptions and the re-admissions that followed them.",
        stalled_time_ns: opt_u64 [Nanoseconds] "Part of decode time by which steps were longer because other requests prefilled in them.",
        preemptions_recompute: opt_u32 [Count] "Times the request was preempted and recomputed.",
        preemptions_swap: opt_u32 [Count] "Times the request was preempted and swapped out.",
        prefill_steps: opt_u32 [Steps] "Steps in which the request prefilled: its chunks.",
        first_step: opt_u64 [None] "The step of the first admission.",
        last_step: opt_u64 [None] "The step that gave the last token.",
        spec_decode_draft_tokens: opt_u32 [Tokens] "Tokens proposed by speculative drafts.",
        spec_decode_accepted_tokens: opt_u32 [Tokens] "Proposed tokens accepted.",
    }
}
