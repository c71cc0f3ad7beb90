//! Decode and prefill attention on random ragged batches.

use kvlens_native::cuda::{
    Chunk, DecodeBatch, Element, Gpu, KvLayout, PrefillBatch, PrefillSequence, Queries, Result, Sequence,
    StepGraph, decode, prefill,
};

use crate::{
    data::{Random, poison, relative_error, widen},
    reference::{Layer, Row, attend_all},
    report::Report,
};

/// Query and KV heads: grouped by 4, 1, 8, 12 (two pieces a head), 3, and one KV head for all.
const HEADS: [(usize, usize); 6] = [(32, 8), (4, 4), (16, 2), (24, 2), (6, 2), (16, 1)];
const BLOCK_SIZES: [usize; 4] = [16, 32, 64, 512];

/// Sequences with their blocks, scattered over a pool that is poisoned where no token lies.
struct Batch<T> {
    layout: KvLayout,
    pool: Vec<T>,
    blocks: Vec<Vec<u32>>,
    lens: Vec<u32>,
}

impl<T: Element> Batch<T> {
    fn random(random: &mut Random, kv_heads: usize, dim: usize, block_size: usize, lens: Vec<u32>) -> Self {
        let counts: Vec<usize> = lens
            .iter()
            .map(|&len| (len as usize).div_ceil(block_size))
            .collect();
        let total: usize = counts.iter().sum::<usize>() + 3;
        let layout = KvLayout::try_new(1, total, block_size, kv_heads, dim).expect("a supported shape");
        let mut order = random.permutation(u32::try_from(total).expect("small"));
        let blocks: Vec<Vec<u32>> = counts.iter().map(|&n| order.split_off(order.len() - n)).collect();
        let mut batch = Self {
            layout,
            pool: poison(layout.elements()),
            blocks,
            lens,
        };
        batch.fill(random);
        batch
    }

    fn fill(&mut self, random: &mut Random) {
        let (block_size, dim) = (self.layout.block_size(), self.layout.head_dim());
        for (blocks, &len) in self.blocks.iter().zip(&self.lens) {
            for token in 0..len as usize {
                for (head, is_v) in (0..self.layout.kv_heads()).flat_map(|h| [(h, false), (h, true)]) {
                    let block = blocks[token / block_size] as usize;
                    let at = self.layout.head_offset(block, is_v, head) + token % block_size * dim;
                    self.pool[at..at + dim].copy_from_slice(&random.tensor::<T>(dim));
                }
            }
        }
    }

    fn row<'a>(&'a self, seq: usize, kv_head: usize, keys: usize, q: &'a [f32]) -> Row<'a> {
        Row {
            q,
            blocks: &self.blocks[seq],
            keys,
            kv_head,
        }
    }

