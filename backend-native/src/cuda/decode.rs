//! Paged decode attention: one new token per sequence.

use std::f32::consts::LOG2_E;

use cudarc::driver::{CudaSlice, CudaView, CudaViewMut};

use super::{
    context::{Gpu, Kernel, address},
    dtype::Element,
    error::{Context as _, Error, Result, check_length},
    layout::KvLayout,
    module::Module,
    params::{DecodeParams, DecodeWork},
    plan::{DecodePlan, HEADS_PER_PIECE},
    table::{BlockTable, Sequence},
    upload::Upload,
};

const WARPS: u32 = 4;
const TILE: u32 = 16;
const STAGES: u32 = 2;
/// More CTAs than this on a multiprocessor add partials to merge and no bandwidth.
const MAX_CTAS_PER_MULTIPROCESSOR: u32 = 4;

/// The query side of an attention call.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a, T> {
    /// Rows of `q_heads * head_dim` elements.
    pub rows: &'a CudaView<'a, T>,
    /// Elements from one row to the next: more than a row where Q, K and V lie side by side.
    pub stride: usize,
    /// Factor of the scores, usually one over the root of the head size.
    pub scale: f32,
}

/// The sequences of a decode step and how their work is dealt to the GPU.
///
/// One batch serves all layers of a step. Its device addresses and its grid never change, so a captured
/// graph stays valid over [`DecodeBatch::update`].
#[derive(Debug)]
pub struct DecodeBatch {
    layout: KvLayout,
    q_heads: usize,
    max_seqs: usize,
    seqs: usize,
    ctas: u32,
    lens: Vec<u32>,
    plan: DecodePlan,
    table: BlockTable,
    work: Upload<DecodeWork>,
    partial_o: CudaSlice<f32>,
    partial_ml: CudaSlice<f32>,
    counters: CudaSlice<u32>,
}

impl DecodeBatch {
    /// Makes room for `max_seqs` sequences of `max_blocks` blocks each.
    ///
    /// # Errors
    /// [`Error::UnsupportedShape`] if the query heads are no multiple of the KV heads;
    /// [`Error::OutOfMemory`]; [`Error::SharedMemory`] on a GPU with too little of it.
    pub fn try_new<T: Element>(
        gpu: &Gpu,
        layout: KvLayout,
        q_heads: usize,
        max_seqs: usize,
        max_blocks: usize,
    ) -> Result<Self> {
        check_heads(&layout, q_heads)?;
        let ctas = gpu.info().multiprocessors * ctas_per_multiprocessor(gpu, &kernel::<T>(&layout))?;
        let (pieces, slots) = DecodePlan::capacity(max_seqs, virtual_heads(&layout, q_heads), ctas);
        let partial_rows = slots * HEADS_PER_PIECE as usize;
        Ok(Self {
            layout,
            q_heads,
            max_seqs,
            seqs: 0,
            ctas,
            lens: Vec::with_capacity(max_seqs),
            plan: DecodePlan::default(),
            table: BlockTable::try_new(gpu, max_seqs, max_blocks)?,
            work: Upload::try_new(gpu, pieces)?,
            partial_o: gpu.zeros(partial_rows * layout.head_dim())?,
            partial_ml: gpu.zeros(partial_rows * 2)?,
            counters: gpu.zeros(slots)?,
        })
    }

