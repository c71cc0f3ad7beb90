//! Paged decode attention: one new token per sequence.

use cudarc::driver::{CudaSlice, CudaView};

use super::{
    attention::{Attention, check_heads},
    context::{Gpu, GpuInfo, Kernel, address},
    dtype::Element,
    error::{Result, check_length},
    layout::KvLayout,
    module::{Build, EntryNames, Module, entry_names},
    params::{DecodeParams, DecodeWork},
    plan::{DecodePlan, HEADS_PER_PIECE, Span},
    table::{BlockTable, Sequence},
    upload::Upload,
};

const NAMES: EntryNames = entry_names!("decode");
const WARPS: u32 = 4;
const TILE: u32 = 16;
const STAGES: u32 = 2;
/// More CTAs than this on a multiprocessor add partials to merge and no bandwidth.
const MAX_CTAS_PER_MULTIPROCESSOR: u32 = 4;
/// Shared memory that the driver keeps of every CTA.
const RESERVED_SHARED_BYTES: u32 = 1024;

/// The sequences of a decode step and how their work is dealt to the GPU.
///
/// One batch serves all layers of a step. Its device addresses and its grid never change, so a captured
/// graph stays valid over [`DecodeBatch::update`].
#[derive(Debug)]
pub struct DecodeBatch {
    layout: KvLayout,
    q_heads: usize,
    max_seqs: usize,
    ctas: u32,
    spans: Vec<Span>,
    plan: DecodePlan,
    table: BlockTable,
    work: Upload<DecodeWork>,
    partial_o: CudaSlice<f32>,
    partial_ml: CudaSlice<f32>,
    counters: CudaSlice<u32>,
}

impl DecodeBatch {
    /// Makes room for `max_seqs` sequences with `max_blocks` blocks in all.
    ///
    /// # Errors
    /// [`UnsupportedShape`](super::Error::UnsupportedShape) if the query heads are no multiple of the KV heads;
    /// [`OutOfMemory`](super::Error::OutOfMemory).
    pub fn try_new(
        gpu: &Gpu,
        layout: KvLayout,
        q_heads: usize,
        max_seqs: usize,
        max_blocks: usize,
    ) -> Result<Self> {
        check_heads(&layout, q_heads)?;
        let ctas = gpu.info().multiprocessors * ctas_per_multiprocessor(gpu.info(), shared_bytes(&layout));
        let (pieces, slots) = DecodePlan::capacity(max_seqs, virtual_heads(&layout, q_heads), ctas);
        let partial_rows = slots * HEADS_PER_PIECE as usize;
        Ok(Self {
            layout,
            q_heads,
            max_seqs,
            ctas,
            spans: Vec::with_capacity(max_seqs),
            plan: DecodePlan::default(),
            table: BlockTable::try_new(gpu, max_blocks)?,
            work: Upload::try_new(gpu, pieces)?,
            partial_o: gpu.zeros(partial_rows * layout.head_dim())?,
            partial_ml: gpu.zeros(partial_rows * 2)?,
            counters: gpu.zeros(slots)?,
        })
    }

    /// Sets the sequences of the next launches. A sequence of length 0 gets zeros as output.
    ///
    /// # Errors
    /// [`Length`](super::Error::Length) for more sequences or blocks than there is room for, or too few blocks
    /// for a length; [`OutOfRange`](super::Error::OutOfRange) for a block outside the pool.
    pub fn update<'a>(
        &mut self,
        gpu: &Gpu,
        sequences: impl Iterator<Item = Sequence<'a>> + Clone,
    ) -> Result<()> {
        self.table.update(gpu, &self.layout, sequences.clone())?;
        let starts = self.table.starts().iter();
        self.spans.clear();
        self.spans.extend(
            sequences
                .zip(starts)
                .map(|(s, &blocks)| Span { len: s.len, blocks }),
        );
        check_length("decode batch", self.max_seqs, self.spans.len())?;
        self.plan
            .rebuild(&self.spans, virtual_heads(&self.layout, self.q_heads), self.ctas);
        self.work.write(&self.plan.work, gpu.stream())
    }

    /// CTAs that the current batch keeps busy, and partial results it merges.
    pub fn shares(&self) -> (u32, u32) {
        (self.plan.busy, self.plan.slots)
    }
}

