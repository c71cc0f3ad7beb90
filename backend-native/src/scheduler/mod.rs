//! Who runs in a step, on which blocks.
//!
//! As in vLLM V1 there is no prefill phase and no decode phase: a sequence has known tokens and computed ones, and a
//! step computes some of the difference. Running sequences come first, in rank order, each with as many tokens as
//! the step's budget leaves; then waiting ones are admitted, while there are budget, places and blocks. When a running
//! sequence lacks blocks, the one of the last rank is preempted, until there are enough or it is its own turn; so the
//! first rank always gets on. A step that preempted admits no one.
//!
//! | file | what it does |
//! |---|---|
//! | `mod.rs` | the state, and scheduling the running |
//! | `admit.rs` | admission: prefix-cache hits, swapping in |
//! | `blocks.rs` | getting blocks, naming them, giving them back |
//! | `preempt.rs` | preemption by recompute and by swap |
//! | `complete.rs` | what follows from a step's tokens; ends |
//! | `fork.rs` | sequences that share a beginning |

mod admit;
mod audit;
mod blocks;
mod complete;
mod fork;
mod preempt;

pub use audit::AuditError;
pub(crate) use complete::Ended;
pub use fork::Fork;

use crate::block_pool::BlockPool;
use crate::config::{EngineConfig, Policy};
use crate::counts::StepCounts;
use crate::device::{BlockMove, SeqStep, Sequences};
use crate::error::{Error, Result};
use crate::hash::BlockHasher;
use crate::request::Request;
use crate::sequence::{Phase, Plan, Rank, Slab, len};
use crate::timing::Stall;
use kvlens_core::record::AccessRow;
use std::collections::{HashMap, VecDeque};

/// The queues, the pool, and the step that is being made.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) config: EngineConfig,
    pub(crate) pool: BlockPool,
    /// Free blocks of the host pool.
    host: Vec<u32>,
    pub(crate) slab: Slab,
    by_id: HashMap<u64, u32>,
    /// In rank order.
    running: Vec<u32>,
    /// In rank order; preempted sequences are among them.
    waiting: VecDeque<(Rank, u32)>,
    swapped: u32,
    hasher: BlockHasher,
    next_number: u64,
    /// Blocks found for the request that is being admitted.
    found: Vec<u32>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) swap_out: Vec<BlockMove>,
    pub(crate) copies: Vec<BlockMove>,
    pub(crate) swap_in: Vec<BlockMove>,
    pub(crate) counts: StepCounts,
    /// Look-ups of this step, one in `access_sample_every` contents; 0 for none.
    pub(crate) lookups: Vec<AccessRow>,
    access_sample_every: u32,
    /// Token slots filled in held blocks.
    pub(crate) kv_tokens_used: u64,
    pub(crate) stall: Stall,
}

impl Scheduler {
    pub(crate) fn new(config: EngineConfig, pool: BlockPool, access_sample_every: u32) -> Self {
        Self {
            pool,
            host: (0..config.host_blocks).rev().collect(),
            slab: Slab::default(),
            by_id: HashMap::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            swapped: 0,
            hasher: BlockHasher::new(config.block_size),
            next_number: 0,
            found: Vec::new(),
            plans: Vec::new(),
            swap_out: Vec::new(),
            copies: Vec::new(),
            swap_in: Vec::new(),
            counts: StepCounts::default(),
            lookups: Vec::new(),
            access_sample_every,
            kv_tokens_used: 0,
            stall: Stall::default(),
            config,
        }
    }

    /// Sequences in the running batch.
    pub(crate) fn running(&self) -> u32 {
        len(&self.running)
    }

