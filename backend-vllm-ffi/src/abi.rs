//! The structs that cross the boundary, and the numbers that go with them.
//!
//! Every struct begins with its own size. A caller that was compiled against an older, shorter one works: what it does
//! not have reads as 0. So does one that was compiled against a newer, longer one: what this library does not know is
//! ignored. Structs grow only at the end, in multiples of 8 bytes.
//!
//! Numbers are written out rather than shifted: the header's readers include some that take no expressions.

/// The version of this boundary: `major << 16 | minor << 8 | patch`. A caller needs the same major number.
pub const KVLENS_ABI_VERSION: u32 = 0x0001_0000;

/// The figures come from a caller of the C functions that says nothing more about them.
pub const KVLENS_ORIGIN_C_API: u32 = 0;
/// The figures come from a stat logger of vLLM's V1 engine.
pub const KVLENS_ORIGIN_STAT_LOGGER: u32 = 1;
/// The figures come from a stat logger of vLLM's V0 engine.
pub const KVLENS_ORIGIN_V0_STAT_LOGGER: u32 = 2;
/// The figures were read from the scheduler and the block manager of an engine in the same process.
pub const KVLENS_ORIGIN_SCHEDULER_POLL: u32 = 3;
/// The figures come from `LLM.get_metrics()`.
pub const KVLENS_ORIGIN_GET_METRICS: u32 = 4;
/// The figures come from the Prometheus registry of the same process.
pub const KVLENS_ORIGIN_PROMETHEUS_REGISTRY: u32 = 5;
/// The figures come from a metrics page read over HTTP.
pub const KVLENS_ORIGIN_METRICS_URL: u32 = 6;

/// No step happened: the figures are a look from outside, and no row goes into `steps`.
pub const KVLENS_STEP_FLAG_POLLED: u32 = 0x1;

/// `requests_running` is known.
pub const KVLENS_STEP_REQUESTS_RUNNING: u64 = 0x1;
/// `requests_waiting` is known.
pub const KVLENS_STEP_REQUESTS_WAITING: u64 = 0x2;
/// `kv_cache_usage` is known.
pub const KVLENS_STEP_KV_CACHE_USAGE: u64 = 0x4;
/// `kv_blocks_total` is known.
pub const KVLENS_STEP_KV_BLOCKS_TOTAL: u64 = 0x8;
/// `generation_tokens` is known.
pub const KVLENS_STEP_GENERATION_TOKENS: u64 = 0x10;
/// `prompt_tokens` is known.
pub const KVLENS_STEP_PROMPT_TOKENS: u64 = 0x20;
/// `preemptions` is known.
pub const KVLENS_STEP_PREEMPTIONS: u64 = 0x40;
/// `requests_deferred` is known.
pub const KVLENS_STEP_REQUESTS_DEFERRED: u64 = 0x80;
/// `prefix_cache_queries` is known.
pub const KVLENS_STEP_PREFIX_CACHE_QUERIES: u64 = 0x100;
/// `prefix_cache_hits` is known.
pub const KVLENS_STEP_PREFIX_CACHE_HITS: u64 = 0x200;
/// `requests_admitted` is known.
pub const KVLENS_STEP_REQUESTS_ADMITTED: u64 = 0x400;
/// `cached_prompt_tokens` is known.
pub const KVLENS_STEP_CACHED_PROMPT_TOKENS: u64 = 0x800;
/// `computed_prompt_tokens` is known.
pub const KVLENS_STEP_COMPUTED_PROMPT_TOKENS: u64 = 0x1000;
/// `prefix_cache_queries_preempted` is known.
pub const KVLENS_STEP_PREFIX_CACHE_QUERIES_PREEMPTED: u64 = 0x2000;
/// `prefix_cache_hits_preempted` is known.
pub const KVLENS_STEP_PREFIX_CACHE_HITS_PREEMPTED: u64 = 0x4000;
/// `requests_swapped` is known.
pub const KVLENS_STEP_REQUESTS_SWAPPED: u64 = 0x8000;
/// `kv_blocks_used` is known.
pub const KVLENS_STEP_KV_BLOCKS_USED: u64 = 0x0001_0000;
/// `kv_blocks_cached` is known.
pub const KVLENS_STEP_KV_BLOCKS_CACHED: u64 = 0x0002_0000;
/// `kv_blocks_free` is known.
pub const KVLENS_STEP_KV_BLOCKS_FREE: u64 = 0x0004_0000;
/// `external_prefix_cache_queries` is known.
pub const KVLENS_STEP_EXTERNAL_PREFIX_CACHE_QUERIES: u64 = 0x0008_0000;
/// `external_prefix_cache_hits` is known.
pub const KVLENS_STEP_EXTERNAL_PREFIX_CACHE_HITS: u64 = 0x0010_0000;
/// `spec_decode_drafts` is known.
pub const KVLENS_STEP_SPEC_DECODE_DRAFTS: u64 = 0x0020_0000;
/// `spec_decode_draft_tokens` is known.
pub const KVLENS_STEP_SPEC_DECODE_DRAFT_TOKENS: u64 = 0x0040_0000;
/// `spec_decode_accepted_tokens` is known.
pub const KVLENS_STEP_SPEC_DECODE_ACCEPTED_TOKENS: u64 = 0x0080_0000;
/// `prefill_requests` is known.
pub const KVLENS_STEP_PREFILL_REQUESTS: u64 = 0x0100_0000;
/// `prefill_tokens` is known.
pub const KVLENS_STEP_PREFILL_TOKENS: u64 = 0x0200_0000;
/// `decode_tokens` is known.
pub const KVLENS_STEP_DECODE_TOKENS: u64 = 0x0400_0000;
/// `step_time_s` is known.
pub const KVLENS_STEP_STEP_TIME: u64 = 0x0800_0000;
/// `prefix_cache_hit_rate` is known.
pub const KVLENS_STEP_PREFIX_CACHE_HIT_RATE: u64 = 0x1000_0000;

