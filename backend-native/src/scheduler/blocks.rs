//! A sequence's blocks: getting them, naming them, giving them back.

use super::Scheduler;
use crate::device::BlockMove;
use crate::sequence::len;
use kvlens_core::record::Release;

impl Scheduler {
    /// Gets the blocks that a sequence's next tokens need, all or none.
    ///
    /// The last block, where it is partly filled and shared with a fork, is copied first.
    pub(super) fn reserve(&mut self, slot: u32, tokens: u32, now: u64) -> bool {
        let sequence = &self.slab[slot];
        let needed = (sequence.computed + tokens).div_ceil(self.config.block_size);
        let missing = needed.saturating_sub(len(&sequence.blocks));
        let shared = if sequence.forked {
            self.shared_partial(slot)
        } else {
            None
        };
        if missing + u32::from(shared.is_some()) > self.pool.available() {
            return false;
        }
        if let Some(index) = shared {
            self.copy_on_write(slot, index, now);
        }
        self.slab[slot].forked = false;
        self.allocate(slot, missing, now);
        true
    }

    /// Appends blocks to a sequence; the caller has made sure that there are enough.
    pub(super) fn allocate(&mut self, slot: u32, count: u32, now: u64) {
        for _ in 0..count {
            if let Some(block) = self.pool.allocate(now) {
                self.slab[slot].blocks.push(block);
            }
        }
    }

    /// The place of the block that the sequence writes to next, if others hold it too.
    fn shared_partial(&self, slot: u32) -> Option<usize> {
        let sequence = &self.slab[slot];
        let index = (sequence.computed / self.config.block_size) as usize;
        let block = *sequence.blocks.get(index)?;
        self.pool.is_shared(block).then_some(index)
    }

    fn copy_on_write(&mut self, slot: u32, index: usize, now: u64) {
        let Some(to) = self.pool.allocate(now) else { return };
        let sequence = &mut self.slab[slot];
        let filled = sequence.computed % self.config.block_size;
        let from = std::mem::replace(&mut sequence.blocks[index], to);
        let last_used = sequence.timing.last_used;
        self.pool.release(from, now, last_used, Release::Copied, filled);
        self.copies.push(BlockMove { from, to });
        self.kv_tokens_used += u64::from(filled);
        self.counts.copied += 1;
    }

    /// Makes the blocks that the planned tokens fill known by name.
    ///
    /// That is before they are computed, so that a sequence admitted in the same step can share them; the order in
    /// which a device executes a step makes it right.
    pub(super) fn name_blocks(&mut self, slot: u32, tokens: u32, now: u64) {
        if !self.config.prefix_caching {
            return;
        }
        let sequence = &mut self.slab[slot];
        let whole = (sequence.computed + tokens) / self.config.block_size;
        let first = sequence.cached_blocks;
        sequence.cached_blocks = first.max(whole);
        for index in first..whole {
            self.name_block(slot, index, now);
        }
    }

    /// Makes one whole block of a sequence known by name.
    pub(super) fn name_block(&mut self, slot: u32, index: u32, now: u64) {
        let block_size = self.config.block_size;
        let sequence = &mut self.slab[slot];
        let block = sequence.blocks[index as usize];
        let hash = sequence.hash(index, block_size, &mut self.hasher);
        if self.pool.cache(block, hash, now) && self.pool.keeps_contents() {
            self.pool
                .note_content(block, sequence.content(index, block_size, block_size));
        }
    }

    /// Gives all blocks of a sequence back, the last first.
    pub(super) fn release(&mut self, slot: u32, now: u64, by: Release) {
        let sequence = &mut self.slab[slot];
        let last_used = sequence.timing.last_used;
        let mut index = len(&sequence.blocks);
        while let Some(block) = sequence.blocks.pop() {
            index -= 1;
            let filled = sequence.filled(index, self.config.block_size);
            if self.pool.release(block, now, last_used, by, filled) {
                self.kv_tokens_used -= u64::from(filled);
            }
        }
    }
}