    /// Sequences that wait without KV.
    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX) - self.swapped
    }

    /// Sequences that wait with their KV in the host pool.
    pub(crate) const fn swapped(&self) -> u32 {
        self.swapped
    }

    pub(crate) fn has_work(&self) -> bool {
        !(self.running.is_empty() && self.waiting.is_empty())
    }

    /// Queues a request, unless it can never run.
    pub(crate) fn add(&mut self, request: Request) -> Result<()> {
        let id = request.id;
        let prompt_len = self.check(&request)?;
        let rank = self.next_rank(request.priority);
        let slot = self.slab.insert(request, prompt_len, rank);
        self.by_id.insert(id, slot);
        self.enqueue(slot);
        Ok(())
    }

    /// Checks a request; gives its prompt's length.
    fn check(&self, request: &Request) -> Result<u32> {
        let id = request.id;
        if self.by_id.contains_key(&id) {
            return Err(Error::DuplicateId { id });
        }
        let prompt_len = request.prompt.len() as u64;
        if prompt_len == 0 {
            return Err(Error::EmptyRequest {
                id,
                found: "no prompt token",
            });
        }
        if request.max_tokens == 0 {
            return Err(Error::EmptyRequest {
                id,
                found: "no token to generate",
            });
        }
        // The last token is sampled and never computed.
        let tokens = prompt_len + u64::from(request.max_tokens) - 1;
        let needed = tokens.div_ceil(u64::from(self.config.block_size));
        let never_fits = Error::NeverFits {
            id,
            needed,
            available: self.config.kv_blocks,
            tokens,
        };
        if needed > u64::from(self.config.kv_blocks) || tokens >= u64::from(u32::MAX) {
            return Err(never_fits);
        }
        u32::try_from(prompt_len).map_err(|_| never_fits)
    }

    fn next_rank(&mut self, priority: u32) -> Rank {
        let number = self.next_number;
        self.next_number += 1;
        match self.config.policy {
            Policy::Fcfs => Rank { priority: 0, number },
            Policy::Priority => Rank { priority, number },
        }
    }

    /// Puts a sequence where its rank is among the waiting.
    fn enqueue(&mut self, slot: u32) {
        let rank = self.slab[slot].rank;
        let at = match self.waiting.back() {
            Some((last, _)) if *last > rank => self.waiting.partition_point(|(other, _)| *other < rank),
            _ => self.waiting.len(),
        };
        self.waiting.insert(at, (rank, slot));
    }

    /// Puts a sequence where its rank is in the running batch.
    fn start_running(&mut self, slot: u32) {
        let rank = self.slab[slot].rank;
        self.slab[slot].phase = Phase::Running;
        let slab = &self.slab;
        let at = self.running.partition_point(|other| slab[*other].rank < rank);
        self.running.insert(at, slot);
    }

    /// Plans a step: fills `plans` and the moves.
    pub(crate) fn schedule(&mut self, now: u64, step: u64) {
        self.plans.clear();
        self.swap_out.clear();
        self.copies.clear();
        self.swap_in.clear();
        let before = self.counts.preempted();
        let budget = self.schedule_running(now);
        if self.counts.preempted() == before {
            self.admit_waiting(budget, now, step);
        }
    }

    /// Plans the running sequences; gives the tokens that are left of the budget.
    fn schedule_running(&mut self, now: u64) -> u32 {
        let mut budget = self.config.max_step_tokens;
        let mut at = 0;
        while budget > 0 {
            let Some(&slot) = self.running.get(at) else { break };
            let sequence = &self.slab[slot];
            let tokens = (sequence.tokens() - sequence.computed).min(budget);
            if !self.make_room(slot, tokens, now) {
                break;
            }
            self.plan(slot, tokens, now);
            budget -= tokens;
            at += 1;
        }
        budget
    }

    /// Gets blocks for a running sequence, preempting others; false if it was its own turn.
    fn make_room(&mut self, slot: u32, tokens: u32, now: u64) -> bool {
        while !self.reserve(slot, tokens, now) {
            let Some(victim) = self.running.pop() else {
                return false;
            };
            self.preempt(victim, now);
            if victim == slot {
                return false;
            }
        }
        true
    }

    /// Puts a sequence with enough blocks into the step.
    fn plan(&mut self, slot: u32, tokens: u32, now: u64) {
        self.name_blocks(slot, tokens, now);
        let sequence = &self.slab[slot];
        let start = sequence.computed;
        let sampled = start + tokens == sequence.tokens();
        let is_new = start >= sequence.computed_before;
        let decode = sampled && is_new && tokens == 1 && !sequence.generated.is_empty();
        self.counts.decode_requests += u32::from(decode);
        self.counts.prefill_requests += u32::from(!decode);
        self.plans.push(Plan {
            slot,
            start,
            len: tokens,
            sampled,
            decode,
        });
    }
}

/// A step's sequences, as the device sees them.
pub(crate) struct PlannedSequences<'a> {
    pub(crate) plans: &'a [Plan],
    pub(crate) slab: &'a Slab,
}

impl Sequences for PlannedSequences<'_> {
    fn len(&self) -> usize {
        self.plans.len()
    }

    fn at(&self, index: usize) -> Option<SeqStep<'_>> {
        let plan = self.plans.get(index)?;
        let sequence = &self.slab[plan.slot];
        Some(SeqStep {
            request: sequence.id,
            slot: plan.slot,
            block_table: &sequence.blocks,
            start: plan.start,
            len: plan.len,
            sampled: plan.sampled,
            decode: plan.decode,
            prompt: &sequence.prompt,
            prompt_len: sequence.prompt_len,
            generated: &sequence.generated,
        })
    }
}
