//! LRU stack distances: how many different blocks were touched since a block was touched last.
//!
//! An LRU cache of c blocks hits exactly the accesses of distance below c, so one pass answers for every size (Mattson
//! et al. 1970). Distances are counted with a Fenwick tree over the order of last accesses (Bennett and Kruskal 1975):
//! logarithmic per access, in memory of the number of different blocks.

use crate::num::size;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Positions that the tree has before it is first packed.
const FIRST_POSITIONS: usize = 1 << 16;

/// Counts accesses by stack distance.
///
/// ```
/// use kvlens_analysis::kv::StackDistances;
/// let mut stack = StackDistances::default();
/// for block in "abcab".bytes() {
///     stack.access(u64::from(block));
/// }
/// // A cache of 3 blocks hits the second `a` and `b`; one of 2 hits nothing.
/// assert_eq!((stack.hits(3), stack.hits(2), stack.accesses()), (2, 0, 5));
/// ```
#[derive(Debug, Clone, Default)]
pub struct StackDistances {
    last: HashMap<u64, usize, BuildHasherDefault<Mixed>>,
    /// One at each position that is some block's last access.
    tree: Fenwick,
    next: usize,
    /// Accesses by distance.
    counts: Vec<u64>,
    cold: u64,
}

impl StackDistances {
    /// Takes an access; says its distance, `None` for a block never seen before.
    pub fn access(&mut self, block: u64) -> Option<u64> {
        if self.next == self.tree.len() {
            self.pack();
        }
        let position = self.next;
        self.next += 1;
        let before = self.last.insert(block, position);
        self.tree.add(position, 1);
        let Some(before) = before else {
            self.cold += 1;
            return None;
        };
        self.tree.add(before, -1);
        // Blocks whose last access came after this one's; its own new access is behind them all.
        let distance = self.last.len() as u64 - 1 - self.tree.sum_to(before);
        let place = size(distance);
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
        Some(distance)
    }

    /// All accesses so far.
    pub fn accesses(&self) -> u64 {
        self.cold + self.counts.iter().sum::<u64>()
    }

    /// Accesses to blocks never seen before: no cache hits them.
    pub fn cold(&self) -> u64 {
        self.cold
    }

    /// Different blocks so far.
    pub fn blocks(&self) -> u64 {
        self.last.len() as u64
    }

    /// Accesses by distance: the n-th is of those that n other blocks were touched before.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Accesses that an LRU cache of so many blocks hits.
    pub fn hits(&self, blocks: u64) -> u64 {
        self.counts.iter().take(size(blocks)).sum()
    }

    /// Numbers the last accesses anew, from 0 without gaps, in a tree with as much room again.
    fn pack(&mut self) {
        let mut order: Vec<(usize, u64)> = self
            .last
            .iter()
            .map(|(block, position)| (*position, *block))
            .collect();
        order.sort_unstable();
        let room = (order.len() * 2).max(FIRST_POSITIONS);
        self.tree = Fenwick::with_ones(order.len(), room);
        for (position, (_, block)) in order.iter().enumerate() {
            self.last.insert(*block, position);
        }
        self.next = order.len();
    }
}

/// Sums of prefixes in logarithmic time.
#[derive(Debug, Clone, Default)]
struct Fenwick {
    nodes: Vec<u32>,
}

impl Fenwick {
    fn with_ones(ones: usize, len: usize) -> Self {
        let mut nodes = vec![0_u32; len];
        nodes.iter_mut().take(ones).for_each(|node| *node = 1);
        for at in 1..=len {
            let parent = at + (at & at.wrapping_neg());
            let value = nodes[at - 1];
            if let Some(node) = nodes.get_mut(parent.wrapping_sub(1)).filter(|_| parent <= len) {
                *node += value;
            }
        }
        Self { nodes }
    }

    fn len(&self) -> usize {
        self.nodes.len()
    }

    fn add(&mut self, position: usize, by: i32) {
        let mut at = position + 1;
        while at <= self.nodes.len() {
            self.nodes[at - 1] = self.nodes[at - 1].wrapping_add_signed(by);
            at += at & at.wrapping_neg();
        }
    }

    /// The sum of positions up to and including this one.
    fn sum_to(&self, position: usize) -> u64 {
        let mut at = (position + 1).min(self.nodes.len());
        let mut sum = 0;
        while at > 0 {
            sum += u64::from(self.nodes[at - 1]);
            at &= at - 1;
        }
        sum
    }
}

/// Hashes of blocks are well mixed already or small numbers; one multiplication is enough for a table of ours.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte) ^ self.0);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(value);
    }
}

/// The finaliser of `SplitMix64`: every bit of the input moves every bit of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An LRU cache as anyone would write it.
    fn brute_force(accesses: &[u64], blocks: usize) -> u64 {
        let (mut cache, mut hits) = (Vec::new(), 0);
        for block in accesses {
            match cache.iter().position(|cached| cached == block) {
                Some(at) => {
                    cache.remove(at);
                    hits += 1;
                }
                None if cache.len() == blocks => drop(cache.remove(0)),
                None => {}
            }
            if blocks > 0 {
                cache.push(*block);
            }
        }
        hits
    }

    proptest! {
        #[test]
        fn hits_are_those_of_a_cache(accesses in prop::collection::vec(0_u64..40, 0..600), blocks in 1_usize..50) {
            let mut stack = StackDistances::default();
            for block in &accesses {
                stack.access(*block);
            }
            prop_assert_eq!(stack.hits(blocks as u64), brute_force(&accesses, blocks));
            prop_assert_eq!(stack.accesses(), accesses.len() as u64);
        }
    }

    #[test]
    fn packing_changes_nothing() {
        let accesses: Vec<u64> = (0..200_000_u64).map(|at| mix(at) % 700).collect();
        let mut stack = StackDistances::default();
        for block in &accesses {
            stack.access(*block);
        }
        for blocks in [1, 10, 100, 500, 699, 700] {
            assert_eq!(
                stack.hits(blocks),
                brute_force(&accesses, blocks as usize),
                "{blocks}"
            );
        }
    }
}
