//! Decode attention on the nine shapes of the FlashInfer baseline.

use kvlens_native::cuda::{DecodeBatch, Gpu, KvLayout, Result, Sequence, decode};

use crate::{clock::replayed, fill::Fill, rows::Rows};

const Q_HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
const BLOCK: usize = 16;

/// Batch, longest sequence, and microseconds and GB/s of FlashInfer 0.6.13 (the better of its two modes) on an
/// H100 whose copy ceiling was [`BASELINE_CEILING`]. Its lengths were drawn alike, not the same: hence the rate.
const SHAPES: [(usize, u32, f64, f64); 9] = [
    (1, 1024, 8.5, 493.0),
    (1, 8192, 20.5, 1640.0),
    (1, 65536, 104.4, 2573.0),
    (16, 1024, 28.1, 1822.0),
    (16, 8192, 145.1, 2727.0),
    (64, 1024, 81.6, 2518.0),
    (64, 4096, 286.1, 2798.0),
    (256, 1024, 284.4, 2840.0),
    (256, 2048, 552.8, 2926.0),
];
/// GB/s, read and written, in the baseline's run.
const BASELINE_CEILING: f64 = 2961.0;

/// Measures all shapes and prints a table.
pub(crate) fn run(gpu: &Gpu, ceiling: f64, fill: &mut Fill) -> Result<()> {
    println!(
        "\n## Decode attention, f16, {Q_HEADS} query heads, {KV_HEADS} KV heads, head size {HEAD_DIM}, block {BLOCK}\n"
    );
    println!(
        "| batch | longest | us | cold, us | wide, us | GB/s | of copy | FlashInfer, us | GB/s | of its copy | speed-up |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (batch, longest, baseline_us, baseline_rate) in SHAPES {
        let lens = lengths(batch, longest, fill);
        let bytes = bytes(&lens);
        // The baseline rotates over at most eight caches, which the L2 partly holds for the first shape.
        let rotated = (400e6 / bytes) as usize + 1;
        let alike = measure(gpu, &lens, rotated.min(8), false, fill)?;
        let wide = measure(gpu, &lens, rotated.min(8), true, fill)?;
        let cold = if rotated <= 8 {
            alike
        } else {
            measure(gpu, &lens, rotated, false, fill)?
        };
        let rate = bytes / alike / 1e9;
        println!(
            "| {batch} | {longest} | {:.1} | {:.1} | {:.1} | {rate:.0} | {:.2} | {baseline_us} | {baseline_rate} | {:.2} | {:.2} |",
            alike * 1e6,
            cold * 1e6,
            wide * 1e6,
            rate / ceiling,
            baseline_rate / BASELINE_CEILING,
            rate / baseline_rate
        );
    }
    Ok(())
}

/// Uniform in `[longest / 2, longest]`; a batch of one has the longest.
fn lengths(batch: usize, longest: u32, fill: &mut Fill) -> Vec<u32> {
    if batch == 1 {
        return vec![longest];
    }
    (0..batch)
        .map(|_| longest / 2 + fill.below(longest / 2 + 1))
        .collect()
}

/// Bytes that must move: K and V once, Q and the output once.
fn bytes(lens: &[u32]) -> f64 {
    let tokens: f64 = lens.iter().map(|&len| f64::from(len)).sum();
    let row = (Q_HEADS * HEAD_DIM) as f64;
    tokens * (KV_HEADS * HEAD_DIM * 2 * 2) as f64 + 2.0 * lens.len() as f64 * row * 2.0
}

/// Seconds of one launch, over `copies` sets of blocks visited in turn.
fn measure(gpu: &Gpu, lens: &[u32], copies: usize, wide: bool, fill: &mut Fill) -> Result<f64> {
    let counts: Vec<usize> = lens.iter().map(|&len| (len as usize).div_ceil(BLOCK)).collect();
    let total: usize = counts.iter().sum();
    let layout = KvLayout::try_new(1, total * copies, BLOCK, KV_HEADS, HEAD_DIM)?;
    let pool = fill.device(gpu, layout.elements())?;
    let order = fill.permutation(total * copies);
    let mut batches = Vec::with_capacity(copies);
    for blocks in order.chunks_exact(total) {
        let mut batch = DecodeBatch::try_new(gpu, layout, Q_HEADS, lens.len(), total)?;
        let mut rest = blocks;
        let sequences: Vec<Sequence<'_>> = lens
            .iter()
            .zip(&counts)
            .map(|(&len, &count)| {
                let (mine, others) = rest.split_at(count);
                rest = others;
                Sequence { len, blocks: mine }
            })
            .collect();
        batch.update(gpu, sequences.iter().copied())?;
        batches.push(batch);
    }
    let layer = pool.as_view();
    let mut rows = Rows::new(gpu, lens.len(), Q_HEADS * HEAD_DIM, fill)?;
    let seconds = replayed(gpu, || {
        batches
            .iter()
            .try_for_each(|batch| rows.call(wide, |call| decode(gpu, batch, call, &layer)))
    })?;
    Ok(seconds / copies as f64)
}
