//! Decode and prefill attention on random ragged batches.

use cudarc::driver::CudaSlice;
use kvlens_native::cuda::{
    Attention, Chunk, DecodeBatch, Element, Gpu, KvLayout, PrefillBatch, PrefillRoom, PrefillSequence,
    Result, Selection, Sequence, SplitRows, StepGraph, Tensors, decode, prefill, split,
};

use crate::{
    data::{Random, poison, relative_error, relative_norm, widen},
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

/// Heads, head size and block size of a case.
#[derive(Debug, Clone, Copy)]
struct Shape {
    q_heads: usize,
    kv_heads: usize,
    dim: usize,
    block_size: usize,
}

impl Shape {
    fn kv_head(&self, q_head: usize) -> usize {
        q_head / (self.q_heads / self.kv_heads)
    }

    fn row(&self) -> usize {
        self.q_heads * self.dim
    }

    fn name(&self, kind: &str, dtype: &str) -> String {
        let Self {
            q_heads,
            kv_heads,
            dim,
            block_size,
        } = self;
        format!("{kind} {dtype} {q_heads}/{kv_heads} heads, size {dim}, block {block_size}")
    }
}

/// Every head size with every grouping, block sizes in turn; and every block size.
fn shapes() -> impl Iterator<Item = Shape> {
    let grouped = KvLayout::HEAD_DIMS.into_iter().flat_map(|dim| {
        HEADS.into_iter().zip(BLOCK_SIZES.into_iter().cycle()).map(
            move |((q_heads, kv_heads), block_size)| Shape {
                q_heads,
                kv_heads,
                dim,
                block_size,
            },
        )
    });
    let blocks = BLOCK_SIZES.map(|block_size| Shape {
        q_heads: 32,
        kv_heads: 8,
        dim: 128,
        block_size,
    });
    grouped.chain(blocks)
}

/// Checks of [`check_decode`] or of [`check_prefill`], for one type.
pub(crate) const SHAPES: usize = KvLayout::HEAD_DIMS.len() * HEADS.len() + BLOCK_SIZES.len();

/// Queries in both precisions, and where the results go.
struct Rows<T> {
    stride: usize,
    plain: Vec<f32>,
    narrow: CudaSlice<T>,
    wide: CudaSlice<f32>,
    out: CudaSlice<T>,
    wide_out: SplitRows,
}

impl<T: Element> Rows<T> {
    fn random(gpu: &Gpu, random: &mut Random, shape: &Shape, rows: usize) -> Result<Self> {
        let stride = shape.row() + 16;
        let narrow = random.tensor::<T>(rows * stride);
        let plain = widen(&narrow);
        let mut wide_out = SplitRows::try_new(gpu, rows, shape.row())?;
        let poisoned = gpu.upload(&vec![f32::NAN; rows * shape.row()])?;
        split(
            gpu,
            &poisoned.as_view(),
            &Selection {
                rows,
                indices: None,
                normalize: false,
            },
            &mut wide_out,
        )?;
        Ok(Self {
            stride,
            narrow: gpu.upload(&narrow)?,
            wide: gpu.upload(&plain)?,
            plain,
            out: gpu.upload(&poison::<T>(rows * shape.row()))?,
            wide_out,
        })
    }

    /// Calls `run` with 16-bit queries.
    fn narrow(
        &mut self,
        dim: usize,
        run: impl FnOnce(&mut Attention<'_, '_, T>) -> Result<()>,
    ) -> Result<()> {
        let (queries, mut out) = (self.narrow.as_view(), self.out.as_view_mut());
        let tensors = Tensors::Narrow {
            queries: &queries,
            out: &mut out,
        };
        run(&mut Attention {
            tensors,
            stride: self.stride,
            first_row: 0,
            scale: scale(dim),
        })
    }

    /// Calls `run` with f32 queries.
    fn wide(&mut self, dim: usize, run: impl FnOnce(&mut Attention<'_, '_, T>) -> Result<()>) -> Result<()> {
        let queries = self.wide.as_view();
        let tensors = Tensors::Wide {
            queries: &queries,
            out: &mut self.wide_out,
        };
        run(&mut Attention {
            tensors,
            stride: self.stride,
            first_row: 0,
            scale: scale(dim),
        })
    }

    fn query(&self, shape: &Shape, row: usize, head: usize) -> &[f32] {
        let at = row * self.stride + head * shape.dim;
        &self.plain[at..at + shape.dim]
    }
}

/// The bound of the kernels with f32 queries: the halves of a split keep 22 bits, or 16.
fn wide_bound<T: Element>() -> f64 {
    if T::NAME == "bf16" { 5e-5 } else { 5e-6 }
}

/// Checks decode on random ragged batches.
pub(crate) fn check_decode<T: Element>(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    shapes().try_for_each(|shape| decode_case::<T>(gpu, random, report, shape))
}

fn decode_case<T: Element>(gpu: &Gpu, random: &mut Random, report: &mut Report, shape: Shape) -> Result<()> {
    let lens = lengths(random);
    let batch = Batch::<T>::random(random, shape.kv_heads, shape.dim, shape.block_size, lens);
    let mut state = DecodeBatch::try_new(gpu, batch.layout, shape.q_heads, batch.lens.len(), 1000)?;
    let sequences = batch
        .lens
        .iter()
        .zip(&batch.blocks)
        .map(|(&len, blocks)| Sequence { len, blocks });
    state.update(gpu, sequences)?;
    let pool = gpu.upload(&batch.pool)?;
    let layer = pool.as_view();
    let mut rows = Rows::<T>::random(gpu, random, &shape, batch.lens.len())?;
    rows.narrow(shape.dim, |call| decode(gpu, &state, call, &layer))?;
    let found = gpu.download(&rows.out)?;
    rows.wide(shape.dim, |call| decode(gpu, &state, call, &layer))?;
    let wide = rows.wide_out.download(gpu, batch.lens.len())?;
    // The counters of split sequences must have returned to zero: a replayed graph runs on them.
    let graph = StepGraph::capture(gpu, || {
        rows.narrow(shape.dim, |call| decode(gpu, &state, call, &layer))
    })?;
    for _ in 0..2 {
        // SAFETY: batch, queries, outputs and pool live until the end of the function.
        unsafe { graph.replay() }?;
    }
    let again = gpu.download(&rows.out)?;

    let each = batch.lens.iter().enumerate().flat_map(|(seq, &len)| {
        let (batch, rows, shape) = (&batch, &rows, &shape);
        (0..shape.q_heads).map(move |head| {
            batch.row(
                seq,
                shape.kv_head(head),
                len as usize,
                rows.query(shape, seq, head),
            )
        })
    });
    let expected = batch.attend(&each.collect::<Vec<_>>());
    let (busy, parts) = state.shares();
    let name = format!("{}, {busy} CTAs, {parts} parts", shape.name("decode", T::NAME));
    report.error(&name, relative_error(&found, &expected), T::TOLERANCE);
    report.error(
        &format!("{name}, replayed"),
        relative_error(&again, &expected),
        T::TOLERANCE,
    );
    report.error(
        &format!("{name}, wide"),
        relative_norm(&wide, &expected),
        wide_bound::<T>(),
    );
    Ok(())
}

/// Checks prefill: chunks with and without a cached prefix, of one token and of many.
pub(crate) fn check_prefill<T: Element>(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    shapes().try_for_each(|shape| prefill_case::<T>(gpu, random, report, shape))
}

fn prefill_case<T: Element>(gpu: &Gpu, random: &mut Random, report: &mut Report, shape: Shape) -> Result<()> {
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
    let batch = Batch::<T>::random(random, shape.kv_heads, shape.dim, shape.block_size, lens);
    let tokens: usize = chunks.iter().map(|c| c.tokens as usize).sum();
    let pool = gpu.upload(&batch.pool)?;
    let layer = pool.as_view();
    let mut rows = Rows::<T>::random(gpu, random, &shape, tokens)?;
    for wide in [false, true] {
        let room = PrefillRoom {
            seqs: chunks.len(),
            blocks: 1000,
            tokens,
            wide,
        };
        let mut state = PrefillBatch::try_new(gpu, batch.layout, shape.q_heads, room)?;
        let each = chunks.iter().zip(&batch.blocks);
        state.update(
            gpu,
            each.map(|(&chunk, blocks)| PrefillSequence { chunk, blocks }),
        )?;
        if wide {
            rows.wide(shape.dim, |call| prefill(gpu, &state, call, &layer))?;
        } else {
            rows.narrow(shape.dim, |call| prefill(gpu, &state, call, &layer))?;
        }
        gpu.synchronize()?;
    }
    let found = gpu.download(&rows.out)?;
    let wide = rows.wide_out.download(gpu, tokens)?;

    let tokens = chunks.iter().enumerate().flat_map(|(seq, chunk)| {
        (chunk.context + 1..=chunk.context + chunk.tokens).map(move |keys| (seq, keys as usize))
    });
    let each = tokens.enumerate().flat_map(|(row, (seq, keys))| {
        let (batch, rows, shape) = (&batch, &rows, &shape);
        (0..shape.q_heads)
            .map(move |head| batch.row(seq, shape.kv_head(head), keys, rows.query(shape, row, head)))
    });
    let expected = batch.attend(&each.collect::<Vec<_>>());
    let name = shape.name("prefill", T::NAME);
    report.error(&name, relative_error(&found, &expected), T::TOLERANCE);
    report.error(
        &format!("{name}, wide"),
        relative_norm(&wide, &expected),
        wide_bound::<T>(),
    );
    Ok(())
}
