//! Rates of append, block copy and swap, and the ceilings they are held against.

use half::f16;
use kvlens_native::cuda::{
    BlockCopies, Gpu, KvLayout, Result, Rows, SlotMapping, SwapArea, SwapPair, append,
};

use crate::{
    clock::{median, median_of, replayed},
    fill::Fill,
};

const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;

/// Rate of a device-to-device copy of 2 GiB, counting bytes read and written, in GB/s.
pub(crate) fn copy_ceiling(gpu: &Gpu, fill: &mut Fill) -> Result<f64> {
    let elements = 1 << 30;
    let source = fill.device(gpu, elements)?;
    let mut target = gpu.zeros::<f16>(elements)?;
    let seconds = median(gpu, || {
        gpu.stream()
            .memcpy_dtod(&source, &mut target)
            .expect("a copy on the device");
        Ok(())
    })?;
    Ok(4.0 * elements as f64 / seconds / 1e9)
}

/// Measures all moves and prints a table.
pub(crate) fn run(gpu: &Gpu, ceiling: f64, fill: &mut Fill) -> Result<()> {
    println!("\n## KV append, block copy (bytes read and written)\n");
    println!("| what | us | GB/s | of copy |\n|---|---|---|---|");
    for (tokens, block) in [(256, 16), (8192, 16), (65536, 16), (65536, 64)] {
        let (seconds, bytes) = append_time(gpu, fill, tokens, block)?;
        row(
            &format!("append {tokens} tokens, block {block}"),
            seconds,
            bytes,
            ceiling,
        );
    }
    for (layers, pairs, block) in [(1, 64, 16), (32, 64, 16), (32, 512, 16), (32, 64, 512)] {
        let (seconds, bytes) = copy_time(gpu, fill, layers, pairs, block)?;
        row(
            &format!("copy {pairs} blocks of {block}, {layers} layers"),
            seconds,
            bytes,
            ceiling,
        );
    }
    swap(gpu, fill)
}

fn row(what: &str, seconds: f64, bytes: f64, ceiling: f64) {
    let rate = bytes / seconds / 1e9;
    println!(
        "| {what} | {:.1} | {rate:.0} | {:.2} |",
        seconds * 1e6,
        rate / ceiling
    );
}

fn append_time(gpu: &Gpu, fill: &mut Fill, tokens: usize, block: usize) -> Result<(f64, f64)> {
    let row = KV_HEADS * HEAD_DIM;
    let bytes = (tokens * row * 2 * 2 * 2) as f64;
    let copies = ((400e6 / bytes) as usize + 1).min(64);
    let blocks = tokens.div_ceil(block);
    let layout = KvLayout::try_new(copies, blocks, block, KV_HEADS, HEAD_DIM)?;
    let mut pool = gpu.zeros::<f16>(layout.elements())?;
    // Q, K and V side by side, as a fused projection leaves them.
    let stride = 6 * row;
    let qkv = fill.device(gpu, copies * tokens * stride)?;
    let order = fill.permutation(blocks);
    let slots: Vec<i32> = (0..tokens)
        .map(|t| order[t / block] as i32 * block as i32 + (t % block) as i32)
        .collect();
    let mut mapping = SlotMapping::try_new(gpu, &layout, tokens)?;
    mapping.update(gpu, &slots)?;
    let seconds = replayed(gpu, || {
        for copy in 0..copies {
            let rows = qkv.slice(copy * tokens * stride..(copy + 1) * tokens * stride);
            let (k, v) = (rows.slice(4 * row..), rows.slice(5 * row..));
            let layer = copy * layout.layer_elements()..(copy + 1) * layout.layer_elements();
            append(
                gpu,
                &layout,
                &mapping,
                Rows { data: &k, stride },
                Rows { data: &v, stride },
                &mut pool.slice_mut(layer),
            )?;
        }
        Ok(())
    })?;
    Ok((seconds / copies as f64, bytes))
}

fn copy_time(gpu: &Gpu, fill: &mut Fill, layers: usize, pairs: usize, block: usize) -> Result<(f64, f64)> {
    let layout = KvLayout::try_new(layers, 2 * pairs, block, KV_HEADS, HEAD_DIM)?;
    let mut pool = fill.device(gpu, layout.elements())?;
    let order = fill.permutation(2 * pairs);
    let ids: Vec<(u32, u32)> = (0..pairs).map(|i| (order[i], order[i + pairs])).collect();
    let mut copies = BlockCopies::try_new(gpu, pairs)?;
    let seconds = median(gpu, || copies.run(gpu, &layout, &mut pool, &ids))?;
    Ok((seconds, (pairs * layers * layout.block_elements() * 2 * 2) as f64))
}

/// Swap against plain copies of the same size between pinned and device memory.
fn swap(gpu: &Gpu, fill: &mut Fill) -> Result<()> {
    println!("\n## Swap through pinned host memory\n");
    println!("| what | ms | GB/s | of the plain copy |\n|---|---|---|---|");
    let layout = KvLayout::try_new(32, 512, 16, KV_HEADS, HEAD_DIM)?;
    let mut pool = fill.device(gpu, layout.elements())?;
    let bytes = (layout.elements() * 2) as f64;
    let mut host = gpu.pinned::<f16>(layout.elements())?;
    let stream = gpu.stream();
    let to_host = median_of(gpu, 7, || host.enqueue_from(0, &pool.as_view(), stream))?;
    let to_device = median_of(gpu, 7, || {
        host.enqueue_to(0, layout.elements(), &mut pool.as_view_mut(), stream)
    })?;
    drop(host);
    let mut area = SwapArea::<f16>::try_new(gpu, layout, 2 * layout.blocks())?;
    let device = fill.permutation(layout.blocks());
    for (step, label) in [(1, "neighbours on the host"), (2, "none a neighbour")] {
        let pairs: Vec<SwapPair> = (0..)
            .step_by(step)
            .zip(&device)
            .map(|(host, &device)| SwapPair { device, host })
            .collect();
        let out = median_of(gpu, 7, || area.swap_out(gpu, &pool, &pairs))?;
        let back = median_of(gpu, 7, || area.swap_in(gpu, &mut pool, &pairs))?;
        for (way, seconds, plain) in [("out", out, to_host), ("in", back, to_device)] {
            let rate = bytes / seconds / 1e9;
            println!(
                "| swap {way}, 512 blocks of 2 MiB, {label} | {:.2} | {rate:.1} | {:.2} |",
                seconds * 1e3,
                plain / seconds
            );
        }
    }
    println!(
        "| plain copy to the host | {:.2} | {:.1} | |",
        to_host * 1e3,
        bytes / to_host / 1e9
    );
    println!(
        "| plain copy to the device | {:.2} | {:.1} | |",
        to_device * 1e3,
        bytes / to_device / 1e9
    );
    Ok(())
}
