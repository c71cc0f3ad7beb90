//! Which metrics a vLLM engine can know: the catalog's, and a few of vLLM's own.

use kvlens_core::catalog as c;
use kvlens_core::{Kind, MetricDesc, Unit};

/// Requests that wait for something other than room.
pub static REQUESTS_DEFERRED: MetricDesc = MetricDesc::new(
    "requests_deferred",
    Kind::Gauge,
    Unit::Requests,
    "Requests that wait for something other than room, such as a grammar or a remote cache; vLLM 0.20 and later.",
);

/// The rate that vLLM's V0 engine keeps instead of hits and queries.
pub static PREFIX_CACHE_HIT_RATE: MetricDesc = MetricDesc::new(
    "vllm_v0_prefix_cache_hit_rate",
    Kind::Gauge,
    Unit::Ratio,
    "Share of blocks found in the prefix cache since the engine's start, as vLLM's V0 engine keeps it; it counts no hits.",
);

/// A counter's place in [`COUNTERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Steps,
    Preemptions,
    PrefixQueries,
    PrefixHits,
    PrefixQueriesPreempted,
    PrefixHitsPreempted,
    ExternalQueries,
    ExternalHits,
    PromptTokens,
    CachedPromptTokens,
    ComputedPromptTokens,
    GenerationTokens,
    FinishedStop,
    FinishedLength,
    FinishedAbort,
    FinishedError,
    FinishedOther,
    Drafts,
    DraftTokens,
    AcceptedTokens,
}

/// By [`Count`].
pub(crate) static COUNTERS: [&MetricDesc; 20] = [
    &c::STEPS,
    &c::PREEMPTIONS_RECOMPUTE,
    &c::PREFIX_CACHE_QUERIES,
    &c::PREFIX_CACHE_HITS,
    &c::PREFIX_CACHE_QUERIES_PREEMPTED,
    &c::PREFIX_CACHE_HITS_PREEMPTED,
    &c::EXTERNAL_PREFIX_CACHE_QUERIES,
    &c::EXTERNAL_PREFIX_CACHE_HITS,
    &c::PROMPT_TOKENS,
    &c::CACHED_PROMPT_TOKENS,
    &c::COMPUTED_PROMPT_TOKENS,
    &c::GENERATION_TOKENS,
    &c::REQUESTS_FINISHED_STOP,
    &c::REQUESTS_FINISHED_LENGTH,
    &c::REQUESTS_FINISHED_ABORT,
    &c::REQUESTS_FINISHED_ERROR,
    &c::REQUESTS_FINISHED_OTHER,
    &c::SPEC_DECODE_DRAFTS,
    &c::SPEC_DECODE_DRAFT_TOKENS,
    &c::SPEC_DECODE_ACCEPTED_TOKENS,
];

/// A gauge's place in [`GAUGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Running,
    Waiting,
    Swapped,
    Deferred,
    BlocksTotal,
    BlocksUsed,
    BlocksCached,
    BlocksFree,
    Usage,
    HitRate,
}

/// By [`Level`].
pub(crate) static GAUGES: [&MetricDesc; 10] = [
    &c::REQUESTS_RUNNING,
    &c::REQUESTS_WAITING,
    &c::REQUESTS_SWAPPED,
    &REQUESTS_DEFERRED,
    &c::KV_BLOCKS_TOTAL,
    &c::KV_BLOCKS_USED,
    &c::KV_BLOCKS_CACHED,
    &c::KV_BLOCKS_FREE,
    &c::KV_CACHE_USAGE,
    &PREFIX_CACHE_HIT_RATE,
];

/// A histogram's place in [`HISTOGRAMS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    FirstToken,
    InterToken,
    PerOutputToken,
    EndToEnd,
    Queue,
    Prefill,
    Decode,
    StepTime,
    StepTokens,
    RequestPrompt,
    RequestGeneration,
    BlockLifetime,
    BlockIdle,
    BlockReuseGap,
}

/// By [`Spread`].
pub(crate) static HISTOGRAMS: [&MetricDesc; 14] = [
    &c::TIME_TO_FIRST_TOKEN,
    &c::INTER_TOKEN_LATENCY,
    &c::TIME_PER_OUTPUT_TOKEN,
    &c::E2E_LATENCY,
    &c::QUEUE_TIME,
    &c::PREFILL_TIME,
    &c::DECODE_TIME,
    &c::STEP_TIME,
    &c::STEP_TOKENS,
    &c::REQUEST_PROMPT_TOKENS,
    &c::REQUEST_GENERATION_TOKENS,
    &c::KV_BLOCK_LIFETIME,
    &c::KV_BLOCK_IDLE_BEFORE_EVICT,
    &c::KV_BLOCK_REUSE_GAP,
];

/// How many metrics there are before the caller's own.
pub(crate) const STANDARD: usize = COUNTERS.len() + GAUGES.len() + HISTOGRAMS.len();

/// Lists every metric that [`VllmSource`](crate::VllmSource) may know, before the caller's own: counters, gauges,
/// histograms.
pub fn standard() -> impl Iterator<Item = &'static MetricDesc> {
    let histograms = HISTOGRAMS.iter().copied();
    COUNTERS
        .iter()
        .copied()
        .chain(GAUGES.iter().copied())
        .chain(histograms)
}
