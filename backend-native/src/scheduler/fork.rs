//! Sequences that share a beginning.

use super::Scheduler;
use crate::error::{Error, Result};
use crate::request::{Prompt, Request};
use crate::sequence::{Phase, Slab, len};

/// A sequence that branches off another.
///
/// It shares all KV that the other has, block by block; whoever writes to a shared block first gets a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The request to branch off; it must be running and have sampled a token.
    pub parent: u64,
    /// The new request's number.
    pub id: u64,
    /// The token that the new request has in place of the parent's newest one.
    pub token: u32,
    /// How many tokens the new request generates at most, after `token`.
    pub max_tokens: u32,
}

impl Scheduler {
    /// Starts a request that shares its parent's blocks.
    ///
    /// Its prompt is the parent's tokens, the newest replaced; all but that one count as cached.
    pub(crate) fn fork(&mut self, fork: Fork, now: u64, step: u64) -> Result<()> {
        let parent = self.forkable(fork.parent)?;
        let request = child_request(&self.slab, parent, fork, now);
        let prompt_len = self.check(&request)?;
        let rank = self.next_rank(request.priority);
        let child = self.slab.insert(request, prompt_len, rank);
        self.by_id.insert(fork.id, child);
        self.share_blocks(parent, child);
        self.counts.admitted += 1;
        self.counts.prompt_tokens += prompt_len;
        self.counts.cached_prompt_tokens += prompt_len - 1;
        let timing = &mut self.slab[child].timing;
        timing.admit(now, step);
        timing.cached_prompt_tokens = prompt_len - 1;
        self.start_running(child);
        Ok(())
    }

    fn forkable(&self, id: u64) -> Result<u32> {
        let slot = *self.by_id.get(&id).ok_or(Error::UnknownRequest { id })?;
        let sequence = &self.slab[slot];
        let refuse = |reason| Err(Error::NotForkable { id, reason });
        if sequence.phase != Phase::Running {
            return refuse("it is not running");
        }
        if sequence.generated.is_empty() || sequence.computed + 1 != sequence.tokens() {
            return refuse("it has not sampled a token since its last prefill");
        }
        if self.running() >= self.config.max_running {
            return refuse("the running batch is full");
        }
        Ok(slot)
    }

    fn share_blocks(&mut self, parent: u32, child: u32) {
        self.slab[parent].forked = true;
        let sequence = &self.slab[parent];
        let (computed, cached_blocks) = (sequence.computed, sequence.cached_blocks);
        let last_used = sequence.timing.last_used;
        let blocks = sequence.blocks.clone();
        let hashes = sequence.hashes.clone();
        for block in &blocks {
            self.pool.share(*block);
        }
        let sequence = &mut self.slab[child];
        sequence.computed = computed;
        sequence.computed_before = computed;
        sequence.cached_blocks = cached_blocks;
        sequence.blocks = blocks;
        // None of them holds the replaced token: it is not computed yet.
        sequence.hashes = hashes;
        sequence.timing.last_used = last_used;
        sequence.forked = true;
    }
}

fn child_request(slab: &Slab, parent: u32, fork: Fork, now: u64) -> Request {
    let sequence = &slab[parent];
    let mut tokens = vec![0; sequence.prompt_len as usize];
    sequence.prompt.read(0, &mut tokens);
    let kept = len(&sequence.generated) - 1;
    tokens.extend_from_slice(&sequence.generated[..kept as usize]);
    tokens.push(fork.token);
    let mut request = Request::new(fork.id, Prompt::tokens(tokens), fork.max_tokens)
        .with_arrival_ns(now)
        .with_priority(sequence.priority)
        .with_extra_key(sequence.extra_key);
    request.stop_token = sequence.stop_token;
    request
}