    fn attend(&self, rows: &[Row<'_>]) -> Vec<f64> {
        let (layout, data) = (&self.layout, widen(&self.pool));
        attend_all(
            Layer {
                layout,
                data: &data,
                scale: scale(layout.head_dim()).into(),
            },
            rows,
        )
    }
}

fn scale(dim: usize) -> f32 {
    1.0 / f32::from(u16::try_from(dim).expect("a head size")).sqrt()
}

fn lengths(random: &mut Random) -> Vec<u32> {
    let count = random.between(1, 12);
    let mut lens: Vec<u32> = (0..count).map(|_| random.between(1, 300)).collect();
    // One long sequence that many CTAs share, one of a single token, and one at a tile's edge.
    let long = random.between(1500, 4000);
    lens.extend([long, 1, 64]);
    lens
}

/// Checks decode for every dtype-independent shape.
pub(crate) fn check_decode<T: Element>(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    for dim in KvLayout::HEAD_DIMS {
        for (case, (q_heads, kv_heads)) in HEADS.into_iter().enumerate() {
            let block_size = BLOCK_SIZES[case % BLOCK_SIZES.len()];
            decode_case::<T>(gpu, random, report, (q_heads, kv_heads, dim, block_size))?;
        }
    }
    for block_size in BLOCK_SIZES {
        decode_case::<T>(gpu, random, report, (32, 8, 128, block_size))?;
    }
    Ok(())
}

fn decode_case<T: Element>(
    gpu: &Gpu,
    random: &mut Random,
    report: &mut Report,
    (q_heads, kv_heads, dim, block_size): (usize, usize, usize, usize),
) -> Result<()> {
    let lens = lengths(random);
    let batch = Batch::<T>::random(random, kv_heads, dim, block_size, lens);
    let stride = q_heads * dim + 16;
    let q = random.tensor::<T>(batch.lens.len() * stride);
    let mut state = DecodeBatch::try_new::<T>(gpu, batch.layout, q_heads, batch.lens.len(), 300)?;
    let sequences: Vec<_> = batch
        .lens
        .iter()
        .zip(&batch.blocks)
        .map(|(&len, blocks)| Sequence { len, blocks })
        .collect();
    state.update(gpu, &sequences)?;
    let (q_gpu, pool_gpu) = (gpu.upload(&q)?, gpu.upload(&batch.pool)?);
    let mut out_gpu = gpu.upload(&poison::<T>(batch.lens.len() * q_heads * dim))?;
    let rows = q_gpu.as_view();
    let queries = Queries {
        rows: &rows,
        stride,
        scale: scale(dim),
    };
    decode(
        gpu,
        &state,
        queries,
        &pool_gpu.as_view(),
        &mut out_gpu.as_view_mut(),
    )?;
    let found = gpu.download(&out_gpu)?;
    // The counters of split sequences must have returned to zero: a replayed graph runs on them.
    let graph = StepGraph::capture(gpu, || {
        decode(
            gpu,
            &state,
            queries,
            &pool_gpu.as_view(),
            &mut out_gpu.as_view_mut(),
        )
    })?;
    graph.replay()?;
    graph.replay()?;
    let again = gpu.download(&out_gpu)?;

    let wide = widen(&q);
    let mut rows = Vec::new();
    for (seq, &len) in batch.lens.iter().enumerate() {
        for head in 0..q_heads {
            let at = seq * stride + head * dim;
            rows.push(batch.row(
                seq,
                head / (q_heads / kv_heads),
                len as usize,
                &wide[at..at + dim],
            ));
        }
    }
    let expected = batch.attend(&rows);
    let name = format!(
        "decode {} {q_heads}/{kv_heads} heads, size {dim}, block {block_size}",
        T::NAME
    );
    let (busy, parts) = state.shares();
    report.error(
        &format!("{name}, {busy} CTAs, {parts} parts"),
        relative_error(&found, &expected),
        T::TOLERANCE,
    );
    report.error(
        &format!("{name}, replayed"),
        relative_error(&again, &expected),
        T::TOLERANCE,
    );
    Ok(())
}

/// Checks prefill: chunks with and without a cached prefix, of one token and of many.
pub(crate) fn check_prefill<T: Element>(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    for dim in KvLayout::HEAD_DIMS {
        for (case, (q_heads, kv_heads)) in HEADS.into_iter().enumerate() {
            let block_size = BLOCK_SIZES[case % BLOCK_SIZES.len()];
            prefill_case::<T>(gpu, random, report, (q_heads, kv_heads, dim, block_size))?;
        }
    }
    Ok(())
}

fn prefill_case<T: Element>(
    gpu: &Gpu,
    random: &mut Random,
    report: &mut Report,
    (q_heads, kv_heads, dim, block_size): (usize, usize, usize, usize),
) -> Result<()> {
    let mut chunks: Vec<Chunk> = (0..4)
        .map(|_| Chunk {
            context: random.between(0, 400),
            tokens: random.between(1, 150),
        })
        .collect();
    chunks.extend([
        Chunk {
            context: 0,
            tokens: 200,
        },
        Chunk {
            context: 77,
            tokens: 1,
        },
    ]);
    let lens = chunks.iter().map(|c| c.context + c.tokens).collect();
    let batch = Batch::<T>::random(random, kv_heads, dim, block_size, lens);
    let tokens: usize = chunks.iter().map(|c| c.tokens as usize).sum();
    let stride = q_heads * dim + 8;
    let q = random.tensor::<T>(tokens * stride);
    let mut state = PrefillBatch::try_new(gpu, batch.layout, q_heads, chunks.len(), 300, tokens)?;
    let sequences: Vec<_> = chunks
        .iter()
        .zip(&batch.blocks)
        .map(|(&chunk, blocks)| PrefillSequence { chunk, blocks })
        .collect();
    state.update(gpu, &sequences)?;
    let (q_gpu, pool_gpu) = (gpu.upload(&q)?, gpu.upload(&batch.pool)?);
    let mut out_gpu = gpu.upload(&poison::<T>(tokens * q_heads * dim))?;
    let queries = Queries {
        rows: &q_gpu.as_view(),
        stride,
        scale: scale(dim),
    };
    prefill(
        gpu,
        &state,
        queries,
        &pool_gpu.as_view(),
        &mut out_gpu.as_view_mut(),
    )?;
    let found = gpu.download(&out_gpu)?;

    let wide = widen(&q);
    let mut rows = Vec::new();
    let mut row = 0;
    for (seq, chunk) in chunks.iter().enumerate() {
        for keys in chunk.context + 1..=chunk.context + chunk.tokens {
            for head in 0..q_heads {
                let at = row * stride + head * dim;
                let kv_head = head / (q_heads / kv_heads);
                rows.push(batch.row(seq, kv_head, keys as usize, &wide[at..at + dim]));
            }
            row += 1;
        }
    }
    let expected = batch.attend(&rows);
    let name = format!(
        "prefill {} {q_heads}/{kv_heads} heads, size {dim}, block {block_size}",
        T::NAME
    );
    report.error(&name, relative_error(&found, &expected), T::TOLERANCE);
    Ok(())
}