/// One engine step: gauges as they are after it, counts of this step alone, and its latencies.
///
/// A field whose bit is not set in `known` is missing, not 0. A field beyond `struct_size` whose bit is set is 0.
/// Negative and non-finite seconds are clamped or left out, and counted as anomalies.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct KvlensStep {
    /// `sizeof(kvlens_step)` as the caller knows it.
    pub struct_size: u32,
    /// Where the figures come from: one of `KVLENS_ORIGIN_*`.
    pub origin: u32,
    /// Which fields hold a value: `KVLENS_STEP_*` or-ed together.
    pub known: u64,
    /// Which of the run's engines: the data-parallel rank.
    pub engine_index: u32,
    /// `KVLENS_STEP_FLAG_*` or-ed together.
    pub flags: u32,
    /// Seconds from arrival to first token, one per request that got its first token; may be NULL when the count is 0.
    pub time_to_first_token_s: *const f64,
    /// How many.
    pub time_to_first_token_count: u64,
    /// Seconds between its last two outputs, one per request that got a further token; may be NULL when the count is 0.
    pub inter_token_latency_s: *const f64,
    /// How many.
    pub inter_token_latency_count: u64,
    /// Requests in the running batch.
    pub requests_running: u64,
    /// Requests queued for admission.
    pub requests_waiting: u64,
    /// KV blocks pinned by live requests over all blocks, 0 to 1.
    pub kv_cache_usage: f64,
    /// KV blocks that requests can use.
    pub kv_blocks_total: u64,
    /// Tokens sampled in this step.
    pub generation_tokens: u64,
    /// Prompt tokens of the requests that the step counts as begun.
    pub prompt_tokens: u64,
    /// Preemptions in this step.
    pub preemptions: u64,
    /// Requests that wait for something other than room, such as a grammar or a remote cache.
    pub requests_deferred: u64,
    /// Tokens looked up in the prefix cache at first admission.
    pub prefix_cache_queries: u64,
    /// Tokens found there.
    pub prefix_cache_hits: u64,
    /// Requests admitted in this step.
    pub requests_admitted: u64,
    /// Prompt tokens that were not computed because they were cached.
    pub cached_prompt_tokens: u64,
    /// Prompt tokens that were computed.
    pub computed_prompt_tokens: u64,
    /// Tokens looked up in the prefix cache when preempted requests were admitted again.
    pub prefix_cache_queries_preempted: u64,
    /// Tokens found there.
    pub prefix_cache_hits_preempted: u64,
    /// Preempted requests whose blocks wait in host memory.
    pub requests_swapped: u64,
    /// KV blocks pinned by live requests; derived from the usage when missing.
    pub kv_blocks_used: u64,
    /// KV blocks that no request holds and whose content can still be hit.
    pub kv_blocks_cached: u64,
    /// KV blocks that hold nothing reusable.
    pub kv_blocks_free: u64,
    /// Tokens looked up in a KV connector's cache.
    pub external_prefix_cache_queries: u64,
    /// Tokens found there.
    pub external_prefix_cache_hits: u64,
    /// Speculative drafts verified.
    pub spec_decode_drafts: u64,
    /// Tokens proposed by them.
    pub spec_decode_draft_tokens: u64,
    /// Proposed tokens accepted.
    pub spec_decode_accepted_tokens: u64,
    /// Requests that computed prompt tokens in this step.
    pub prefill_requests: u64,
    /// Tokens that they computed.
    pub prefill_tokens: u64,
    /// Tokens computed by decoding requests; the number of inter-token latencies when missing.
    pub decode_tokens: u64,
    /// Duration of the step; the time since the engine's last step when missing and the engine was busy.
    pub step_time_s: f64,
    /// Hit rate of the prefix cache, for engines that count nothing better; 0 to 1.
    pub prefix_cache_hit_rate: f64,
}

