//! KV blocks in the CPU's memory.

use crate::model::ModelShape;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

mod sealed {
    pub trait Sealed {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

/// A 16-bit type that keys and values are stored in. Sealed: devices have kernels for these two.
pub trait KvElement: sealed::Sealed + Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// Rounds a slice to nearest even; both have one length.
    fn store(values: &[f32], out: &mut [Self]);

    /// Widens a slice, exactly; both have one length.
    fn load(stored: &[Self], out: &mut [f32]);
}

macro_rules! kv_element {
    ($($half:ty),*) => { $(
        impl KvElement for $half {
            fn store(values: &[f32], out: &mut [Self]) {
                out.convert_from_f32_slice(values);
            }

            fn load(stored: &[Self], out: &mut [f32]) {
                stored.convert_to_f32_slice(out);
            }
        }
    )* };
}

kv_element!(f16, bf16);

/// A block number outside the pool: the batch was made for another device.
#[derive(Debug, thiserror::Error)]
#[error("block {block} is outside the pool of {blocks}")]
pub(super) struct BlockOutOfRange {
    pub(super) block: u32,
    pub(super) blocks: u32,
}

/// KV blocks: `[layer][block][K or V][KV head][token of the block][element]`, the layout of the GPU's kernels.
#[derive(Debug)]
pub struct KvPool<T> {
    elements: Vec<T>,
    shape: ModelShape,
    block_size: u32,
    blocks: u32,
}

/// Keys, or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

impl<T: KvElement> KvPool<T> {
    /// Makes a pool; what it holds before it is written is 0.
    pub(super) fn new(shape: ModelShape, block_size: u32, blocks: u32) -> Self {
        let block = 2 * shape.kv_dim() * block_size as usize;
        Self {
            elements: vec![T::default(); block * blocks as usize * shape.layers],
            shape,
            block_size,
            blocks,
        }
    }

    pub(super) const fn shape(&self) -> ModelShape {
        self.shape
    }

    pub(super) const fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Elements of one layer's block.
    const fn block_elements(&self) -> usize {
        2 * self.shape.kv_dim() * self.block_size as usize
    }

    fn check(&self, block: u32) -> Result<(), BlockOutOfRange> {
        let blocks = self.blocks;
        if block < blocks {
            Ok(())
        } else {
            Err(BlockOutOfRange { block, blocks })
        }
    }

    /// Where a layer's block begins.
    fn at(&self, layer: usize, block: u32) -> usize {
        (layer * self.blocks as usize + block as usize) * self.block_elements()
    }

    /// The share of a head in a layer's block: one row per token.
    pub(super) fn share(
        &self,
        layer: usize,
        block: u32,
        part: Part,
        head: usize,
    ) -> Result<&[T], BlockOutOfRange> {
        self.check(block)?;
        let (at, len) = self.share_at(layer, block, part, head);
        Ok(&self.elements[at..at + len])
    }

    /// As [`share`](Self::share), to be written.
    pub(super) fn share_mut(
        &mut self,
        layer: usize,
        block: u32,
        part: Part,
        head: usize,
    ) -> Result<&mut [T], BlockOutOfRange> {
        self.check(block)?;
        let (at, len) = self.share_at(layer, block, part, head);
        Ok(&mut self.elements[at..at + len])
    }

    fn share_at(&self, layer: usize, block: u32, part: Part, head: usize) -> (usize, usize) {
        let len = self.block_size as usize * self.shape.head_dim;
        let head = head + if part == Part::Key { 0 } else { self.shape.kv_heads };
        (self.at(layer, block) + head * len, len)
    }

    /// Copies a block within the pool.
    pub(super) fn copy(&mut self, from: u32, to: u32) -> Result<(), BlockOutOfRange> {
        self.check(from)?;
        self.check(to)?;
        let len = self.block_elements();
        for layer in 0..self.shape.layers {
            let (from, to) = (self.at(layer, from), self.at(layer, to));
            self.elements.copy_within(from..from + len, to);
        }
        Ok(())
    }

    /// Copies a block of another pool, of the same sizes, into this one.
    pub(super) fn load(&mut self, to: u32, other: &Self, from: u32) -> Result<(), BlockOutOfRange> {
        self.check(to)?;
        other.check(from)?;
        let len = self.block_elements();
        for layer in 0..self.shape.layers {
            let (from, to) = (other.at(layer, from), self.at(layer, to));
            self.elements[to..to + len].copy_from_slice(&other.elements[from..from + len]);
        }
        Ok(())
    }
}
