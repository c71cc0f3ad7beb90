//! One sequence's part of a step.

use super::pool::{BlockOutOfRange, KvElement, KvPool, Part};
use crate::device::{SeqStep, StepOutput};
use crate::model::{Model, Qkv};
use crate::reference::attend;
use std::sync::Arc;

/// Runs sequences through a model; keeps its buffers.
#[derive(Debug)]
pub(super) struct Runner {
    model: Arc<dyn Model>,
    tokens: Vec<u32>,
    hidden: Vec<f32>,
    queries: Vec<f32>,
    /// Keys and values of one token.
    key: Vec<f32>,
    value: Vec<f32>,
    /// Keys and values of one head, of all tokens, read back from the blocks.
    keys: Vec<f32>,
    values: Vec<f32>,
    attention: Vec<f32>,
    scores: Vec<f32>,
    scratch: Vec<f32>,
}

impl Runner {
    pub(super) fn new(model: Arc<dyn Model>) -> Self {
        let shape = model.shape();
        Self {
            model,
            tokens: Vec::new(),
            hidden: Vec::new(),
            queries: Vec::new(),
            key: vec![0.0; shape.kv_dim()],
            value: vec![0.0; shape.kv_dim()],
            keys: Vec::new(),
            values: Vec::new(),
            attention: Vec::new(),
            scores: Vec::new(),
            scratch: vec![0.0; 2 * shape.hidden],
        }
    }

    /// Computes a sequence's new tokens, and the one that follows if it is wanted.
    pub(super) fn run<T: KvElement>(
        &mut self,
        sequence: &SeqStep<'_>,
        kv: &mut KvPool<T>,
        output: &mut StepOutput,
    ) -> Result<(), BlockOutOfRange> {
        let shape = kv.shape();
        let (start, len) = (sequence.start, sequence.len as usize);
        self.tokens.resize(len, 0);
        sequence.read_tokens(start, &mut self.tokens);
        self.hidden.resize(len * shape.hidden, 0.0);
        for ((position, token), hidden) in (start..)
            .zip(&self.tokens)
            .zip(self.hidden.chunks_exact_mut(shape.hidden))
        {
            self.model.embed(*token, position, hidden);
        }
        for layer in 0..shape.layers {
            self.project(layer, sequence, kv)?;
            self.attend(layer, sequence, kv)?;
            let attention = self.attention.chunks_exact(shape.q_dim());
            for (attention, hidden) in attention.zip(self.hidden.chunks_exact_mut(shape.hidden)) {
                self.model.absorb(layer, attention, hidden, &mut self.scratch);
            }
        }
        if sequence.sampled
            && let Some(last) = self.hidden.chunks_exact(shape.hidden).next_back()
        {
            output.tokens.push(self.model.next_token(last));
        }
        Ok(())
    }

    /// Computes queries, keys and values; writes the latter two into the blocks.
    fn project<T: KvElement>(
        &mut self,
        layer: usize,
        sequence: &SeqStep<'_>,
        kv: &mut KvPool<T>,
    ) -> Result<(), BlockOutOfRange> {
        let shape = kv.shape();
        self.queries.resize(sequence.len as usize * shape.q_dim(), 0.0);
        let rows = self
            .hidden
            .chunks_exact(shape.hidden)
            .zip(self.queries.chunks_exact_mut(shape.q_dim()));
        for (position, (hidden, q)) in (sequence.start..).zip(rows) {
            let (k, v) = (&mut self.key[..], &mut self.value[..]);
            self.model
                .qkv(layer, position, hidden, &mut self.scratch, Qkv { q, k, v });
            let block = block_of(sequence, position, kv.block_size())?;
            let row = (position % kv.block_size()) as usize * shape.head_dim;
            for (part, values) in [(Part::Key, &self.key), (Part::Value, &self.value)] {
                for (head, values) in values.chunks_exact(shape.head_dim).enumerate() {
                    let rows = kv.share_mut(layer, block, part, head)?;
                    T::store(values, &mut rows[row..row + shape.head_dim]);
                }
            }
        }
        Ok(())
    }

    /// Computes the attention of all new tokens over everything up to each of them, as the blocks have it.
    fn attend<T: KvElement>(
        &mut self,
        layer: usize,
        sequence: &SeqStep<'_>,
        kv: &KvPool<T>,
    ) -> Result<(), BlockOutOfRange> {
        let shape = kv.shape();
        let context = (sequence.start + sequence.len) as usize;
        let (dim, group) = (shape.head_dim, shape.q_heads / shape.kv_heads.max(1));
        self.attention.resize(sequence.len as usize * shape.q_dim(), 0.0);
        self.scores.resize(context, 0.0);
        for kv_head in 0..shape.kv_heads {
            read_back(&mut self.keys, sequence, kv, (layer, Part::Key, kv_head))?;
            read_back(&mut self.values, sequence, kv, (layer, Part::Value, kv_head))?;
            let heads = kv_head * group * dim..(kv_head + 1) * group * dim;
            let queries = self.queries.chunks_exact(shape.q_dim());
            let outs = self.attention.chunks_exact_mut(shape.q_dim());
            for (seen, (query, out)) in (sequence.start as usize + 1..).zip(queries.zip(outs)) {
                let (query, out) = (&query[heads.clone()], &mut out[heads.clone()]);
                for (query, out) in query.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
                    attend(query, &self.keys, &self.values, &mut self.scores[..seen], out);
                }
            }
        }
        Ok(())
    }
}

/// Reads one head's keys or values of all tokens out of the sequence's blocks.
fn read_back<T: KvElement>(
    out: &mut Vec<f32>,
    sequence: &SeqStep<'_>,
    kv: &KvPool<T>,
    (layer, part, head): (usize, Part, usize),
) -> Result<(), BlockOutOfRange> {
    let dim = kv.shape().head_dim;
    let context = (sequence.start + sequence.len) as usize;
    out.resize(context * dim, 0.0);
    let rows = out.chunks_mut(kv.block_size() as usize * dim);
    for (block, rows) in sequence.block_table.iter().zip(rows) {
        let stored = kv.share(layer, *block, part, head)?;
        T::load(&stored[..rows.len()], rows);
    }
    Ok(())
}

/// The block of a position; a table that is too short is a block out of range.
fn block_of(sequence: &SeqStep<'_>, position: u32, block_size: u32) -> Result<u32, BlockOutOfRange> {
    let index = (position / block_size) as usize;
    sequence.block_table.get(index).copied().ok_or(BlockOutOfRange {
        block: position / block_size,
        blocks: u32::try_from(sequence.block_table.len()).unwrap_or(u32::MAX),
    })
}