/// Ended on a stop token or stop string.
pub const KVLENS_FINISH_STOP: u32 = 0;
/// Ended at its token limit.
pub const KVLENS_FINISH_LENGTH: u32 = 1;
/// Given up by the caller.
pub const KVLENS_FINISH_ABORT: u32 = 2;
/// Ended with an error.
pub const KVLENS_FINISH_ERROR: u32 = 3;
/// Ended because it repeated itself.
pub const KVLENS_FINISH_REPETITION: u32 = 4;
/// Ended for any other reason; so is every number that is not in this list.
pub const KVLENS_FINISH_OTHER: u32 = 5;
/// It is not known why it ended.
pub const KVLENS_FINISH_UNKNOWN: u32 = 255;

/// `cached_prompt_tokens` is known.
pub const KVLENS_REQUEST_CACHED_PROMPT_TOKENS: u64 = 0x1;
/// `external_cached_tokens` is known.
pub const KVLENS_REQUEST_EXTERNAL_CACHED_TOKENS: u64 = 0x2;
/// `max_tokens` is known.
pub const KVLENS_REQUEST_MAX_TOKENS: u64 = 0x4;
/// `preemptions` is known.
pub const KVLENS_REQUEST_PREEMPTIONS: u64 = 0x8;
/// `priority` is known.
pub const KVLENS_REQUEST_PRIORITY: u64 = 0x10;
/// `time_to_first_token_s` is known.
pub const KVLENS_REQUEST_TIME_TO_FIRST_TOKEN: u64 = 0x20;
/// `time_per_output_token_s` is known.
pub const KVLENS_REQUEST_TIME_PER_OUTPUT_TOKEN: u64 = 0x40;
/// `e2e_latency_s` is known.
pub const KVLENS_REQUEST_E2E_LATENCY: u64 = 0x80;
/// `queue_time_s` is known.
pub const KVLENS_REQUEST_QUEUE_TIME: u64 = 0x100;
/// `prefill_time_s` is known.
pub const KVLENS_REQUEST_PREFILL_TIME: u64 = 0x200;
/// `decode_time_s` is known.
pub const KVLENS_REQUEST_DECODE_TIME: u64 = 0x400;
/// `inter_token_latency_max_s` is known.
pub const KVLENS_REQUEST_INTER_TOKEN_LATENCY_MAX: u64 = 0x800;

