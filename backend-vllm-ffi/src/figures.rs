//! What an engine says of a step, of a request, of a block: as Rust values, with what is missing as such.

use kvlens_core::record::{BlockEnd, FinishReason, Text};

/// Where figures come from: the `served_by` of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Origin {
    /// The C functions, from a caller that says nothing more.
    #[default]
    CApi,
    /// A stat logger of vLLM's V1 engine.
    StatLogger,
    /// A stat logger of vLLM's V0 engine.
    V0StatLogger,
    /// The scheduler and block manager of an engine in the same process.
    SchedulerPoll,
    /// `LLM.get_metrics()`.
    GetMetrics,
    /// The Prometheus registry of the same process.
    PrometheusRegistry,
    /// A metrics page read over HTTP.
    MetricsUrl,
}

impl Origin {
    const ALL: [Self; 7] = [
        Self::CApi,
        Self::StatLogger,
        Self::V0StatLogger,
        Self::SchedulerPoll,
        Self::GetMetrics,
        Self::PrometheusRegistry,
        Self::MetricsUrl,
    ];

    /// The origin's number at the boundary.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Finds an origin by its number; an unknown one is [`Origin::CApi`].
    pub fn from_number(number: u32) -> Self {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(at).copied().unwrap_or_default()
    }

    /// The origin's name in the data.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CApi => "c_api",
            Self::StatLogger => "stat_logger",
            Self::V0StatLogger => "v0_stat_logger",
            Self::SchedulerPoll => "scheduler_poll",
            Self::GetMetrics => "get_metrics",
            Self::PrometheusRegistry => "prometheus_registry",
            Self::MetricsUrl => "metrics_url",
        }
    }
}

/// One engine step: gauges as they are after it, counts of this step alone.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "named and described as the fields of `KvlensStep`")]
pub struct StepFigures {
    pub origin: Origin,
    pub engine_index: u32,
    /// No step happened: the figures are a look from outside.
    pub polled: bool,
    pub requests_running: Option<u64>,
    pub requests_waiting: Option<u64>,
    pub requests_deferred: Option<u64>,
    pub requests_swapped: Option<u64>,
    pub requests_admitted: Option<u64>,
    pub kv_cache_usage: Option<f64>,
    pub kv_blocks_total: Option<u64>,
    pub kv_blocks_used: Option<u64>,
    pub kv_blocks_cached: Option<u64>,
    pub kv_blocks_free: Option<u64>,
    pub prefix_cache_queries: Option<u64>,
    pub prefix_cache_hits: Option<u64>,
    pub prefix_cache_queries_preempted: Option<u64>,
    pub prefix_cache_hits_preempted: Option<u64>,
    pub external_prefix_cache_queries: Option<u64>,
    pub external_prefix_cache_hits: Option<u64>,
    pub prefix_cache_hit_rate: Option<f64>,
    pub prompt_tokens: Option<u64>,
    pub cached_prompt_tokens: Option<u64>,
    pub computed_prompt_tokens: Option<u64>,
    pub generation_tokens: Option<u64>,
    pub preemptions: Option<u64>,
    pub spec_decode_drafts: Option<u64>,
    pub spec_decode_draft_tokens: Option<u64>,
    pub spec_decode_accepted_tokens: Option<u64>,
    pub prefill_requests: Option<u64>,
    pub prefill_tokens: Option<u64>,
    pub decode_tokens: Option<u64>,
    pub step_time_s: Option<f64>,
}

/// One finished request.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "named and described as the fields of `KvlensRequest`")]
pub struct RequestFigures {
    pub request_id: Text,
    pub engine_index: u32,
    pub finish_reason: FinishReason,
    pub prompt_tokens: u64,
    pub generation_tokens: u64,
    pub cached_prompt_tokens: Option<u64>,
    pub external_cached_tokens: Option<u64>,
    pub max_tokens: Option<u64>,
    pub preemptions: Option<u64>,
    pub priority: Option<u64>,
    pub time_to_first_token_s: Option<f64>,
    pub time_per_output_token_s: Option<f64>,
    pub e2e_latency_s: Option<f64>,
    pub queue_time_s: Option<f64>,
    pub prefill_time_s: Option<f64>,
    pub decode_time_s: Option<f64>,
    pub inter_token_latency_max_s: Option<f64>,
}

/// One life of a KV block that ended now.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "named and described as the fields of `KvlensBlock`")]
pub struct BlockFigures {
    pub engine_index: u32,
    pub end: BlockEnd,
    pub sample_every: u32,
    pub block: Option<u64>,
    pub prefix_hash: Option<u64>,
    pub tokens: Option<u64>,
    pub reuse_count: Option<u64>,
    pub lifetime_s: f64,
    pub idle_s: Option<f64>,
    pub cached_s: Option<f64>,
}
