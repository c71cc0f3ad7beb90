//! The KV blocks of a device: who holds them, what they hold, which goes next.
//!
//! A flat vector of 32-byte entries; everything else is numbers into it. A block is in one of four places:
//!
//! | place | `refs` | hash | list |
//! |---|---|---|---|
//! | held | > 0 | any | none |
//! | cached: evictable, content reusable | 0 | some | LRU, doubly linked: hits take from its middle |
//! | spare: freed, nothing reusable | 0 | none | stack, last in first out |
//! | fresh: never handed out | 0 | none | none: all numbers from `blocks.len()` on |
//!
//! Blocks are handed out from spare, then fresh, then the LRU's head: the order of vLLM's single queue, where uncached
//! blocks go to the front and cached ones to the tail. A cached block loses its content only then. Every transition is
//! one function here, which is what makes the accounting exact.

mod audit;
mod contents;
mod index;
mod lives;
mod lru;

pub use audit::PoolError;
pub(crate) use contents::Content;
pub use lives::Lives;

use crate::hash::BlockHash;
use contents::Contents;
use index::Index;
use kvlens_core::record::{BlockEnd, Release};
use lru::Lru;

/// The block that stands for "no block": never handed out.
pub const NULL_BLOCK: u32 = 0;

/// No block, in a link.
const NIL: u32 = u32::MAX;

/// What is known of a block.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// The name of its content while that is reusable.
    hash: BlockHash,
    /// Sequences that hold it; while there is none, [`FREE`] and what made the last one let go.
    holders: u32,
    prev: u32,
    next: u32,
    /// Its present life in [`Lives`], if that is recorded.
    life: u32,
}

const _: () = assert!(size_of::<Block>() == 32, "millions of blocks are kept");

/// Set in `holders` when no sequence holds the block; the other bits say what released it.
const FREE: u32 = 1 << 31;
/// Free, released by a preemption.
const FREE_PREEMPTED: u32 = FREE | 1;

impl Block {
    const fn is_held(&self) -> bool {
        self.holders & FREE == 0
    }
}

/// What a pool has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolTotals {
    /// Blocks handed out.
    pub allocated: u64,
    /// Blocks whose reusable content was lost by being handed out again.
    pub evicted: u64,
    /// Those of them that a preemption had released.
    pub evicted_preempted: u64,
}

/// The KV blocks of a device.
///
/// ```
/// use kvlens_core::record::Release;
/// use kvlens_native::{BlockPool, Lives};
/// let mut pool = BlockPool::new(2, Lives::off());
/// let a = pool.allocate(10).unwrap();
/// let b = pool.allocate(10).unwrap();
/// assert_eq!(pool.allocate(10), None, "all are held");
/// pool.release(a, 20, 20, Release::Finished, 16);
/// assert_eq!((pool.used(), pool.cached(), pool.free()), (1, 0, 1));
/// assert_ne!(a, b);
/// ```
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    index: Index,
    lru: Lru,
    spare_head: u32,
    spare: u32,
    total: u32,
    used: u32,
    totals: PoolTotals,
    lives: Lives,
    /// What blocks with a name hold, if that is wanted.
    contents: Option<Box<Contents>>,
}

impl BlockPool {
    /// Makes a pool of `total` blocks, numbered from 1.
    pub fn new(total: u32, lives: Lives) -> Self {
        // Memory for all of them is reserved and touched only as far as blocks are used.
        let mut blocks = Vec::with_capacity(total as usize + 1);
        blocks.push(Block {
            hash: BlockHash::NONE,
            holders: FREE,
            prev: NIL,
            next: NIL,
            life: lives::UNRECORDED,
        });
        Self {
            blocks,
            index: Index::default(),
            lru: Lru::default(),
            spare_head: NIL,
            spare: 0,
            total,
            used: 0,
            totals: PoolTotals::default(),
            lives,
            contents: None,
        }
    }

    /// Keeps what blocks with a name hold, as [`BlockPool::note_content`] tells it.
    pub(crate) fn keep_contents(&mut self) {
        self.contents = Some(Box::default());
    }

    /// Whether contents are kept.
    pub(crate) const fn keeps_contents(&self) -> bool {
        self.contents.is_some()
    }

    /// Blocks that requests can use.
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// Blocks that sequences hold.
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Blocks that no sequence holds and whose content can be hit.
    pub const fn cached(&self) -> u32 {
        self.lru.len()
    }

    /// Blocks that hold nothing reusable.
    pub const fn free(&self) -> u32 {
        self.total - self.used - self.lru.len()
    }

    /// Blocks that can be handed out: free and cached ones.
    pub const fn available(&self) -> u32 {
        self.total - self.used
    }

    /// What the pool has done so far.
    pub const fn totals(&self) -> PoolTotals {
        self.totals
    }

    /// The lives that are recorded.
    pub const fn lives_mut(&mut self) -> &mut Lives {
        &mut self.lives
    }

    /// Hands out a block, evicting the least recently used cached one if there is no other; `None` if all are held.
    pub fn allocate(&mut self, now: u64) -> Option<u32> {
        let id = if self.spare_head != NIL {
            let id = self.spare_head;
            self.spare_head = self.blocks[id as usize].next;
            self.spare -= 1;
            self.end_life(id, now, BlockEnd::Reallocated);
            id
        } else if self.blocks.len() <= self.total as usize {
            self.add_fresh()
        } else {
            let id = self.lru.head()?;
            self.evict(id, now);
            id
        };
        let life = self.lives.begin(id, self.totals.allocated, now);
        let block = &mut self.blocks[id as usize];
        block.holders = 1;
        block.life = life;
        self.used += 1;
        self.totals.allocated += 1;
        Some(id)
    }