/// One finished request.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct KvlensRequest {
    /// `sizeof(kvlens_request)` as the caller knows it; the same in every element of an array.
    pub struct_size: u32,
    /// One of `KVLENS_FINISH_*`.
    pub finish_reason: u32,
    /// Which optional fields hold a value: `KVLENS_REQUEST_*` or-ed together.
    pub known: u64,
    /// Which of the run's engines: the data-parallel rank.
    pub engine_index: u32,
    /// Set to 0.
    pub reserved: u32,
    /// The identifier, UTF-8, ended by a 0 byte unless it fills the array.
    pub request_id: [u8; 128],
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Prompt tokens found in the prefix cache.
    pub cached_prompt_tokens: u64,
    /// Prompt tokens loaded by a KV connector.
    pub external_cached_tokens: u64,
    /// The request's token limit.
    pub max_tokens: u64,
    /// Times the request was preempted.
    pub preemptions: u64,
    /// Its priority; lower runs earlier.
    pub priority: u64,
    /// From arrival to the first token.
    pub time_to_first_token_s: f64,
    /// (Last token - first token) / (generation tokens - 1).
    pub time_per_output_token_s: f64,
    /// From arrival to the last token.
    pub e2e_latency_s: f64,
    /// From arrival to admission.
    pub queue_time_s: f64,
    /// From admission to the first token.
    pub prefill_time_s: f64,
    /// From the first token to the last.
    pub decode_time_s: f64,
    /// The longest time between two outputs.
    pub inter_token_latency_max_s: f64,
}

/// Handed out again, and lost reusable content.
pub const KVLENS_BLOCK_EVICTED: u32 = 0;
/// Handed out again, and had held nothing reusable.
pub const KVLENS_BLOCK_REALLOCATED: u32 = 1;
/// The prefix cache was reset.
pub const KVLENS_BLOCK_RESET: u32 = 2;
/// Alive when recording ended.
pub const KVLENS_BLOCK_CENSORED: u32 = 3;
/// It is not known how the life ended.
pub const KVLENS_BLOCK_UNKNOWN: u32 = 255;

/// `block` is known.
pub const KVLENS_BLOCK_NUMBER: u64 = 0x1;
/// `prefix_hash` is known.
pub const KVLENS_BLOCK_PREFIX_HASH: u64 = 0x2;
/// `tokens` is known.
pub const KVLENS_BLOCK_TOKENS: u64 = 0x4;
/// `idle_s` is known.
pub const KVLENS_BLOCK_IDLE: u64 = 0x8;
/// `reuse_count` is known.
pub const KVLENS_BLOCK_REUSE_COUNT: u64 = 0x10;
/// `cached_s` is known.
pub const KVLENS_BLOCK_CACHED: u64 = 0x20;

/// One life of a KV block that ended now.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct KvlensBlock {
    /// `sizeof(kvlens_block)` as the caller knows it; the same in every element of an array.
    pub struct_size: u32,
    /// How the life ended: one of `KVLENS_BLOCK_EVICTED` and so on.
    pub end: u32,
    /// Which optional fields hold a value: `KVLENS_BLOCK_NUMBER` and so on, or-ed together.
    pub known: u64,
    /// Which of the run's engines: the data-parallel rank.
    pub engine_index: u32,
    /// One life in this many is reported; 0 counts as 1.
    pub sample_every: u32,
    /// The times between two uses, in seconds; may be NULL when the count is 0.
    pub reuse_gap_s: *const f64,
    /// How many.
    pub reuse_gap_count: u64,
    /// The block's number.
    pub block: u64,
    /// The hash that names its content and its prefix.
    pub prefix_hash: u64,
    /// Token slots filled.
    pub tokens: u64,
    /// Prefix-cache hits on the block, as far as they were counted.
    pub reuse_count: u64,
    /// From allocation to the end.
    pub lifetime_s: f64,
    /// From the last use to the end.
    pub idle_s: f64,
    /// From when its content became reusable to the end.
    pub cached_s: f64,
}

