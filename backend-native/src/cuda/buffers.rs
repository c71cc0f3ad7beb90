//! The tensors of a step.

use cudarc::driver::{CudaEvent, CudaSlice};

use super::{
    context::Gpu,
    error::{Context as _, Result},
    ops::SplitRows,
    pinned::PinnedBuffer,
};
use crate::model::ModelShape;

/// What lives between the kernels of a step.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub(crate) hidden: CudaSlice<f32>,
    /// The hidden state, normalized, as projections take it.
    pub(crate) normal: SplitRows,
    pub(crate) qkv: CudaSlice<f32>,
    pub(crate) attention: SplitRows,
    /// Between the two halves of the feed-forward part.
    pub(crate) inner: SplitRows,
    /// Hidden states of the rows that a token follows.
    pub(crate) last: SplitRows,
    pub(crate) logits: CudaSlice<f32>,
    pub(crate) tokens: CudaSlice<u32>,
    pub(crate) host_tokens: PinnedBuffer<u32>,
    pub(crate) arrived: CudaEvent,
}

impl Buffers {
    pub(crate) fn try_new(gpu: &Gpu, shape: &ModelShape, tokens: usize, seqs: usize) -> Result<Self> {
        Ok(Self {
            hidden: gpu.zeros(tokens * shape.hidden)?,
            normal: SplitRows::try_new(gpu, tokens, shape.hidden)?,
            qkv: gpu.zeros(tokens * (shape.q_dim() + 2 * shape.kv_dim()))?,
            attention: SplitRows::try_new(gpu, tokens, shape.q_dim())?,
            inner: SplitRows::try_new(gpu, tokens, shape.hidden)?,
            last: SplitRows::try_new(gpu, seqs, shape.hidden)?,
            logits: gpu.zeros(seqs * shape.vocabulary)?,
            tokens: gpu.zeros(seqs)?,
            host_tokens: gpu.pinned(seqs)?,
            arrived: gpu.context().new_event(None).during("making an event")?,
        })
    }
}
