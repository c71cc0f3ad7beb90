//! The lives of blocks: from being handed out to being handed out again.

use crate::hash::BlockHash;
use kvlens_core::BlockRow;
use kvlens_core::record::{BlockEnd, Opt64, Release};

/// A life that is not recorded.
pub(super) const UNRECORDED: u32 = u32::MAX;

/// Times are nanoseconds; `u64::MAX` stands for "not yet".
const NOT_YET: u64 = u64::MAX;

#[derive(Debug, Clone, Copy)]
struct Life {
    allocated: u64,
    cached: u64,
    last_touched: u64,
    freed: u64,
    first_hit: u64,
    last_hit: u64,
    gap_max: u64,
    hits: u32,
    filled: u32,
    released_by: Release,
}

/// Records lives: all, or one in so many, chosen by a hash of the block and the allocation.
///
/// Ended lives wait as rows until [`take_rows`](Self::take_rows).
#[derive(Debug, Default)]
pub struct Lives {
    /// 0 records none.
    sample_every: u32,
    engine_index: u32,
    slab: Vec<Life>,
    vacant: Vec<u32>,
    rows: Vec<BlockRow>,
    gaps: Vec<u64>,
}

impl Lives {
    /// Records nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Records one life in `sample_every`; 0 records none.
    pub fn new(sample_every: u32, engine_index: u32) -> Self {
        Self {
            sample_every,
            engine_index,
            ..Self::default()
        }
    }

    /// Hands over the lives that ended, and forgets them.
    pub fn take_rows(&mut self) -> impl Iterator<Item = BlockRow> + '_ {
        self.rows.drain(..)
    }

    /// Hands over the gaps before hits, and forgets them.
    pub fn take_gaps(&mut self) -> impl Iterator<Item = u64> + '_ {
        self.gaps.drain(..)
    }

    pub(super) fn begin(&mut self, block: u32, allocation: u64, now: u64) -> u32 {
        if !self.is_chosen(block, allocation) {
            return UNRECORDED;
        }
        let life = Life {
            allocated: now,
            cached: NOT_YET,
            last_touched: now,
            freed: NOT_YET,
            first_hit: NOT_YET,
            last_hit: NOT_YET,
            gap_max: 0,
            hits: 0,
            filled: 0,
            released_by: Release::Unknown,
        };
        if let Some(at) = self.vacant.pop() {
            self.slab[at as usize] = life;
            return at;
        }
        self.slab.push(life);
        u32::try_from(self.slab.len() - 1).unwrap_or(UNRECORDED)
    }

    fn is_chosen(&self, block: u32, allocation: u64) -> bool {
        if self.sample_every <= 1 {
            return self.sample_every == 1;
        }
        let mix = (allocation ^ u64::from(block) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mix ^ mix >> 32).is_multiple_of(u64::from(self.sample_every))
    }

    fn at(&mut self, life: u32) -> Option<&mut Life> {
        self.slab.get_mut(life as usize)
    }

    pub(super) fn cached(&mut self, life: u32, now: u64) {
        if let Some(life) = self.at(life) {
            life.cached = now;
        }
    }

    pub(super) fn hit(&mut self, life: u32, now: u64) {
        let Some(life) = self.at(life) else { return };
        let since = if life.hits == 0 {
            life.cached
        } else {
            life.last_hit
        };
        let gap = now.saturating_sub(since);
        life.gap_max = life.gap_max.max(gap);
        life.first_hit = life.first_hit.min(now);
        life.last_hit = now;
        life.hits += 1;
        life.last_touched = life.last_touched.max(now);
        life.freed = NOT_YET;
        self.gaps.push(gap);
    }

    pub(super) fn used(&mut self, life: u32, last_used: u64, filled: u32) {
        if let Some(life) = self.at(life) {
            life.last_touched = life.last_touched.max(last_used);
            life.filled = filled;
        }
    }

    pub(super) fn freed(&mut self, life: u32, now: u64, by: Release) {
        if let Some(life) = self.at(life) {
            life.freed = now;
            life.released_by = by;
        }
    }

    pub(super) fn end(&mut self, life: u32, block: u32, hash: BlockHash, now: u64, end: BlockEnd) {
        let Some(&ended) = self.slab.get(life as usize) else {
            return;
        };
        self.vacant.push(life);
        self.rows.push(self.row(&ended, block, hash, now, end));
    }

    fn row(&self, life: &Life, block: u32, hash: BlockHash, now: u64, end: BlockEnd) -> BlockRow {
        let time = |at: u64| {
            if at == NOT_YET {
                Opt64::NONE
            } else {
                Opt64::some(at)
            }
        };
        let since = |from: u64, to: u64| Opt64::some(to.saturating_sub(from));
        let held = life.freed == NOT_YET;
        let if_hit = |gap: Opt64| if life.hits == 0 { Opt64::NONE } else { gap };
        BlockRow {
            monotonic_ns: now,
            block: block.into(),
            engine_index: self.engine_index,
            prefix_hash: if hash.is_some() {
                Opt64::some(hash.low())
            } else {
                Opt64::NONE
            },
            allocated: life.allocated,
            cached: time(life.cached),
            last_touched: life.last_touched.into(),
            freed: time(life.freed),
            released_by: life.released_by,
            end,
            tokens: life.filled.into(),
            lifetime_ns: now.saturating_sub(life.allocated),
            idle_ns: if held {
                Opt64::NONE
            } else {
                since(life.last_touched, now)
            },
            reuse_count: life.hits.into(),
            reuse_gap_first_ns: if_hit(since(life.cached, life.first_hit)),
            reuse_gap_max_ns: if_hit(Opt64::some(life.gap_max)),
            reuse_gap_sum_ns: if_hit(since(life.cached, life.last_hit)),
            sample_every: self.sample_every,
        }
    }
}
