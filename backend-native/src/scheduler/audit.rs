//! Checks the whole engine by walking all of it.

use super::Scheduler;
use crate::block_pool::PoolError;
use crate::sequence::{Phase, Sequence};
use std::collections::HashMap;

/// An invariant of the engine that does not hold: a bug of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The pool's own.
    #[error("block pool")]
    Pool(#[from] PoolError),
    /// A block is held by another number of sequences than the pool thinks.
    #[error("block {block} is held by {found} sequences, the pool counts {kept}")]
    Holders {
        /// The block.
        block: u32,
        /// Sequences that have it in their table.
        found: u32,
        /// The pool's count.
        kept: u32,
    },
    /// Blocks are held by no sequence.
    #[error("{kept} blocks are held, sequences have {found}")]
    Leaked {
        /// Different blocks in sequences' tables.
        found: usize,
        /// The pool's count.
        kept: u32,
    },
    /// A count differs from what sequences add up to.
    #[error("{what}: {kept} kept, {found} by walking")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The count kept.
        kept: u64,
        /// The count by walking.
        found: u64,
    },
    /// A sequence is in a state that can't be.
    #[error("request {id}: {what}")]
    Sequence {
        /// The request.
        id: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl Scheduler {
    /// Checks every invariant, between two steps.
    pub(crate) fn audit(&self) -> Result<(), AuditError> {
        self.pool.audit()?;
        self.audit_holders()?;
        self.audit_queues()?;
        let host: usize = self
            .waiting
            .iter()
            .map(|(_, slot)| self.slab[*slot].host_blocks.len())
            .sum();
        count(
            "host blocks",
            u64::from(self.config.host_blocks),
            (host + self.host.len()) as u64,
        )
    }

    fn audit_holders(&self) -> Result<(), AuditError> {
        let mut holders: HashMap<u32, (u32, u32)> = HashMap::new();
        for slot in &self.running {
            let sequence = &self.slab[*slot];
            for (index, block) in (0..).zip(&sequence.blocks) {
                let entry = holders.entry(*block).or_default();
                entry.0 += 1;
                entry.1 = entry.1.max(sequence.filled(index, self.config.block_size));
            }
        }
        for (&block, &(found, _)) in &holders {
            let kept = self.pool.holders(block);
            if found != kept {
                return Err(AuditError::Holders { block, found, kept });
            }
        }
        if holders.len() != self.pool.used() as usize {
            return Err(AuditError::Leaked {
                found: holders.len(),
                kept: self.pool.used(),
            });
        }
        let filled = holders.values().map(|(_, filled)| u64::from(*filled)).sum();
        count("token slots used", self.kv_tokens_used, filled)
    }

    fn audit_queues(&self) -> Result<(), AuditError> {
        let slots = || {
            self.running
                .iter()
                .copied()
                .chain(self.waiting.iter().map(|(_, slot)| *slot))
        };
        count("live requests", self.by_id.len() as u64, slots().count() as u64)?;
        let swapped = slots()
            .filter(|slot| self.slab[*slot].phase == Phase::Swapped)
            .count();
        count("swapped requests", u64::from(self.swapped), swapped as u64)?;
        for slot in slots() {
            let sequence = &self.slab[slot];
            if let Some(what) = fault(sequence, self.config.block_size) {
                return Err(AuditError::Sequence {
                    id: sequence.id,
                    what,
                });
            }
        }
        let sorted = self.running.is_sorted_by_key(|slot| self.slab[*slot].rank);
        count("running in order", 1, u64::from(sorted))?;
        count(
            "waiting in order",
            1,
            u64::from(self.waiting.iter().is_sorted_by_key(|(rank, _)| *rank)),
        )
    }
}

fn fault(sequence: &Sequence, block_size: u32) -> Option<&'static str> {
    let blocks = sequence.computed.div_ceil(block_size) as usize;
    let (device, host) = match sequence.phase {
        Phase::Running => (blocks, 0),
        Phase::Swapped => (0, blocks),
        Phase::Waiting => (0, 0),
    };
    if sequence.blocks.len() != device {
        return Some("its table does not fit its tokens");
    }
    if sequence.host_blocks.len() != host {
        return Some("its host blocks do not fit its tokens");
    }
    if sequence.phase == Phase::Waiting && sequence.computed != 0 {
        return Some("it waits without KV and claims some");
    }
    if sequence.computed >= sequence.tokens() {
        return Some("it has computed all its tokens and sampled none");
    }
    if sequence.cached_blocks as usize > sequence.hashes.len() {
        return Some("it has blocks in the cache without a name");
    }
    None
}

fn count(what: &'static str, kept: u64, found: u64) -> Result<(), AuditError> {
    if kept == found {
        Ok(())
    } else {
        Err(AuditError::Count { what, kept, found })
    }
}
