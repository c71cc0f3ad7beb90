//! Moves of KV data on the device: appending new tokens, copying blocks.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, CudaView, CudaViewMut, DevicePtr};

use super::{
    attention::check_rows,
    context::{Gpu, Kernel, address},
    dtype::Element,
    error::{Result, check_aligned, check_index, check_length},
    layout::KvLayout,
    module::Module,
    params::{AppendParams, CopyParams},
    table::block_number,
    upload::Upload,
};

const APPEND: Kernel = Kernel {
    module: Module::Kv,
    name: "append_b16",
    threads: 256,
    shared_bytes: 0,
};
const COPY: Kernel = Kernel {
    module: Module::Kv,
    name: "copy_blocks",
    threads: 256,
    shared_bytes: 0,
};
/// 16-byte vectors that one CTA of `copy_blocks` moves in a turn.
const COPY_SPAN: usize = 1024;
/// Blocks that one launch of `copy_blocks` moves: the grid's second dimension.
const MAX_BLOCKS_PER_LAUNCH: usize = 65_535;
/// Elements of a 16-byte vector.
const VECTOR: usize = 8;

/// Where the tokens of a step go in the pool. One set serves all layers.
#[derive(Debug)]
pub struct SlotMapping {
    slots: Upload<i32>,
    tokens: usize,
    limit: usize,
}

impl SlotMapping {
    /// A token that goes nowhere: padding of a captured graph.
    pub const SKIP: i32 = -1;

    /// Makes room for `max_tokens` tokens of a step.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn try_new(gpu: &Gpu, layout: &KvLayout, max_tokens: usize) -> Result<Self> {
        let limit = layout.blocks() * layout.block_size();
        Ok(Self {
            slots: Upload::try_new(gpu, max_tokens)?,
            tokens: 0,
            limit,
        })
    }

    /// Sets the slots of the next appends: block number times block size plus place in the block, or
    /// [`SlotMapping::SKIP`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a slot outside the pool, [`Error::Length`] for too many.
    pub fn update(&mut self, gpu: &Gpu, slots: &[i32]) -> Result<()> {
        for &slot in slots.iter().filter(|&&slot| slot != Self::SKIP) {
            check_index("slot", i64::from(slot), self.limit)?;
        }
        self.slots.write(slots, gpu.stream())?;
        self.tokens = slots.len();
        Ok(())
    }
}

impl SlotMapping {
    pub(crate) fn device(&self) -> &CudaSlice<i32> {
        self.slots.device()
    }

    /// Checks that the mapping was made for a pool of this shape, and counts its tokens.
    pub(crate) fn tokens_for(&self, layout: &KvLayout) -> Result<usize> {
        check_length(
            "slots of this pool",
            layout.blocks() * layout.block_size(),
            self.limit,
        )?;
        Ok(self.tokens)
    }
}

/// New K or V of a step: rows of `kv_heads * head_dim` elements.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, T> {
    /// The rows.
    pub data: &'a CudaView<'a, T>,
    /// Elements from one row to the next.
    pub stride: usize,
}

/// Writes the K and V of new tokens into one layer of the pool.
///
/// # Errors
/// [`Error::Length`] if a buffer is too short; the driver's.
pub fn append<T: Element>(
    gpu: &Gpu,
    layout: &KvLayout,
    slots: &SlotMapping,
    k: Rows<'_, T>,
    v: Rows<'_, T>,
    layer: &mut CudaViewMut<'_, T>,
) -> Result<()> {
    let row = layout.kv_heads() * layout.head_dim();
    check_length("KV layer", layer.len(), layout.layer_elements())?;
    let tokens = slots.tokens_for(layout)?;
    check_rows("K rows", k.data.len(), tokens, k.stride, row)?;
    check_rows("V rows", v.data.len(), tokens, v.stride, row)?;
    if tokens == 0 {
        return Ok(());
    }
    check_aligned("K rows", address(k.data))?;
    check_aligned("V rows", address(v.data))?;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let params = AppendParams {
        k: address(k.data),
        v: address(v.data),
        kv: address(layer),
        slots: address(slots.device()),
        tokens: number(tokens),
        kv_heads: number(layout.kv_heads()),
        dim: number(layout.head_dim()),
        block_shift: layout.block_shift(),
        k_stride: number(k.stride),
        v_stride: number(v.stride),
    };
    let grid = number((tokens * row / VECTOR).div_ceil(APPEND.threads as usize));
    // SAFETY: k, v and the layer were measured above, and every slot was checked against the pool.
    unsafe { gpu.launch(gpu.stream(), &APPEND, (grid, 1, 1), &params) }
}

