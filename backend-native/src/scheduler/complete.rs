//! What follows from a step that was executed, and how requests end.

use super::Scheduler;
use crate::engine::Output;
use crate::error::{Error, Result};
use crate::sequence::{Phase, Plan};
use kvlens_core::record::{FinishReason, Release};

/// A request that has ended; its slot is used again after the recording has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) slot: u32,
    pub(crate) reason: FinishReason,
}

impl Scheduler {
    /// Counts what a plan computed, once it is computed.
    pub(crate) fn account(&mut self, plan: Plan, now: u64) {
        let sequence = &mut self.slab[plan.slot];
        let end = plan.start + plan.len;
        let before = sequence.computed_before;
        let recomputed = end.min(before).saturating_sub(plan.start);
        let new_prompt = end
            .min(sequence.prompt_len)
            .saturating_sub(plan.start.max(before));
        sequence.computed = end;
        sequence.computed_before = before.max(end);
        sequence.timing.last_used = now;
        sequence.timing.recomputed_tokens += recomputed;
        sequence.timing.computed_prompt_tokens += new_prompt;
        self.kv_tokens_used += u64::from(plan.len);
        self.counts.recomputed_tokens += recomputed;
        self.counts.computed_prompt_tokens += new_prompt;
        if plan.decode {
            self.counts.decode_tokens += plan.len;
            self.counts.decode_kv_tokens += u64::from(end);
        } else {
            sequence.timing.prefill_steps += 1;
            self.counts.prefill_tokens += plan.len;
            self.counts.prefill_kv_tokens += u64::from(end);
        }
    }

    /// Gives a sampled token to its sequence; says whether that ends it.
    pub(crate) fn give(&mut self, slot: u32, token: u32) -> Output {
        let sequence = &mut self.slab[slot];
        sequence.generated.push(token);
        self.counts.sampled += 1;
        let finished = if sequence.stop_token == Some(token) {
            Some(FinishReason::Stop)
        } else if sequence.generated.len() >= sequence.max_tokens as usize {
            Some(FinishReason::Length)
        } else {
            None
        };
        Output {
            request: sequence.id,
            token,
            finished,
        }
    }

    /// Takes ended sequences' blocks, and takes them out of the running batch.
    pub(crate) fn end_running(&mut self, ended: &[Ended], now: u64) {
        for end in ended {
            self.close(end.slot, now);
        }
        if !ended.is_empty() {
            let slab = &self.slab;
            self.running.retain(|slot| slab[*slot].phase == Phase::Running);
        }
    }

    fn close(&mut self, slot: u32, now: u64) {
        self.release(slot, now, Release::Finished);
        let sequence = &mut self.slab[slot];
        if sequence.phase == Phase::Swapped {
            self.swapped -= 1;
        }
        self.host.append(&mut sequence.host_blocks);
        sequence.phase = Phase::Waiting;
        sequence.timing.end(self.stall);
        self.by_id.remove(&sequence.id);
        self.counts.finished += 1;
    }

    /// Lets an ended sequence's slot be used again.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.slab.remove(slot);
    }

    /// Takes a live request out, wherever it is.
    pub(crate) fn abort(&mut self, id: u64, now: u64) -> Result<Ended> {
        let slot = *self.by_id.get(&id).ok_or(Error::UnknownRequest { id })?;
        let ended = Ended {
            slot,
            reason: FinishReason::Abort,
        };
        if self.slab[slot].phase == Phase::Running {
            self.end_running(&[ended], now);
        } else {
            self.waiting.retain(|(_, other)| *other != slot);
            self.close(slot, now);
        }
        Ok(ended)
    }

    /// Ends every request with KV on the device or in the host pool, and forgets the prefix cache: after a failure no
    /// one knows what the blocks hold.
    pub(crate) fn fail_resident(&mut self, now: u64) -> Vec<Ended> {
        let swapped = self.waiting.iter().map(|(_, slot)| *slot);
        let swapped = swapped.filter(|slot| self.slab[*slot].phase == Phase::Swapped);
        let slots: Vec<u32> = self.running.iter().copied().chain(swapped).collect();
        let ended: Vec<Ended> = slots
            .into_iter()
            .map(|slot| Ended {
                slot,
                reason: FinishReason::Error,
            })
            .collect();
        let slab = &self.slab;
        self.waiting
            .retain(|(_, slot)| slab[*slot].phase != Phase::Swapped);
        self.end_running(&ended, now);
        self.pool.reset_cache(now);
        self.plans.clear();
        self.counts.decode_requests = 0;
        self.counts.prefill_requests = 0;
        ended
    }

    /// Notes the last use of all blocks that are held, at the end of recording.
    pub(crate) fn note_uses(&mut self) {
        for slot in &self.running {
            let sequence = &self.slab[*slot];
            for (index, block) in (0..).zip(&sequence.blocks) {
                let filled = sequence.filled(index, self.config.block_size);
                self.pool.note_use(*block, sequence.timing.last_used, filled);
            }
        }
    }
}
