//! Paged prefill attention: a chunk of new tokens per sequence.

use std::f32::consts::LOG2_E;

use cudarc::driver::{CudaView, CudaViewMut};

use super::{
    context::{Gpu, Kernel, address},
    decode::{Queries, check_heads, check_rows},
    dtype::Element,
    error::{Result, check_length},
    layout::KvLayout,
    module::Module,
    params::{PrefillParams, PrefillWork},
    plan::{Chunk, prefill_tiles},
    table::{BlockTable, Sequence},
    upload::Upload,
};

const WARPS: u32 = 4;

/// A sequence's chunk with the blocks of the whole sequence.
#[derive(Debug, Clone, Copy)]
pub struct PrefillSequence<'a> {
    /// What is cached already, and what is new.
    pub chunk: Chunk,
    /// Blocks of cached and new tokens.
    pub blocks: &'a [u32],
}

/// The chunks of a prefill step, cut into tiles. One batch serves all layers.
#[derive(Debug)]
pub struct PrefillBatch {
    layout: KvLayout,
    q_heads: usize,
    max_seqs: usize,
    tokens: usize,
    chunks: Vec<Chunk>,
    tiles: Vec<PrefillWork>,
    table: BlockTable,
    work: Upload<PrefillWork>,
}

impl PrefillBatch {
    /// Makes room for `max_seqs` sequences of `max_blocks` blocks, `max_tokens` new tokens in all.
    ///
    /// # Errors
    /// As [`super::DecodeBatch::try_new`].
    pub fn try_new(
        gpu: &Gpu,
        layout: KvLayout,
        q_heads: usize,
        max_seqs: usize,
        max_blocks: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        check_heads(&layout, q_heads)?;
        let rows = tile(layout.head_dim()).rows as usize;
        let group = q_heads / layout.kv_heads();
        let max_tiles = ((max_tokens * group).div_ceil(rows) + max_seqs) * layout.kv_heads();
        Ok(Self {
            layout,
            q_heads,
            max_seqs,
            tokens: 0,
            chunks: Vec::with_capacity(max_seqs),
            tiles: Vec::with_capacity(max_tiles),
            table: BlockTable::try_new(gpu, max_seqs, max_blocks)?,
            work: Upload::try_new(gpu, max_tiles)?,
        })
    }

    /// Sets the chunks of the next launches; their tokens lie one chunk after the other in Q and output.
    ///
    /// # Errors
    /// As [`super::DecodeBatch::update`].
    pub fn update(&mut self, gpu: &Gpu, sequences: &[PrefillSequence<'_>]) -> Result<()> {
        check_length("prefill batch", self.max_seqs, sequences.len())?;
        let rows = sequences.iter().map(|s| Sequence {
            len: s.chunk.context.saturating_add(s.chunk.tokens),
            blocks: s.blocks,
        });
        self.table.update(gpu, &self.layout, rows)?;
        self.chunks.clear();
        self.chunks.extend(sequences.iter().map(|s| s.chunk));
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let kv_heads = self.layout.kv_heads();
        let rows = tile(self.layout.head_dim()).rows;
        prefill_tiles(
            &self.chunks,
            number(kv_heads),
            number(self.q_heads / kv_heads),
            rows,
            &mut self.tiles,
        );
        self.tokens = self.chunks.iter().map(|chunk| chunk.tokens as usize).sum();
        self.work.write(&self.tiles, gpu.stream())
    }
}

/// Computes causal attention of every chunk over its sequence. The chunk's own K and V must be appended.
///
/// # Errors
/// [`Error::Length`] if a buffer is too short for the batch; the driver's.
pub fn prefill<T: Element>(
    gpu: &Gpu,
    batch: &PrefillBatch,
    queries: Queries<'_, T>,
    layer: &CudaView<'_, T>,
    out: &mut CudaViewMut<'_, T>,
) -> Result<()> {
    let layout = &batch.layout;
    let row = batch.q_heads * layout.head_dim();
    check_length("KV layer", layer.len(), layout.layer_elements())?;
    check_length("attention output", out.len(), batch.tokens * row)?;
    check_rows("queries", queries.rows.len(), batch.tokens, queries.stride, row)?;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let params = PrefillParams {
        q: address(queries.rows),
        kv: address(layer),
        out: address(out),
        block_table: address(batch.table.device()),
        work: address(batch.work.device()),
        q_stride: number(queries.stride),
        table_stride: batch.table.stride(),
        q_heads: number(batch.q_heads),
        kv_heads: number(layout.kv_heads()),
        block_shift: layout.block_shift(),
        scale_log2: queries.scale * LOG2_E,
    };
    let grid = number(batch.tiles.len());
    if grid == 0 {
        return Ok(());
    }
    // SAFETY: q, kv and out were measured above; table and tiles were sized for any batch of this shape and
    // filled by `update`, which checked every block number.
    unsafe { gpu.launch(gpu.stream(), &kernel::<T>(layout), (grid, 1, 1), &params) }
}

struct Tile {
    rows: u32,
    keys: u32,
}

/// The tile of `prefill.cu` for a head size: query rows per CTA and keys per turn.
fn tile(dim: usize) -> Tile {
    match dim {
        256 => Tile {
            rows: WARPS * 16,
            keys: 32,
        },
        _ => Tile {
            rows: WARPS * 32,
            keys: 64,
        },
    }
}

fn kernel<T: Element>(layout: &KvLayout) -> Kernel {
    let dim = layout.head_dim();
    let (module, name) = match (T::NAME, dim) {
        ("f16", 64) => (Module::PrefillF16, "prefill_f16_d64"),
        ("f16", 128) => (Module::PrefillF16, "prefill_f16_d128"),
        ("f16", _) => (Module::PrefillF16, "prefill_f16_d256"),
        (_, 64) => (Module::PrefillBf16, "prefill_bf16_d64"),
        (_, 128) => (Module::PrefillBf16, "prefill_bf16_d128"),
        _ => (Module::PrefillBf16, "prefill_bf16_d256"),
    };
    let Tile { rows, keys } = tile(dim);
    // Q once, K and V twice, for the double buffer.
    let shared_bytes = (rows + 4 * keys) * u32::try_from(dim).unwrap_or(u32::MAX) * 2;
    Kernel {
        module,
        name,
        threads: WARPS * 32,
        shared_bytes,
    }
}

/// Loads the kernel of a head size.
pub(crate) fn warm_up<T: Element>(gpu: &Gpu, layout: &KvLayout) -> Result<()> {
    gpu.function(&kernel::<T>(layout)).map(drop)
}