/// Pairs of blocks to copy within a pool, checked and on their way to the device.
#[derive(Debug)]
pub struct BlockCopies {
    src: Upload<i32>,
    dst: Upload<i32>,
}

impl BlockCopies {
    /// Makes room for `max_pairs` copies at a time.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn try_new(gpu: &Gpu, max_pairs: usize) -> Result<Self> {
        let max_pairs = max_pairs.min(MAX_BLOCKS_PER_LAUNCH);
        Ok(Self {
            src: Upload::try_new(gpu, max_pairs)?,
            dst: Upload::try_new(gpu, max_pairs)?,
        })
    }

    /// Copies blocks `(from, to)` in all layers, on the engine's stream. No block may be both read and
    /// written in one call, or written twice.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a block outside the pool, [`Error::Length`] for too many pairs.
    pub fn run<T: Element>(
        &mut self,
        gpu: &Gpu,
        layout: &KvLayout,
        pool: &mut CudaSlice<T>,
        pairs: &[(u32, u32)],
    ) -> Result<()> {
        check_length("KV pool", pool.len(), layout.elements())?;
        let stream = gpu.stream();
        write_ids(&mut self.src, layout, pairs.iter().map(|pair| pair.0), stream)?;
        write_ids(&mut self.dst, layout, pairs.iter().map(|pair| pair.1), stream)?;
        let side = |ids: &Upload<i32>| Side::pool(address(pool), layout, Some(ids));
        let (src, dst) = (side(&self.src), side(&self.dst));
        // SAFETY: both sides are the pool, measured above, and every block number was checked.
        unsafe { copy(gpu, stream, layout, src, dst, pairs.len()) }
    }
}

/// Checks block numbers and enqueues their transfer.
pub(super) fn write_ids(
    to: &mut Upload<i32>,
    layout: &KvLayout,
    ids: impl ExactSizeIterator<Item = u32>,
    stream: &Arc<CudaStream>,
) -> Result<()> {
    let count = ids.len();
    check_length("block copies", to.len(), count)?;
    for (entry, id) in to.edit()?.iter_mut().zip(ids) {
        *entry = block_number(layout, id)?;
    }
    to.send(count, stream)
}

/// One side of a copy of blocks. Strides are in 16-byte vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    address: u64,
    ids: u64,
    block_stride: usize,
    layer_stride: usize,
}

impl Side {
    /// A pool: layers outermost, blocks picked by number.
    pub(super) fn pool(address_of_pool: u64, layout: &KvLayout, ids: Option<&Upload<i32>>) -> Self {
        Self {
            address: address_of_pool,
            ids: ids.map_or(0, |ids| address(ids.device())),
            block_stride: layout.block_elements() / VECTOR,
            layer_stride: layout.layer_elements() / VECTOR,
        }
    }

    /// A packed buffer: block after block, each with all its layers.
    pub(super) fn packed<T>(buffer: &impl DevicePtr<T>, layout: &KvLayout) -> Self {
        let layer_stride = layout.block_elements() / VECTOR;
        Self {
            address: address(buffer),
            ids: 0,
            block_stride: layer_stride * layout.layers(),
            layer_stride,
        }
    }
}

/// Enqueues the copy of `count` blocks in all layers.
///
/// # Safety
/// Both sides must hold every block that their ids (or `0..count`) name, of the layout's shape.
pub(super) unsafe fn copy(
    gpu: &Gpu,
    stream: &CudaStream,
    layout: &KvLayout,
    src: Side,
    dst: Side,
    count: usize,
) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    check_length("blocks of one launch", MAX_BLOCKS_PER_LAUNCH, count)?;
    let vectors = layout.block_elements() / VECTOR;
    let pieces = vectors.div_ceil(COPY_SPAN);
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let params = CopyParams {
        src: src.address,
        dst: dst.address,
        src_ids: src.ids,
        dst_ids: dst.ids,
        src_block_stride: src.block_stride as u64,
        src_layer_stride: src.layer_stride as u64,
        dst_block_stride: dst.block_stride as u64,
        dst_layer_stride: dst.layer_stride as u64,
        vectors: number(vectors),
        pieces: number(pieces),
    };
    let grid = (number(pieces), number(count), number(layout.layers()));
    // SAFETY: as the caller vouches.
    unsafe { gpu.launch(stream, &COPY, grid, &params) }
}

/// Loads the module.
pub(crate) fn warm_up(gpu: &Gpu) -> Result<()> {
    gpu.function(&APPEND)?;
    gpu.function(&COPY).map(drop)
}
