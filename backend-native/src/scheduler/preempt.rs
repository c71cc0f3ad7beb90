//! Preemption: a running sequence gives its blocks back.

use super::Scheduler;
use crate::config::Preemption;
use crate::device::BlockMove;
use crate::sequence::{Phase, len};
use kvlens_core::record::Release;

impl Scheduler {
    /// Sends a sequence, already out of the running batch, back to the queue.
    pub(super) fn preempt(&mut self, slot: u32, now: u64) {
        if !self.swap_out(slot, now) {
            self.throw_away(slot, now);
        }
        let sequence = &mut self.slab[slot];
        sequence.timing.preempt(now, self.stall);
        self.enqueue(slot);
    }

    /// Moves a sequence's KV to the host pool; false if that is not wanted or there is no room.
    fn swap_out(&mut self, slot: u32, now: u64) -> bool {
        let blocks = self.slab[slot].blocks.len();
        if self.config.preemption == Preemption::Recompute || blocks > self.host.len() {
            return false;
        }
        let sequence = &mut self.slab[slot];
        let free = self.host.split_off(self.host.len() - blocks);
        for (from, to) in sequence.blocks.iter().zip(&free) {
            self.swap_out.push(BlockMove { from: *from, to: *to });
        }
        sequence.host_blocks = free;
        sequence.phase = Phase::Swapped;
        sequence.timing.preemptions_swap += 1;
        self.swapped += 1;
        self.counts.swapped_out += len(&self.slab[slot].host_blocks);
        self.counts.preemptions_swap += 1;
        self.release(slot, now, Release::SwappedOut);
        true
    }

    /// Gives a sequence's KV up, to be computed again.
    fn throw_away(&mut self, slot: u32, now: u64) {
        self.release(slot, now, Release::Preempted);
        let sequence = &mut self.slab[slot];
        sequence.computed = 0;
        sequence.cached_blocks = 0;
        sequence.phase = Phase::Waiting;
        sequence.timing.preemptions_recompute += 1;
        self.counts.preemptions_recompute += 1;
    }
}