/// A total since the start of the run.
pub const KVLENS_KIND_COUNTER: u32 = 0;
/// A value now.
pub const KVLENS_KIND_GAUGE: u32 = 1;
/// A distribution of whole numbers.
pub const KVLENS_KIND_HISTOGRAM: u32 = 2;

/// Reads a struct of any size.
pub(crate) trait Prefixed: Copy {
    /// The size of the first version's head: no caller has less.
    const HEAD: usize;
    /// All zero.
    const ZERO: Self;
}

impl Prefixed for KvlensStep {
    const HEAD: usize = 56;
    const ZERO: Self = Self {
        struct_size: 0,
        origin: 0,
        known: 0,
        engine_index: 0,
        flags: 0,
        time_to_first_token_s: std::ptr::null(),
        time_to_first_token_count: 0,
        inter_token_latency_s: std::ptr::null(),
        inter_token_latency_count: 0,
        requests_running: 0,
        requests_waiting: 0,
        kv_cache_usage: 0.0,
        kv_blocks_total: 0,
        generation_tokens: 0,
        prompt_tokens: 0,
        preemptions: 0,
        requests_deferred: 0,
        prefix_cache_queries: 0,
        prefix_cache_hits: 0,
        requests_admitted: 0,
        cached_prompt_tokens: 0,
        computed_prompt_tokens: 0,
        prefix_cache_queries_preempted: 0,
        prefix_cache_hits_preempted: 0,
        requests_swapped: 0,
        kv_blocks_used: 0,
        kv_blocks_cached: 0,
        kv_blocks_free: 0,
        external_prefix_cache_queries: 0,
        external_prefix_cache_hits: 0,
        spec_decode_drafts: 0,
        spec_decode_draft_tokens: 0,
        spec_decode_accepted_tokens: 0,
        prefill_requests: 0,
        prefill_tokens: 0,
        decode_tokens: 0,
        step_time_s: 0.0,
        prefix_cache_hit_rate: 0.0,
    };
}

impl Prefixed for KvlensRequest {
    const HEAD: usize = 168;
    const ZERO: Self = Self {
        struct_size: 0,
        finish_reason: 0,
        known: 0,
        engine_index: 0,
        reserved: 0,
        request_id: [0; 128],
        prompt_tokens: 0,
        generation_tokens: 0,
        cached_prompt_tokens: 0,
        external_cached_tokens: 0,
        max_tokens: 0,
        preemptions: 0,
        priority: 0,
        time_to_first_token_s: 0.0,
        time_per_output_token_s: 0.0,
        e2e_latency_s: 0.0,
        queue_time_s: 0.0,
        prefill_time_s: 0.0,
        decode_time_s: 0.0,
        inter_token_latency_max_s: 0.0,
    };
}

impl Prefixed for KvlensBlock {
    const HEAD: usize = 88;
    const ZERO: Self = Self {
        struct_size: 0,
        end: 0,
        known: 0,
        engine_index: 0,
        sample_every: 0,
        reuse_gap_s: std::ptr::null(),
        reuse_gap_count: 0,
        block: 0,
        prefix_hash: 0,
        tokens: 0,
        reuse_count: 0,
        lifetime_s: 0.0,
        idle_s: 0.0,
        cached_s: 0.0,
    };
}

// The layout is the contract: a change here is a new major version.
const _: () = {
    assert!(size_of::<KvlensStep>() == 288 && align_of::<KvlensStep>() == 8);
    assert!(std::mem::offset_of!(KvlensStep, requests_running) == KvlensStep::HEAD);
    assert!(std::mem::offset_of!(KvlensStep, prefix_cache_hit_rate) == 280);
    assert!(size_of::<KvlensRequest>() == 264 && align_of::<KvlensRequest>() == 8);
    assert!(std::mem::offset_of!(KvlensRequest, prompt_tokens) == 152);
    assert!(std::mem::offset_of!(KvlensRequest, inter_token_latency_max_s) == 256);
    assert!(size_of::<KvlensBlock>() == 96 && align_of::<KvlensBlock>() == 8);
    assert!(std::mem::offset_of!(KvlensBlock, cached_s) == KvlensBlock::HEAD);
};
