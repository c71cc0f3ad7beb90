//! What a step did, counted while it happens.

/// Counts of one step; from them follow the step's row and the run's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StepCounts {
    pub(crate) admitted: u32,
    pub(crate) finished: u32,
    pub(crate) prefill_requests: u32,
    pub(crate) decode_requests: u32,
    pub(crate) prefill_tokens: u32,
    pub(crate) decode_tokens: u32,
    pub(crate) prefill_kv_tokens: u64,
    pub(crate) decode_kv_tokens: u64,
    pub(crate) sampled: u32,
    pub(crate) recomputed_tokens: u32,
    pub(crate) computed_prompt_tokens: u32,
    pub(crate) prompt_tokens: u32,
    pub(crate) cached_prompt_tokens: u32,
    pub(crate) queries: u32,
    pub(crate) hits: u32,
    pub(crate) almost_hits: u32,
    pub(crate) queries_preempted: u32,
    pub(crate) hits_preempted: u32,
    pub(crate) copied: u32,
    pub(crate) swapped_out: u32,
    pub(crate) swapped_in: u32,
    pub(crate) preemptions_recompute: u32,
    pub(crate) preemptions_swap: u32,
}

impl StepCounts {
    /// Requests that took part.
    pub(crate) const fn requests(&self) -> u32 {
        self.prefill_requests + self.decode_requests
    }

    /// Tokens computed.
    pub(crate) const fn tokens(&self) -> u32 {
        self.prefill_tokens + self.decode_tokens
    }

    /// Requests preempted.
    pub(crate) const fn preempted(&self) -> u32 {
        self.preemptions_recompute + self.preemptions_swap
    }
}
