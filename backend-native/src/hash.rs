//! Names of blocks: a hash of a block's tokens chained to that of the block before it.

use std::fmt;
use xxhash_rust::xxh3::xxh3_128;

/// Names a block's content together with everything before it, in 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlockHash([u64; 2]);

impl BlockHash {
    /// Before the first block; also "no name yet". No block has this name.
    pub const NONE: Self = Self([0; 2]);

    /// The low half: the `prefix_hash` of block rows.
    pub const fn low(self) -> u64 {
        self.0[0]
    }

    /// Whether this is a block's name.
    pub const fn is_some(self) -> bool {
        self.0[0] | self.0[1] != 0
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[1], self.0[0])
    }
}

/// Words before the tokens: four of the parent's name, two of the extra key.
const HEADER: usize = 6;

/// Computes names; keeps the buffer they are computed from.
#[derive(Debug)]
pub struct BlockHasher {
    words: Vec<u32>,
}

impl BlockHasher {
    /// Makes a hasher for blocks of a size.
    pub fn new(block_size: u32) -> Self {
        Self {
            words: vec![0; HEADER + block_size as usize],
        }
    }

    /// Names the block that follows `parent` and whose tokens `fill` writes.
    ///
    /// ```
    /// use kvlens_native::{BlockHash, BlockHasher};
    /// let mut hasher = BlockHasher::new(2);
    /// let first = hasher.name(BlockHash::NONE, 0, |tokens| tokens.copy_from_slice(&[1, 2]));
    /// let second = hasher.name(first, 0, |tokens| tokens.copy_from_slice(&[1, 2]));
    /// assert_ne!(first, second, "the same tokens in another place");
    /// ```
    pub fn name(&mut self, parent: BlockHash, extra_key: u64, fill: impl FnOnce(&mut [u32])) -> BlockHash {
        let (header, tokens) = self.words.split_at_mut(HEADER);
        for (pair, value) in header
            .chunks_exact_mut(2)
            .zip([parent.0[0], parent.0[1], extra_key])
        {
            pair.copy_from_slice(&halves(value));
        }
        fill(tokens);
        let hash = xxh3_128(bytemuck::cast_slice(&self.words));
        let [low, high] =
            [hash, hash >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        // The one value that means "none" gives way.
        BlockHash([low | u64::from(hash == 0), high])
    }
}

fn halves(value: u64) -> [u32; 2] {
    [value, value >> 32].map(|half| u32::try_from(half & u64::from(u32::MAX)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_part_of_the_name() {
        let mut hasher = BlockHasher::new(3);
        let mut name =
            |parent, extra, tokens: [u32; 3]| hasher.name(parent, extra, |out| out.copy_from_slice(&tokens));
        let base = name(BlockHash::NONE, 0, [1, 2, 3]);
        assert_eq!(base, name(BlockHash::NONE, 0, [1, 2, 3]));
        assert_ne!(base, name(BlockHash::NONE, 1, [1, 2, 3]));
        assert_ne!(base, name(BlockHash::NONE, 0, [1, 2, 4]));
        assert_ne!(base, name(base, 0, [1, 2, 3]));
        assert_ne!(
            name(BlockHash::NONE, 1 << 32, [1, 2, 3]),
            name(BlockHash::NONE, 1, [1, 2, 3])
        );
    }
}
