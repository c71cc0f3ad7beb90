//! Prefill attention: time and arithmetic rate.

use half::f16;
use kvlens_native::cuda::{
    Attention, Chunk, Gpu, KvLayout, PrefillBatch, PrefillRoom, PrefillSequence, Result, Tensors, prefill,
};

use crate::{clock::replayed, fill::Fill};

const Q_HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;

/// Measures chunks of several sizes and prints a table.
pub(crate) fn run(gpu: &Gpu, fill: &mut Fill) -> Result<()> {
    println!(
        "\n## Prefill attention, f16, {Q_HEADS} query heads, {KV_HEADS} KV heads, head size {HEAD_DIM}, block 16\n"
    );
    println!("| sequences | cached | new tokens each | us | TFLOP/s |\n|---|---|---|---|---|");
    for (seqs, context, tokens) in [
        (1, 0, 512),
        (1, 0, 2048),
        (1, 0, 8192),
        (1, 6144, 2048),
        (16, 0, 512),
        (64, 1024, 32),
    ] {
        let (seconds, flop) = measure(gpu, fill, seqs, Chunk { context, tokens })?;
        println!(
            "| {seqs} | {context} | {tokens} | {:.1} | {:.0} |",
            seconds * 1e6,
            flop / seconds / 1e12
        );
    }
    Ok(())
}

fn measure(gpu: &Gpu, fill: &mut Fill, seqs: usize, chunk: Chunk) -> Result<(f64, f64)> {
    let (context, new) = (chunk.context as usize, chunk.tokens as usize);
    let each = (context + new).div_ceil(16);
    let layout = KvLayout::try_new(1, seqs * each, 16, KV_HEADS, HEAD_DIM)?;
    let pool = fill.device(gpu, layout.elements())?;
    let row = Q_HEADS * HEAD_DIM;
    let q = fill.device(gpu, seqs * new * row)?;
    let mut out = gpu.zeros::<f16>(seqs * new * row)?;
    let order = fill.permutation(seqs * each);
    let room = PrefillRoom {
        seqs,
        blocks: seqs * each,
        tokens: seqs * new,
        wide: false,
    };
    let mut batch = PrefillBatch::try_new(gpu, layout, Q_HEADS, room)?;
    batch.update(
        gpu,
        order
            .chunks_exact(each)
            .map(|blocks| PrefillSequence { chunk, blocks }),
    )?;
    let (queries, layer) = (q.as_view(), pool.as_view());
    let seconds = replayed(gpu, || {
        let mut rows = out.as_view_mut();
        let tensors = Tensors::Narrow {
            queries: &queries,
            out: &mut rows,
        };
        let mut call = Attention {
            tensors,
            stride: row,
            first_row: 0,
            scale: 0.088_388_35,
        };
        prefill(gpu, &batch, &mut call, &layer)
    })?;
    let pairs = seqs as f64 * (new as f64 * context as f64 + new as f64 * (new as f64 + 1.0) / 2.0);
    Ok((seconds, pairs * (4 * row) as f64))
}