    /// Sets the sequences of the next launches. A sequence of length 0 gets zeros as output.
    ///
    /// # Errors
    /// [`Error::Length`] for more sequences or blocks than there is room for, or too few blocks for a
    /// length; [`Error::OutOfRange`] for a block outside the pool.
    pub fn update(&mut self, gpu: &Gpu, sequences: &[Sequence<'_>]) -> Result<()> {
        check_length("decode batch", self.max_seqs, sequences.len())?;
        self.table.update(gpu, &self.layout, sequences.iter().copied())?;
        self.lens.clear();
        self.lens.extend(sequences.iter().map(|s| s.len));
        self.plan
            .rebuild(&self.lens, virtual_heads(&self.layout, self.q_heads), self.ctas);
        self.work.write(&self.plan.work, gpu.stream())?;
        self.seqs = sequences.len();
        Ok(())
    }

    /// CTAs that the current batch keeps busy, and partial results it merges.
    pub fn shares(&self) -> (u32, u32) {
        (self.plan.busy, self.plan.slots)
    }
}

/// Computes attention of every sequence's new token over its cached tokens, itself included.
///
/// Reads one layer of the pool; writes `out`, dense rows of `q_heads * head_dim`.
///
/// # Errors
/// [`Error::Length`] if a buffer is too short for the batch; the driver's.
pub fn decode<T: Element>(
    gpu: &Gpu,
    batch: &DecodeBatch,
    queries: Queries<'_, T>,
    layer: &CudaView<'_, T>,
    out: &mut CudaViewMut<'_, T>,
) -> Result<()> {
    let layout = &batch.layout;
    let row = batch.q_heads * layout.head_dim();
    check_length("KV layer", layer.len(), layout.layer_elements())?;
    check_length("attention output", out.len(), batch.seqs * row)?;
    check_rows("queries", queries.rows.len(), batch.seqs, queries.stride, row)?;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let per_kv = number(batch.q_heads / layout.kv_heads());
    let params = DecodeParams {
        q: address(queries.rows),
        kv: address(layer),
        out: address(out),
        block_table: address(batch.table.device()),
        work: address(batch.work.device()),
        partial_o: address(&batch.partial_o),
        partial_ml: address(&batch.partial_ml),
        counters: address(&batch.counters),
        q_stride: number(queries.stride),
        table_stride: batch.table.stride(),
        q_heads: number(batch.q_heads),
        kv_heads: number(layout.kv_heads()),
        group: per_kv.min(HEADS_PER_PIECE),
        subgroups: per_kv.div_ceil(HEADS_PER_PIECE),
        block_shift: layout.block_shift(),
        scale_log2: queries.scale * LOG2_E,
    };
    let kernel = kernel::<T>(layout);
    // SAFETY: q, kv and out were measured above; table, work, partials and counters were sized for any batch
    // of this shape and filled by `update`, which checked every block number.
    unsafe { gpu.launch(gpu.stream(), &kernel, (batch.ctas, 1, 1), &params) }
}

/// Checks that `count` rows, `stride` elements apart, fit a buffer.
pub(crate) fn check_rows(
    what: &'static str,
    found: usize,
    count: usize,
    stride: usize,
    row: usize,
) -> Result<()> {
    check_length(what, stride, row)?;
    if !stride.is_multiple_of(8) {
        return Err(Error::UnsupportedShape {
            what: "row stride",
            found: stride,
            supported: "multiples of 8",
        });
    }
    check_length(
        what,
        found,
        count.saturating_sub(1) * stride + if count > 0 { row } else { 0 },
    )
}

pub(crate) fn check_heads(layout: &KvLayout, q_heads: usize) -> Result<()> {
    if q_heads == 0 || !q_heads.is_multiple_of(layout.kv_heads()) {
        let supported = "multiples of the KV heads";
        return Err(Error::UnsupportedShape {
            what: "number of query heads",
            found: q_heads,
            supported,
        });
    }
    Ok(())
}

/// KV heads, counted once for every group of query heads that a piece covers.
fn virtual_heads(layout: &KvLayout, q_heads: usize) -> u32 {
    let subgroups = (q_heads / layout.kv_heads()).div_ceil(HEADS_PER_PIECE as usize);
    u32::try_from(layout.kv_heads() * subgroups).unwrap_or(u32::MAX)
}

fn kernel<T: Element>(layout: &KvLayout) -> Kernel {
    let (module, name) = match (T::NAME, layout.head_dim()) {
        ("f16", 64) => (Module::DecodeF16, "decode_f16_d64"),
        ("f16", 128) => (Module::DecodeF16, "decode_f16_d128"),
        ("f16", _) => (Module::DecodeF16, "decode_f16_d256"),
        (_, 64) => (Module::DecodeBf16, "decode_bf16_d64"),
        (_, 128) => (Module::DecodeBf16, "decode_bf16_d128"),
        _ => (Module::DecodeBf16, "decode_bf16_d256"),
    };
    // The stages of all warps, then the `Exchange` of `decode.cu`.
    let dim = u32::try_from(layout.head_dim()).unwrap_or(u32::MAX);
    let stage = 2 * TILE * dim * 2;
    let exchange = WARPS * HEADS_PER_PIECE * (dim + 4 + 2) * 4 + 16;
    Kernel {
        module,
        name,
        threads: WARPS * 32,
        shared_bytes: WARPS * STAGES * stage + exchange,
    }
}

fn ctas_per_multiprocessor(gpu: &Gpu, kernel: &Kernel) -> Result<u32> {
    let function = gpu.function(kernel)?;
    let shared = kernel.shared_bytes as usize;
    let resident = function
        .occupancy_max_active_blocks_per_multiprocessor(kernel.threads, shared, None)
        .during("asking for a kernel's occupancy")?;
    Ok(resident.clamp(1, MAX_CTAS_PER_MULTIPROCESSOR))
}

/// Loads the kernel of a head size.
pub(crate) fn warm_up<T: Element>(gpu: &Gpu, layout: &KvLayout) -> Result<()> {
    gpu.function(&kernel::<T>(layout)).map(drop)
}
