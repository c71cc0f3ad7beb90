//! Prefill attention: time and arithmetic rate.

use kvlens_native::cuda::{
    Chunk, Gpu, KvLayout, PrefillBatch, PrefillRoom, PrefillSequence, Result, prefill,
};

use crate::{clock::replayed, fill::Fill, rows::Rows};

const Q_HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;

/// Measures chunks of several sizes and prints a table.
pub(crate) fn run(gpu: &Gpu, fill: &mut Fill) -> Result<()> {
    println!(
        "\n## Prefill attention, f16, {Q_HEADS} query heads, {KV_HEADS} KV heads, head size {HEAD_DIM}, block 16\n"
    );
    println!(
        "| sequences | cached | new tokens each | us | TFLOP/s | wide, us |
|---|---|---|---|---|---|"
    );
    for (seqs, context, tokens) in [
        (1, 0, 512),
        (1, 0, 2048),
        (1, 0, 8192),
        (1, 6144, 2048),
        (16, 0, 512),
        (64, 1024, 32),
    ] {
        let chunk = Chunk { context, tokens };
        let (seconds, flop) = measure(gpu, fill, seqs, chunk, false)?;
        let (wide, _) = measure(gpu, fill, seqs, chunk, true)?;
        let rate = flop / seconds / 1e12;
        println!(
            "| {seqs} | {context} | {tokens} | {:.1} | {rate:.0} | {:.1} |",
            seconds * 1e6,
            wide * 1e6
        );
    }
    Ok(())
}

fn measure(gpu: &Gpu, fill: &mut Fill, seqs: usize, chunk: Chunk, wide: bool) -> Result<(f64, f64)> {
    let (context, new) = (chunk.context as usize, chunk.tokens as usize);
    let each = (context + new).div_ceil(16);
    let layout = KvLayout::try_new(1, seqs * each, 16, KV_HEADS, HEAD_DIM)?;
    let pool = fill.device(gpu, layout.elements())?;
    let row = Q_HEADS * HEAD_DIM;
    let order = fill.permutation(seqs * each);
    let room = PrefillRoom {
        seqs,
        blocks: seqs * each,
        tokens: seqs * new,
        wide,
    };
    let mut batch = PrefillBatch::try_new(gpu, layout, Q_HEADS, room)?;
    batch.update(
        gpu,
        order
            .chunks_exact(each)
            .map(|blocks| PrefillSequence { chunk, blocks }),
    )?;
    let layer = pool.as_view();
    let mut rows = Rows::new(gpu, seqs * new, row, fill)?;
    let seconds = replayed(gpu, || rows.call(wide, |call| prefill(gpu, &batch, call, &layer)))?;
    let pairs = seqs as f64 * (new as f64 * context as f64 + new as f64 * (new as f64 + 1.0) / 2.0);
    Ok((seconds, pairs * (4 * row) as f64))
}
