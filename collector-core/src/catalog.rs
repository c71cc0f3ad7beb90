//! Every standard metric, declared once.
//!
//! Columns, CSV headers, the documentation and the mapping to other systems' names follow from this list. A source may
//! add metrics of its own with the same [`MetricDesc`]; they become columns beside these.
//!
//! Names of other systems are given where they mean the same thing; where the unit differs (vLLM's seconds, SGLang's
//! tokens for blocks) the reader of that system converts.
//!
//! ```
//! use kvlens_core::catalog;
//! let usage = catalog::find("kv_cache_usage").unwrap();
//! assert_eq!(usage.names.vllm_v1, Some("kv_cache_usage_perc"));
//! ```

use crate::metric::{Kind, MetricDesc, OtherNames, Unit};

macro_rules! catalog {
    ($( $group:literal { $( $id:ident: $kind:ident $unit:ident $name:literal $help:literal [$($system:ident = $other:literal),*]; )* } )*) => {
        $( $(
            #[doc = $help]
            pub static $id: MetricDesc = MetricDesc::new($name, Kind::$kind, Unit::$unit, $help)
                .with_names(names(&[$((stringify!($system), $other)),*]));
        )* )*

        /// Every standard metric, in groups, in the order of the columns.
        pub static GROUPS: &[(&str, &[&MetricDesc])] = &[ $( ($group, &[ $( &$id, )* ]), )* ];
    };
}

/// Builds the other systems' names at compile time.
const fn names(list: &[(&str, &'static str)]) -> OtherNames {
    let mut names = OtherNames {
        vllm_v0: None,
        vllm_v1: None,
        sglang: None,
        otel: None,
    };
    let mut i = 0;
    while i < list.len() {
        let (system, name) = list[i];
        match system.as_bytes() {
            b"vllm_v0" => names.vllm_v0 = Some(name),
            b"vllm_v1" => names.vllm_v1 = Some(name),
            b"sglang" => names.sglang = Some(name),
            b"otel" => names.otel = Some(name),
            _ => panic!("unknown system in the catalog"),
        }
        i += 1;
    }
    names
}

/// Walks every standard metric in the order of the columns.
pub fn all() -> impl Iterator<Item = &'static MetricDesc> {
    GROUPS.iter().flat_map(|(_, metrics)| metrics.iter().copied())
}

/// Finds a standard metric by its name.
pub fn find(name: &str) -> Option<&'static MetricDesc> {
    all().find(|metric| metric.name == name)
}

