//! Checks a pool by walking all of it.

use super::{BlockPool, NIL};
use crate::hash::BlockHash;

/// An invariant of the pool that does not hold: a bug of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// A count that is kept differs from the count by walking.
    #[error("{what}: {kept} kept, {walked} by walking")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The count kept.
        kept: u64,
        /// The count by walking.
        walked: u64,
    },
    /// A block is in a list or in the index and should not be.
    #[error("block {block} is {found}")]
    Misplaced {
        /// The block.
        block: u32,
        /// Where it is.
        found: &'static str,
    },
}

impl BlockPool {
    /// Checks every invariant by walking everything: for tests.
    ///
    /// Held, cached and free blocks add up to the total; a block is held or in exactly one list; the index names
    /// exactly the blocks that have a name.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn audit(&self) -> Result<(), PoolError> {
        let held = self.blocks.iter().filter(|block| block.is_held()).count();
        let fresh = u64::from(self.total) + 1 - self.blocks.len() as u64;
        let cached = self.walk(self.lru.head().unwrap_or(NIL), true)?;
        let spare = self.walk(self.spare_head, false)?;
        count("used blocks", u64::from(self.used), held as u64)?;
        count("cached blocks", u64::from(self.cached()), cached)?;
        count("spare blocks", u64::from(self.spare), spare)?;
        count("free blocks", u64::from(self.free()), spare + fresh)?;
        count(
            "all blocks",
            u64::from(self.total),
            held as u64 + cached + spare + fresh,
        )?;
        self.audit_index()
    }

    /// Counts a list's blocks, none of which is held, and all or none of which have a name.
    fn walk(&self, head: u32, named: bool) -> Result<u64, PoolError> {
        let mut walked = 0;
        let mut at = head;
        while let Some(block) = self.blocks.get(at as usize) {
            if block.is_held() || block.hash.is_some() != named || at == super::NULL_BLOCK {
                return Err(PoolError::Misplaced {
                    block: at,
                    found: if named {
                        "in the LRU list"
                    } else {
                        "in the spare list"
                    },
                });
            }
            walked += 1;
            at = block.next;
        }
        Ok(walked)
    }

    fn audit_index(&self) -> Result<(), PoolError> {
        let named = self
            .blocks
            .iter()
            .filter(|block| block.hash != BlockHash::NONE)
            .count();
        count("named blocks", self.index.iter().count() as u64, named as u64)?;
        if let Some(contents) = &self.contents {
            count("known contents", contents.len() as u64, named as u64)?;
        }
        match self
            .index
            .iter()
            .find(|&id| !self.blocks[id as usize].hash.is_some())
        {
            Some(block) => Err(PoolError::Misplaced {
                block,
                found: "in the index without a name",
            }),
            None => Ok(()),
        }
    }

    /// Sequences that hold a block.
    pub fn holders(&self, id: u32) -> u32 {
        self.blocks
            .get(id as usize)
            .filter(|block| block.is_held())
            .map_or(0, |block| block.holders)
    }
}

fn count(what: &'static str, kept: u64, walked: u64) -> Result<(), PoolError> {
    if kept == walked {
        Ok(())
    } else {
        Err(PoolError::Count { what, kept, walked })
    }
}
