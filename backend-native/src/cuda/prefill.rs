//! Paged prefill attention: a chunk of new tokens per sequence.

use cudarc::driver::CudaView;

use super::{
    attention::{Attention, check_heads},
    context::{Gpu, Kernel, address},
    dtype::Element,
    error::{Error, Result, check_length},
    layout::KvLayout,
    module::{Build, EntryNames, Module, entry_names},
    params::{PrefillParams, PrefillWork},
    plan::{Chunk, prefill_tiles},
    table::{BlockTable, Sequence},
    upload::Upload,
};

const NAMES: EntryNames = entry_names!("prefill");
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
    wide: bool,
    tokens: usize,
    chunks: Vec<Chunk>,
    tiles: Vec<PrefillWork>,
    table: BlockTable,
    work: Upload<PrefillWork>,
}

/// What a [`PrefillBatch`] must have room for.
#[derive(Debug, Clone, Copy)]
pub struct PrefillRoom {
    /// Sequences of a step.
    pub seqs: usize,
    /// Blocks of all sequences.
    pub blocks: usize,
    /// New tokens of all sequences.
    pub tokens: usize,
    /// Whether the calls will be [`Tensors::Wide`](super::Tensors::Wide).
    pub wide: bool,
}

impl PrefillBatch {
    /// Makes room for the largest step.
    ///
    /// # Errors
    /// As [`super::DecodeBatch::try_new`].
    pub fn try_new(gpu: &Gpu, layout: KvLayout, q_heads: usize, room: PrefillRoom) -> Result<Self> {
        check_heads(&layout, q_heads)?;
        let rows = Tile::of(layout.head_dim(), room.wide).rows as usize;
        let group = q_heads / layout.kv_heads();
        let max_tiles = ((room.tokens * group).div_ceil(rows) + room.seqs) * layout.kv_heads();
        Ok(Self {
            layout,
            q_heads,
            wide: room.wide,
            tokens: 0,
            chunks: Vec::with_capacity(room.seqs),
            tiles: Vec::with_capacity(max_tiles),
            table: BlockTable::try_new(gpu, room.blocks)?,
            work: Upload::try_new(gpu, max_tiles)?,
        })
    }

    /// Sets the chunks of the next launches; their tokens lie one chunk after the other in Q and output.
    ///
    /// # Errors
    /// As [`super::DecodeBatch::update`].
    pub fn update<'a>(
        &mut self,
        gpu: &Gpu,
        sequences: impl Iterator<Item = PrefillSequence<'a>> + Clone,
    ) -> Result<()> {
        let whole = |PrefillSequence { chunk, blocks }| Sequence {
            len: chunk.context.saturating_add(chunk.tokens),
            blocks,
        };
        self.table
            .update(gpu, &self.layout, sequences.clone().map(whole))?;
        self.chunks.clear();
        self.chunks.extend(sequences.map(|s| s.chunk));
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let kv_heads = self.layout.kv_heads();
        let heads = (number(kv_heads), number(self.q_heads / kv_heads));
        let rows = Tile::of(self.layout.head_dim(), self.wide).rows;
        prefill_tiles(&self.chunks, self.table.starts(), heads, rows, &mut self.tiles);
        self.tokens = self.chunks.iter().map(|chunk| chunk.tokens as usize).sum();
        self.work.write(&self.tiles, gpu.stream())
    }
}

/// Computes causal attention of every chunk over its sequence. The chunk's own K and V must be appended.
///
/// # Errors
/// As [`super::decode`].
pub fn prefill<T: Element>(
    gpu: &Gpu,
    batch: &PrefillBatch,
    call: &mut Attention<'_, '_, T>,
    layer: &CudaView<'_, T>,
) -> Result<()> {
    let layout = &batch.layout;
    check_length("KV layer", layer.len(), layout.layer_elements())?;
    let tensors = call.addresses(batch.tokens, batch.q_heads * layout.head_dim())?;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let params = PrefillParams {
        q: tensors.q,
        kv: address(layer),
        out: tensors.out,
        out_lo: tensors.out_lo,
        block_table: address(batch.table.device()),
        work: address(batch.work.device()),
        q_stride: tensors.stride,
        q_heads: number(batch.q_heads),
        kv_heads: number(layout.kv_heads()),
        block_shift: layout.block_shift(),
        scale_log2: tensors.scale_log2,
        unused: 0,
    };
    let grid = number(batch.tiles.len());
    if grid == 0 {
        return Ok(());
    }
    if batch.wide != tensors.build.is_wide() {
        return Err(Error::Precision);
    }
    // SAFETY: q, kv and out were measured above; table and tiles were sized for any batch of this shape and
    // filled by `update`, which checked every block number.
    unsafe {
        gpu.launch(
            gpu.stream(),
            &kernel(tensors.build, layout),
            (grid, 1, 1),
            &params,
        )
    }
}

/// The tile of `prefill.cu`: query rows per CTA and keys per turn.
struct Tile {
    rows: u32,
    keys: u32,
}

impl Tile {
    fn of(head_dim: usize, wide: bool) -> Self {
        if wide || head_dim == 256 {
            Self {
                rows: WARPS * 16,
                keys: 32,
            }
        } else {
            Self {
                rows: WARPS * 32,
                keys: 64,
            }
        }
    }
}

fn kernel(build: Build, layout: &KvLayout) -> Kernel {
    let dim = layout.head_dim();
    let Tile { rows, keys } = Tile::of(dim, build.is_wide());
    let planes = if build.is_wide() { 2 } else { 1 };
    // The planes of Q, then K and V twice, for the double buffer.
    let shared_bytes = (planes * rows + 4 * keys) * u32::try_from(dim).unwrap_or(u32::MAX) * 2;
    Kernel {
        module: Module::Prefill(build),
        name: build.entry(&NAMES, dim),
        threads: WARPS * 32,
        shared_bytes,
    }
}

/// Loads the kernel of a build and head size.
pub(crate) fn warm_up(gpu: &Gpu, build: Build, layout: &KvLayout) -> Result<()> {
    gpu.function(&kernel(build, layout)).map(drop)
}