catalog! {
    "Queues and scheduler" {
        REQUESTS_RUNNING: Gauge Requests "requests_running"
            "Requests in the running batch at the end of the last step."
            [vllm_v0 = "num_requests_running", vllm_v1 = "num_requests_running", sglang = "num_running_reqs"];
        REQUESTS_WAITING: Gauge Requests "requests_waiting"
            "Requests queued for admission, preempted ones that wait to be recomputed included."
            [vllm_v0 = "num_requests_waiting", vllm_v1 = "num_requests_waiting", sglang = "num_queue_reqs"];
        REQUESTS_SWAPPED: Gauge Requests "requests_swapped"
            "Preempted requests whose KV blocks wait in host memory."
            [vllm_v0 = "num_requests_swapped"];
        STEPS: Counter Steps "steps"
            "Engine steps (iterations) executed."
            [];
        PREEMPTIONS_RECOMPUTE: Counter Count "preemptions_recompute"
            "Preemptions that threw the request's KV blocks away, to be recomputed."
            [vllm_v0 = "num_preemptions_total", vllm_v1 = "num_preemptions", sglang = "num_retracted_requests_total"];
        PREEMPTIONS_SWAP: Counter Count "preemptions_swap"
            "Preemptions that moved the request's KV blocks to host memory."
            [];
    }
    "KV cache" {
        KV_BLOCKS_TOTAL: Gauge Blocks "kv_blocks_total"
            "KV blocks that requests can use: the pool without the null block."
            [vllm_v1 = "cache_config_info", sglang = "num_pages"];
        KV_BLOCKS_USED: Gauge Blocks "kv_blocks_used"
            "KV blocks pinned by live requests."
            [sglang = "num_used_tokens"];
        KV_BLOCKS_CACHED: Gauge Blocks "kv_blocks_cached"
            "KV blocks that no request holds and whose content can still be hit; evictable."
            [sglang = "kv_evictable_tokens"];
        KV_BLOCKS_FREE: Gauge Blocks "kv_blocks_free"
            "KV blocks that hold nothing reusable."
            [sglang = "kv_available_tokens"];
        KV_CACHE_USAGE: Gauge Ratio "kv_cache_usage"
            "`kv_blocks_used` / `kv_blocks_total`: cached-but-evictable blocks do not count as used."
            [vllm_v0 = "gpu_cache_usage_perc", vllm_v1 = "kv_cache_usage_perc", sglang = "token_usage"];
        KV_TOKENS_USED: Gauge Tokens "kv_tokens_used"
            "Token slots filled in used blocks; less than used blocks x block size by internal fragmentation. Shared blocks count once."
            [];
        KV_BLOCKS_ALLOCATED: Counter Blocks "kv_blocks_allocated"
            "KV blocks handed out."
            [];
        KV_BLOCKS_EVICTED: Counter Blocks "kv_blocks_evicted"
            "KV blocks whose reusable content was lost because the block was handed out again."
            [sglang = "evicted_tokens_total"];
        KV_BLOCKS_EVICTED_PREEMPTED: Counter Blocks "kv_blocks_evicted_preempted"
            "Evicted blocks that a preemption had released: evictions the engine inflicted on itself."
            [];
        KV_BLOCKS_COPIED: Counter Blocks "kv_blocks_copied"
            "KV blocks copied because forked sequences diverged (copy-on-write)."
            [];
        KV_BLOCKS_SWAPPED_OUT: Counter Blocks "kv_blocks_swapped_out"
            "KV blocks moved from the device to host memory."
            [];
        KV_BLOCKS_SWAPPED_IN: Counter Blocks "kv_blocks_swapped_in"
            "KV blocks moved from host memory back to the device."
            [];
    }
    "Prefix cache" {
        PREFIX_CACHE_QUERIES: Counter Tokens "prefix_cache_queries"
            "Prompt tokens looked up in the prefix cache, once per request, at first admission."
            [vllm_v1 = "prefix_cache_queries"];
        PREFIX_CACHE_HITS: Counter Tokens "prefix_cache_hits"
            "Prompt tokens found in the prefix cache at first admission, in whole blocks."
            [vllm_v1 = "prefix_cache_hits", sglang = "cached_tokens_total"];
        PREFIX_CACHE_QUERIES_PREEMPTED: Counter Tokens "prefix_cache_queries_preempted"
            "Tokens looked up in the prefix cache when a preempted request was admitted again."
            [];
        PREFIX_CACHE_HITS_PREEMPTED: Counter Tokens "prefix_cache_hits_preempted"
            "Tokens found in the prefix cache when a preempted request was admitted again."
            [];
        PREFIX_CACHE_ALMOST_HITS: Counter Tokens "prefix_cache_almost_hits"
            "Prompt tokens that matched a cached prefix beyond the last whole block and had to be computed all the same."
            [];
        EXTERNAL_PREFIX_CACHE_QUERIES: Counter Tokens "external_prefix_cache_queries"
            "Prompt tokens looked up in a KV connector's cache."
            [vllm_v1 = "external_prefix_cache_queries"];
        EXTERNAL_PREFIX_CACHE_HITS: Counter Tokens "external_prefix_cache_hits"
            "Prompt tokens found in a KV connector's cache."
            [vllm_v1 = "external_prefix_cache_hits"];
    }
    "Tokens" {
        PROMPT_TOKENS: Counter Tokens "prompt_tokens"
            "Prompt tokens of requests at their first admission, cached or not."
            [vllm_v0 = "prompt_tokens_total", vllm_v1 = "prompt_tokens", sglang = "prompt_tokens_total", otel = "gen_ai.client.token.usage{gen_ai.token.type=input}"];
        CACHED_PROMPT_TOKENS: Counter Tokens "cached_prompt_tokens"
            "Prompt tokens not computed because their KV was cached, at first admission."
            [vllm_v1 = "prompt_tokens_cached"];
        COMPUTED_PROMPT_TOKENS: Counter Tokens "computed_prompt_tokens"
            "Prompt tokens computed for the first time by prefill."
            [vllm_v1 = "prompt_tokens_by_source{source=local_compute}", sglang = "realtime_tokens_total{mode=prefill_compute}"];
        RECOMPUTED_TOKENS: Counter Tokens "recomputed_tokens"
            "Tokens computed again because a preemption threw their KV away."
            [];
        GENERATION_TOKENS: Counter Tokens "generation_tokens"
            "Tokens sampled and given to requests."
            [vllm_v0 = "generation_tokens_total", vllm_v1 = "generation_tokens", sglang = "generation_tokens_total", otel = "gen_ai.client.token.usage{gen_ai.token.type=output}"];
    }
    "Requests" {
        REQUESTS_FINISHED_STOP: Counter Requests "requests_finished_stop"
            "Requests that ended on a stop token or stop string."
            [vllm_v0 = "request_success_total{finished_reason=stop}", vllm_v1 = "request_success{finished_reason=stop}"];
        REQUESTS_FINISHED_LENGTH: Counter Requests "requests_finished_length"
            "Requests that ended at their token limit."
            [vllm_v0 = "request_success_total{finished_reason=length}", vllm_v1 = "request_success{finished_reason=length}"];
        REQUESTS_FINISHED_ABORT: Counter Requests "requests_finished_abort"
            "Requests that the caller gave up."
            [vllm_v0 = "request_success_total{finished_reason=abort}", vllm_v1 = "request_success{finished_reason=abort}", sglang = "num_aborted_requests_total"];
        REQUESTS_FINISHED_ERROR: Counter Requests "requests_finished_error"
            "Requests that ended with an error."
            [vllm_v1 = "request_success{finished_reason=error}"];
        REQUESTS_FINISHED_OTHER: Counter Requests "requests_finished_other"
            "Requests that ended for any other reason."
            [vllm_v1 = "request_success{finished_reason=repetition}"];
    }
    "Speculative decoding" {
        SPEC_DECODE_DRAFTS: Counter Count "spec_decode_drafts"
            "Speculative drafts verified."
            [vllm_v1 = "spec_decode_num_drafts", sglang = "spec_verify_calls_total"];
        SPEC_DECODE_DRAFT_TOKENS: Counter Tokens "spec_decode_draft_tokens"
            "Tokens proposed by speculative drafts."
            [vllm_v0 = "spec_decode_num_draft_tokens_total", vllm_v1 = "spec_decode_num_draft_tokens"];
        SPEC_DECODE_ACCEPTED_TOKENS: Counter Tokens "spec_decode_accepted_tokens"
            "Proposed tokens that verification accepted."
            [vllm_v0 = "spec_decode_num_accepted_tokens_total", vllm_v1 = "spec_decode_num_accepted_tokens"];
    }
    "Latency" {
        TIME_TO_FIRST_TOKEN: Histogram Nanoseconds "time_to_first_token_ns"
            "From a request's arrival to its first token."
            [vllm_v0 = "time_to_first_token_seconds", vllm_v1 = "time_to_first_token_seconds", sglang = "time_to_first_token_seconds", otel = "gen_ai.server.time_to_first_token"];
        INTER_TOKEN_LATENCY: Histogram Nanoseconds "inter_token_latency_ns"
            "Between two outputs of a request; with speculative decoding an output can hold several tokens."
            [vllm_v1 = "inter_token_latency_seconds", sglang = "inter_token_latency_seconds"];
        TIME_PER_OUTPUT_TOKEN: Histogram Nanoseconds "time_per_output_token_ns"
            "Per finished request: (last token - first token) / (generation tokens - 1); requests of one token are left out."
            [vllm_v0 = "time_per_output_token_seconds", vllm_v1 = "request_time_per_output_token_seconds", sglang = "request_time_per_output_token_seconds", otel = "gen_ai.server.time_per_output_token"];
        E2E_LATENCY: Histogram Nanoseconds "e2e_latency_ns"
            "From a request's arrival to its last token."
            [vllm_v0 = "e2e_request_latency_seconds", vllm_v1 = "e2e_request_latency_seconds", sglang = "e2e_request_latency_seconds", otel = "gen_ai.server.request.duration"];
        QUEUE_TIME: Histogram Nanoseconds "queue_time_ns"
            "From a request's arrival to its first admission."
            [vllm_v0 = "request_queue_time_seconds", vllm_v1 = "request_queue_time_seconds", sglang = "queue_time_seconds"];
        PREFILL_TIME: Histogram Nanoseconds "prefill_time_ns"
            "From a request's first admission to its first token, time preempted taken out."
            [vllm_v0 = "request_prefill_time_seconds", vllm_v1 = "request_prefill_time_seconds"];
        DECODE_TIME: Histogram Nanoseconds "decode_time_ns"
            "From a request's first token to its last, time preempted taken out."
            [vllm_v0 = "request_decode_time_seconds", vllm_v1 = "request_decode_time_seconds"];
        STEP_TIME: Histogram Nanoseconds "step_time_ns"
            "Duration of an engine step."
            [];
    }
    "Sizes" {
        STEP_TOKENS: Histogram Tokens "step_tokens"
            "Tokens computed in a step, prefill and decode together."
            [vllm_v0 = "iteration_tokens_total", vllm_v1 = "iteration_tokens_total"];
        STEP_REQUESTS: Histogram Requests "step_requests"
            "Requests that took part in a step."
            [];
        REQUEST_PROMPT_TOKENS: Histogram Tokens "request_prompt_tokens"
            "Prompt tokens per finished request."
            [vllm_v0 = "request_prompt_tokens", vllm_v1 = "request_prompt_tokens", sglang = "prompt_tokens_histogram", otel = "gen_ai.client.token.usage"];
        REQUEST_GENERATION_TOKENS: Histogram Tokens "request_generation_tokens"
            "Generated tokens per finished request."
            [vllm_v0 = "request_generation_tokens", vllm_v1 = "request_generation_tokens", sglang = "generation_tokens_histogram", otel = "gen_ai.client.token.usage"];
    }
    "Block residency" {
        KV_BLOCK_LIFETIME: Histogram Nanoseconds "kv_block_lifetime_ns"
            "From a block's allocation to its being handed out again."
            [vllm_v1 = "kv_block_lifetime_seconds"];
        KV_BLOCK_IDLE_BEFORE_EVICT: Histogram Nanoseconds "kv_block_idle_before_evict_ns"
            "From the last use of an evicted block, as a hit or by the request that held it, to its eviction."
            [vllm_v1 = "kv_block_idle_before_evict_seconds"];
        KV_BLOCK_REUSE_GAP: Histogram Nanoseconds "kv_block_reuse_gap_ns"
            "Between two prefix-cache hits of a block; the first gap counts from the block's becoming reusable."
            [vllm_v1 = "kv_block_reuse_gap_seconds"];
    }
    "Device" {
        DEVICE_MEMORY_TOTAL: Gauge Bytes "device_memory_total_bytes"
            "Memory of the device."
            [];
        DEVICE_MEMORY_USED: Gauge Bytes "device_memory_used_bytes"
            "Memory in use on the device, by any process."
            [];
        DEVICE_UTILIZATION: Gauge Ratio "device_utilization"
            "Share of the last sample period in which a kernel ran."
            [];
        DEVICE_POWER: Gauge Milliwatts "device_power_mw"
            "Power drawn by the device."
            [];
        DEVICE_ENERGY: Counter Millijoules "device_energy_mj"
            "Energy used by the device since the start of the run."
            [];
        DEVICE_SM_CLOCK: Gauge Megahertz "device_sm_clock_mhz"
            "Clock of the device's multiprocessors."
            [];
        DEVICE_MEMORY_CLOCK: Gauge Megahertz "device_memory_clock_mhz"
            "Clock of the device's memory."
            [];
        DEVICE_TEMPERATURE: Gauge Celsius "device_temperature_celsius"
            "Temperature of the device."
            [];
    }
    "The collector itself" {
        COLLECT_TIME: Counter Nanoseconds "collect_time_ns"
            "Time the collector spent reading this source."
            [];
        TICKS_MISSED: Counter Count "ticks_missed"
            "Sampling intervals that passed without a sample, because the collector or the source was late."
            [];
        ROWS_DROPPED: Counter Count "rows_dropped"
            "Step, request and block rows that this source's engine could not hand over because its queue was full."
            [];
        SOURCE_ERRORS: Counter Count "source_errors"
            "Times this source failed, hung or panicked."
            [];
        ANOMALIES: Counter Count "anomalies"
            "Values that could not be true and were clamped: counters that went back, NaN, negative numbers, impossible ratios, clock steps."
            [];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_columns_and_unique() {
        let mut seen = HashSet::new();
        for metric in all() {
            metric.check_name().unwrap();
            assert!(seen.insert(metric.name.clone()), "{} twice", metric.name);
            assert!(metric.help.ends_with('.'), "{}: help is a sentence", metric.name);
        }
    }

    #[test]
    fn units_are_suffixes() {
        for metric in all() {
            let suffix = match metric.unit {
                Unit::Nanoseconds => "_ns",
                Unit::Bytes => "_bytes",
                Unit::Millijoules => "_mj",
                Unit::Milliwatts => "_mw",
                Unit::Megahertz => "_mhz",
                _ => continue,
            };
            assert!(metric.name.ends_with(suffix), "{} wants {suffix}", metric.name);
        }
    }
}
