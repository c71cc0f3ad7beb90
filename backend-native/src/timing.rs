//! Where a request's time went.

/// Time that decoding requests lost to others' prefills, added up over all steps.
///
/// A request's share of it is the difference of two readings, so that a step costs the same however many requests wait
/// through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stall {
    /// Time by which steps were longer because of prefills in them.
    pub(crate) total_ns: u64,
    /// Steps with prefills of which nobody knows how long they would have taken without.
    pub(crate) unknown: u64,
}

impl Stall {
    fn since(self, mark: Self) -> Self {
        Self {
            total_ns: self.total_ns - mark.total_ns,
            unknown: self.unknown - mark.unknown,
        }
    }

    fn add(&mut self, other: Self) {
        self.total_ns += other.total_ns;
        self.unknown += other.unknown;
    }
}

/// A request's times and counts, as its row will tell them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timing {
    pub(crate) arrival: u64,
    /// First admission.
    pub(crate) admitted: Option<u64>,
    pub(crate) first_token: Option<u64>,
    pub(crate) last_token: u64,
    pub(crate) longest_gap: Option<u64>,
    /// End of the last step it took part in.
    pub(crate) last_used: u64,
    preempted_at: Option<u64>,
    pub(crate) preempted_in_prefill_ns: u64,
    pub(crate) preempted_in_decode_ns: u64,
    stalled: Stall,
    /// Where the running total stood when it last began to decode.
    stall_mark: Option<Stall>,
    pub(crate) preemptions_recompute: u32,
    pub(crate) preemptions_swap: u32,
    pub(crate) prefill_steps: u32,
    pub(crate) first_step: Option<u64>,
    pub(crate) last_step: Option<u64>,
    pub(crate) cached_prompt_tokens: u32,
    /// Where that is looked for.
    pub(crate) almost_hit_tokens: Option<u32>,
    pub(crate) computed_prompt_tokens: u32,
    pub(crate) recomputed_tokens: u32,
}

impl Timing {
    pub(crate) fn new(arrival: u64) -> Self {
        Self {
            arrival,
            ..Self::default()
        }
    }

    /// Notes an admission; true if it is the first.
    pub(crate) fn admit(&mut self, now: u64, step: u64) -> bool {
        if let Some(at) = self.preempted_at.take() {
            let lost = now.saturating_sub(at);
            match self.first_token {
                Some(_) => self.preempted_in_decode_ns += lost,
                None => self.preempted_in_prefill_ns += lost,
            }
        }
        if self.admitted.is_some() {
            return false;
        }
        self.admitted = Some(now);
        self.first_step = Some(step);
        true
    }

    /// Notes a preemption.
    pub(crate) fn preempt(&mut self, now: u64, total: Stall) {
        self.preempted_at = Some(now);
        self.pause(total);
    }

    /// Notes that it no longer decodes.
    fn pause(&mut self, total: Stall) {
        if let Some(mark) = self.stall_mark.take() {
            self.stalled.add(total.since(mark));
        }
    }

    /// Notes a token; gives the time since the one before.
    pub(crate) fn token(&mut self, now: u64, step: u64, total: Stall) -> Option<u64> {
        self.last_step = Some(step);
        if self.stall_mark.is_none() {
            self.stall_mark = Some(total);
        }
        let gap = self.first_token.map(|_| now.saturating_sub(self.last_token));
        self.first_token.get_or_insert(now);
        self.last_token = now;
        self.longest_gap = self.longest_gap.max(gap);
        gap
    }

    /// Notes the end. A preemption that no admission followed has no length.
    pub(crate) fn end(&mut self, total: Stall) {
        self.pause(total);
    }

    /// Time lost to others' prefills, unless a part of it is not known.
    pub(crate) fn stalled_ns(&self) -> Option<u64> {
        (self.first_token.is_some() && self.stalled.unknown == 0).then_some(self.stalled.total_ns)
    }

    /// From the first admission to the first token, without time preempted.
    pub(crate) fn prefill_ns(&self) -> Option<u64> {
        let span = self.first_token?.saturating_sub(self.admitted?);
        Some(span.saturating_sub(self.preempted_in_prefill_ns))
    }

    /// From the first token to the last, without time preempted.
    pub(crate) fn decode_ns(&self) -> Option<u64> {
        let span = self.last_token.saturating_sub(self.first_token?);
        Some(span.saturating_sub(self.preempted_in_decode_ns))
    }

    /// Time between preemptions and re-admissions.
    pub(crate) fn preempted_ns(&self) -> u64 {
        self.preempted_in_prefill_ns + self.preempted_in_decode_ns
    }
}