/// Computes attention of every sequence's new token over its cached tokens, itself included.
///
/// # Errors
/// [`Length`](super::Error::Length) if a buffer is too short for the batch;
/// [`SharedMemory`](super::Error::SharedMemory) on a GPU with too little of it; the driver's.
pub fn decode<T: Element>(
    gpu: &Gpu,
    batch: &DecodeBatch,
    call: &mut Attention<'_, '_, T>,
    layer: &CudaView<'_, T>,
) -> Result<()> {
    let layout = &batch.layout;
    check_length("KV layer", layer.len(), layout.layer_elements())?;
    let tensors = call.addresses(batch.spans.len(), batch.q_heads * layout.head_dim())?;
    if batch.spans.is_empty() {
        return Ok(());
    }
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let per_kv = number(batch.q_heads / layout.kv_heads());
    let params = DecodeParams {
        q: tensors.q,
        kv: address(layer),
        out: tensors.out,
        out_lo: tensors.out_lo,
        block_table: address(batch.table.device()),
        work: address(batch.work.device()),
        partial_o: address(&batch.partial_o),
        partial_ml: address(&batch.partial_ml),
        counters: address(&batch.counters),
        q_stride: tensors.stride,
        q_heads: number(batch.q_heads),
        kv_heads: number(layout.kv_heads()),
        group: per_kv.min(HEADS_PER_PIECE),
        subgroups: per_kv.div_ceil(HEADS_PER_PIECE),
        block_shift: layout.block_shift(),
        scale_log2: tensors.scale_log2,
        unused: 0,
    };
    let kernel = kernel(tensors.build, layout);
    // SAFETY: q, kv and out were measured above; table, work, partials and counters were sized for any batch
    // of this shape and filled by `update`, which checked every block number.
    unsafe { gpu.launch(gpu.stream(), &kernel, (batch.ctas, 1, 1), &params) }
}

/// KV heads, counted once for every group of query heads that a piece covers.
fn virtual_heads(layout: &KvLayout, q_heads: usize) -> u16 {
    let subgroups = (q_heads / layout.kv_heads()).div_ceil(HEADS_PER_PIECE as usize);
    u16::try_from(layout.kv_heads() * subgroups).unwrap_or(u16::MAX)
}

fn kernel(build: Build, layout: &KvLayout) -> Kernel {
    let name = build.entry(&NAMES, layout.head_dim());
    Kernel {
        module: Module::Decode(build),
        name,
        threads: WARPS * 32,
        shared_bytes: shared_bytes(layout),
    }
}

/// The stages of all warps, then the `Exchange` of `decode.cu`.
fn shared_bytes(layout: &KvLayout) -> u32 {
    let dim = u32::try_from(layout.head_dim()).unwrap_or(u32::MAX);
    let stage = 2 * TILE * dim * 2;
    let exchange = WARPS * HEADS_PER_PIECE * (dim + 4 + 2) * 4 + 16;
    WARPS * STAGES * stage + exchange
}

fn ctas_per_multiprocessor(info: &GpuInfo, shared_bytes: u32) -> u32 {
    let resident = info.multiprocessor_shared_bytes / (shared_bytes + RESERVED_SHARED_BYTES);
    resident.clamp(1, MAX_CTAS_PER_MULTIPROCESSOR)
}

/// Loads the kernel of a build and head size.
pub(crate) fn warm_up(gpu: &Gpu, build: Build, layout: &KvLayout) -> Result<()> {
    gpu.function(&kernel(build, layout)).map(drop)
}
