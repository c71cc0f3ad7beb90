//! Where a KV block lies in device memory.
//!
//! One allocation holds the whole pool: `[layer][block][K, V][kv head][token of the block][head dim]`. Layers
//! are outermost, since a step visits one layer at a time; a head's share of a block is contiguous
//! (block 16, head size 128: 4 KiB), so that decode reads whole bursts of DRAM, and a CTA that works on one
//! head never touches another's lines.

use super::error::{Error, Result};

/// The shape of a KV pool. Build with [`KvLayout::try_new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvLayout {
    layers: usize,
    blocks: usize,
    block_size: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl KvLayout {
    /// Head sizes that kernels exist for.
    pub const HEAD_DIMS: [usize; 3] = [64, 128, 256];

    /// Checks a shape against what the kernels can do.
    ///
    /// # Errors
    /// [`Error::UnsupportedShape`] for a head size without a kernel, a block size that is no power of two of
    /// at least 16 tokens, or a pool whose slots don't fit 31 bits.
    pub fn try_new(
        layers: usize,
        blocks: usize,
        block_size: usize,
        kv_heads: usize,
        head_dim: usize,
    ) -> Result<Self> {
        let unsupported = |what, found, supported| {
            Err(Error::UnsupportedShape {
                what,
                found,
                supported,
            })
        };
        if !Self::HEAD_DIMS.contains(&head_dim) {
            return unsupported("head size", head_dim, "64, 128, 256");
        }
        if !block_size.is_power_of_two() || !(16..=1024).contains(&block_size) {
            return unsupported("block size", block_size, "16, 32, 64, 128, 256, 512, 1024");
        }
        if kv_heads == 0 || kv_heads > 1024 {
            return unsupported("number of KV heads", kv_heads, "1 to 1024");
        }
        if layers == 0 || layers > 1024 {
            return unsupported("number of layers", layers, "1 to 1024");
        }
        if blocks == 0 || blocks.saturating_mul(block_size) > i32::MAX as usize {
            return unsupported("number of KV blocks", blocks, "1 to 2^31 / block size");
        }
        Ok(Self {
            layers,
            blocks,
            block_size,
            kv_heads,
            head_dim,
        })
    }

    /// Layers of the model.
    pub fn layers(&self) -> usize {
        self.layers
    }
    /// Blocks of the pool.
    pub fn blocks(&self) -> usize {
        self.blocks
    }
    /// Tokens of a block.
    pub fn block_size(&self) -> usize {
        self.block_size
    }
    /// KV heads.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }
    /// Elements of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }
    /// Elements of one block in one layer, K and V together.
    pub fn block_elements(&self) -> usize {
        2 * self.kv_heads * self.block_size * self.head_dim
    }
    /// Elements of one layer.
    pub fn layer_elements(&self) -> usize {
        self.blocks * self.block_elements()
    }
    /// Elements of the pool.
    pub fn elements(&self) -> usize {
        self.layers * self.layer_elements()
    }
    /// The same shape with another number of blocks, as a swap area on the host has.
    ///
    /// # Errors
    /// As [`KvLayout::try_new`].
    pub fn with_blocks(&self, blocks: usize) -> Result<Self> {
        Self::try_new(self.layers, blocks, self.block_size, self.kv_heads, self.head_dim)
    }
    /// Element offset, within a layer, of one head's K (or V) of one block.
    pub fn head_offset(&self, block: usize, is_v: bool, head: usize) -> usize {
        ((block * 2 + usize::from(is_v)) * self.kv_heads + head) * self.block_size * self.head_dim
    }
    pub(crate) fn block_shift(&self) -> u32 {
        self.block_size.trailing_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_without_a_kernel_are_refused_by_name() {
        let refused = |layers, blocks, block_size, kv_heads, head_dim| match KvLayout::try_new(
            layers, blocks, block_size, kv_heads, head_dim,
        ) {
            Err(Error::UnsupportedShape { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(1, 1, 16, 1, 96), "head size");
        assert_eq!(refused(1, 1, 24, 1, 64), "block size");
        assert_eq!(refused(1, 1, 8, 1, 64), "block size");
        assert_eq!(refused(1, 1, 16, 0, 64), "number of KV heads");
        assert_eq!(refused(0, 1, 16, 1, 64), "number of layers");
        assert_eq!(refused(1, 1 << 28, 16, 1, 64), "number of KV blocks");
        assert_eq!(refused(1, 0, 16, 1, 64), "number of KV blocks");
    }

    #[test]
    fn a_heads_share_of_a_block_is_contiguous() {
        let layout = KvLayout::try_new(2, 5, 16, 8, 128).expect("a supported shape");
        assert_eq!(
            layout.head_offset(0, false, 1) - layout.head_offset(0, false, 0),
            16 * 128
        );
        assert_eq!(layout.head_offset(0, true, 0), 8 * 16 * 128);
        assert_eq!(layout.head_offset(1, false, 0), layout.block_elements());
        assert_eq!(layout.elements(), 2 * 5 * layout.block_elements());
    }
}