    fn add_fresh(&mut self) -> u32 {
        let id = u32::try_from(self.blocks.len()).unwrap_or(NIL);
        self.blocks.push(Block {
            hash: BlockHash::NONE,
            holders: FREE,
            prev: NIL,
            next: NIL,
            life: lives::UNRECORDED,
        });
        id
    }

    fn evict(&mut self, id: u32, now: u64) {
        self.lru.remove(&mut self.blocks, id);
        self.index.remove(&self.blocks, id);
        if let Some(contents) = &mut self.contents {
            contents.remove(id);
        }
        self.totals.evicted += 1;
        let preempted = self.blocks[id as usize].holders == FREE_PREEMPTED;
        self.totals.evicted_preempted += u64::from(preempted);
        self.end_life(id, now, BlockEnd::Evicted);
        self.blocks[id as usize].hash = BlockHash::NONE;
    }

    fn end_life(&mut self, id: u32, now: u64, end: BlockEnd) {
        let Block { life, hash, .. } = self.blocks[id as usize];
        self.lives.end(life, id, hash, now, end);
        self.blocks[id as usize].life = lives::UNRECORDED;
    }

    /// Finds a block with this content, held or cached.
    pub fn lookup(&self, hash: BlockHash) -> Option<u32> {
        self.index.find(&self.blocks, hash)
    }

    /// Whether a sequence holds the block.
    pub fn is_held(&self, id: u32) -> bool {
        self.blocks[id as usize].is_held()
    }

    /// Whether more than one sequence holds the block.
    pub fn is_shared(&self, id: u32) -> bool {
        self.blocks[id as usize].is_held() && self.blocks[id as usize].holders > 1
    }

    /// Lets one more sequence hold a block that a lookup found: a prefix-cache hit.
    pub fn hit(&mut self, id: u32, now: u64) {
        if self.blocks[id as usize].is_held() {
            self.blocks[id as usize].holders += 1;
        } else {
            self.lru.remove(&mut self.blocks, id);
            self.blocks[id as usize].holders = 1;
            self.used += 1;
        }
        self.lives.hit(self.blocks[id as usize].life, now);
    }

    /// Lets one more sequence hold a block that is held: a fork.
    pub fn share(&mut self, id: u32) {
        debug_assert!(self.is_held(id), "only a held block can be shared");
        self.blocks[id as usize].holders += 1;
    }

    /// Makes a held block's content reusable under a name; false if it is already, or the name is none. Blocks with one
    /// name may be several: they are not merged.
    pub fn cache(&mut self, id: u32, hash: BlockHash, now: u64) -> bool {
        if self.blocks[id as usize].hash.is_some() || !hash.is_some() {
            return false;
        }
        self.blocks[id as usize].hash = hash;
        self.index.insert(&self.blocks, id);
        self.lives.cached(self.blocks[id as usize].life, now);
        true
    }

    /// Notes what a block holds that was just given a name.
    pub(crate) fn note_content(&mut self, id: u32, content: Content) {
        if let Some(contents) = &mut self.contents {
            contents.insert(id, content);
        }
    }

    /// The most tokens that a block with a name agrees in with the wanted ones, from their beginning on.
    pub(crate) fn agreeing(&self, wanted: Content) -> usize {
        self.contents
            .as_ref()
            .map_or(0, |contents| contents.agreeing(wanted))
    }

    /// Lets a sequence let go of a block; true if it was the last to hold it.
    ///
    /// A sequence gives its blocks back from the last to the first, so that the end of a prefix is evicted before its
    /// beginning. `last_used` is the time of its last step, `filled` the token slots filled.
    pub fn release(&mut self, id: u32, now: u64, last_used: u64, by: Release, filled: u32) -> bool {
        let block = &mut self.blocks[id as usize];
        self.lives.used(block.life, last_used, filled);
        block.holders -= 1;
        if block.holders > 0 {
            return false;
        }
        block.holders = if by == Release::Preempted {
            FREE_PREEMPTED
        } else {
            FREE
        };
        self.lives.freed(block.life, now, by);
        self.used -= 1;
        if block.hash.is_some() {
            self.lru.push(&mut self.blocks, id);
        } else {
            self.push_spare(id);
        }
        true
    }

    fn push_spare(&mut self, id: u32) {
        self.blocks[id as usize].next = self.spare_head;
        self.spare_head = id;
        self.spare += 1;
    }

    /// Notes that a sequence holds a block still, at the end of recording.
    pub fn note_use(&mut self, id: u32, last_used: u64, filled: u32) {
        self.lives.used(self.blocks[id as usize].life, last_used, filled);
    }

    /// Forgets all reusable content; held blocks stay held.
    pub fn reset_cache(&mut self, now: u64) {
        while let Some(id) = self.lru.head() {
            self.lru.remove(&mut self.blocks, id);
            self.end_life(id, now, BlockEnd::Reset);
            self.push_spare(id);
        }
        self.index.clear();
        if let Some(contents) = &mut self.contents {
            contents.clear();
        }
        for block in &mut self.blocks {
            block.hash = BlockHash::NONE;
        }
    }

    /// Ends the lives that are still open, as censored.
    pub fn finish(&mut self, now: u64) {
        for id in 1..self.blocks.len() {
            let id = u32::try_from(id).unwrap_or(NIL);
            self.end_life(id, now, BlockEnd::Censored);
        }
    }
}
