//! Admission: from the queue into the running batch.

use super::Scheduler;
use crate::device::BlockMove;
use crate::sequence::{Phase, len};
use kvlens_core::record::AccessRow;

/// Blocks that a lookup found for a sequence, in `Scheduler::found`.
#[derive(Debug, Clone, Copy, Default)]
struct Hits {
    blocks: u32,
    /// Those that no sequence holds: taking them makes fewer available.
    evictable: u32,
}

impl Scheduler {
    /// Admits waiting sequences in rank order until one does not fit.
    pub(super) fn admit_waiting(&mut self, mut budget: u32, now: u64, step: u64) {
        while budget > 0 && self.running() < self.config.max_running {
            let Some(&(_, slot)) = self.waiting.front() else {
                break;
            };
            let admitted = match self.slab[slot].phase {
                Phase::Swapped => self.swap_in(slot, budget, now),
                Phase::Waiting | Phase::Running => self.start(slot, budget, now),
            };
            let Some(tokens) = admitted else { break };
            self.waiting.pop_front();
            self.counts.admitted += 1;
            self.slab[slot].timing.admit(now, step);
            self.start_running(slot);
            self.plan(slot, tokens, now);
            budget -= tokens;
        }
    }

    /// Gives a sequence its cached blocks and those for its first tokens; `None` if there are not enough.
    fn start(&mut self, slot: u32, budget: u32, now: u64) -> Option<u32> {
        let hits = self.find(slot);
        let cached = hits.blocks * self.config.block_size;
        let tokens = (self.slab[slot].tokens() - cached).min(budget);
        let missing = (cached + tokens).div_ceil(self.config.block_size) - hits.blocks;
        if missing + hits.evictable > self.pool.available() {
            return None;
        }
        self.count_almost_hits(slot, hits.blocks);
        for &block in &self.found {
            self.pool.hit(block, now);
        }
        self.kv_tokens_used += u64::from(hits.evictable) * u64::from(self.config.block_size);
        let sequence = &mut self.slab[slot];
        sequence.blocks.extend_from_slice(&self.found);
        sequence.computed = cached;
        sequence.cached_blocks = hits.blocks;
        self.allocate(slot, missing, now);
        if self.access_sample_every > 0 && self.config.prefix_caching {
            self.note_lookups(slot, hits.blocks, now);
        }
        self.count_lookup(slot, cached);
        Some(tokens)
    }

    /// Notes the look-up of each whole block of an admitted sequence, those after the first missing one too.
    fn note_lookups(&mut self, slot: u32, found: u32, now: u64) {
        let sequence = &mut self.slab[slot];
        for position in 0..sequence.tokens() / self.config.block_size {
            let name = sequence
                .hash(position, self.config.block_size, &mut self.hasher)
                .low();
            if !name.is_multiple_of(u64::from(self.access_sample_every)) {
                continue;
            }
            self.lookups.push(AccessRow {
                monotonic_ns: now,
                prefix_hash: name,
                position,
                engine_index: self.config.engine_index,
                sample_every: self.access_sample_every,
                hit: position < found,
                first_admission: sequence.timing.admitted.is_none(),
            });
        }
    }

    /// Looks up a sequence's whole blocks until one is missing; never all of its tokens, since the last must be
    /// computed for the next to be sampled.
    fn find(&mut self, slot: u32) -> Hits {
        self.found.clear();
        let mut hits = Hits::default();
        if !self.config.prefix_caching {
            return hits;
        }
        let block_size = self.config.block_size;
        let sequence = &mut self.slab[slot];
        let most = (sequence.tokens() - 1) / block_size;
        while hits.blocks < most {
            let hash = sequence.hash(hits.blocks, block_size, &mut self.hasher);
            let Some(block) = self.pool.lookup(hash) else {
                break;
            };
            hits.blocks += 1;
            hits.evictable += u32::from(!self.pool.is_held(block));
            self.found.push(block);
        }
        hits
    }

    /// Counts the prompt tokens after the blocks found that a block in the cache begins with all the same. Looked for
    /// before blocks are handed out, which may evict that one.
    fn count_almost_hits(&mut self, slot: u32, found: u32) {
        let block_size = self.config.block_size;
        let sequence = &mut self.slab[slot];
        if sequence.timing.admitted.is_some() || !self.config.prefix_caching || !self.pool.keeps_contents() {
            return;
        }
        let tokens = block_size.min(sequence.prompt_len - found * block_size);
        let agreeing = self.pool.agreeing(sequence.content(found, block_size, tokens));
        let agreeing = u32::try_from(agreeing).unwrap_or(u32::MAX);
        sequence.timing.almost_hit_tokens = Some(agreeing);
        self.counts.almost_hits += agreeing;
    }

    fn count_lookup(&mut self, slot: u32, cached: u32) {
        let sequence = &mut self.slab[slot];
        let (prompt, tokens) = (sequence.prompt_len, sequence.tokens());
        sequence.computed_before = sequence.computed_before.max(cached);
        let first = sequence.timing.admitted.is_none();
        if first {
            sequence.timing.cached_prompt_tokens = cached;
            self.counts.prompt_tokens += prompt;
            self.counts.cached_prompt_tokens += cached;
        }
        if !self.config.prefix_caching {
            return;
        }
        if first {
            self.counts.queries += prompt;
            self.counts.hits += cached;
        } else {
            self.counts.queries_preempted += tokens;
            self.counts.hits_preempted += cached;
        }
    }

    /// Gives a sequence blocks of the device for its KV in the host pool; `None` if there are not enough.
    fn swap_in(&mut self, slot: u32, budget: u32, now: u64) -> Option<u32> {
        let sequence = &self.slab[slot];
        let tokens = (sequence.tokens() - sequence.computed).min(budget);
        let needed = (sequence.computed + tokens).div_ceil(self.config.block_size);
        if needed > self.pool.available() {
            return None;
        }
        self.allocate(slot, needed, now);
        let sequence = &mut self.slab[slot];
        for (from, to) in sequence.host_blocks.iter().zip(&sequence.blocks) {
            self.swap_in.push(BlockMove { from: *from, to: *to });
        }
        self.counts.swapped_in += len(&sequence.host_blocks);
        self.host.append(&mut sequence.host_blocks);
        self.kv_tokens_used += u64::from(sequence.computed);
        for index in 0..sequence.cached_blocks {
            self.name_block(slot, index, now);
        }
        self.swapped -= 1;
        Some(tokens)
    }
}
