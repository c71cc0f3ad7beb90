//! Append, block copies and swap: every byte must be where it belongs, and no other may change.

use kvlens_native::cuda::{
    BlockCopies, Element, Gpu, KvLayout, Result, Rows, SlotMapping, SwapArea, SwapPair, append,
};

use crate::{data::Random, report::Report};

/// Block size, KV heads and head size of each case.
const SHAPES: [(usize, usize, usize); 4] = [(16, 8, 128), (32, 3, 64), (64, 1, 256), (512, 2, 128)];
/// Checks of [`check_moves`], for one type.
pub(crate) const CHECKS: usize = 3 * SHAPES.len();

/// Checks the moves of every block size.
pub(crate) fn check_moves<T: Element>(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    for (block_size, kv_heads, dim) in SHAPES {
        let layout = KvLayout::try_new(3, 12, block_size, kv_heads, dim)?;
        let shape = format!("{} block {block_size}, {kv_heads} heads of {dim}", T::NAME);
        report.equal(&format!("append {shape}"), append_case::<T>(gpu, random, layout)?);
        report.equal(&format!("copy {shape}"), copy_case::<T>(gpu, random, layout)?);
        report.equal(&format!("swap {shape}"), swap_case::<T>(gpu, random, layout)?);
    }
    Ok(())
}

fn same<T: Element>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(x, y)| x.to_f32().to_bits() == y.to_f32().to_bits())
}

fn append_case<T: Element>(gpu: &Gpu, random: &mut Random, layout: KvLayout) -> Result<bool> {
    let (row, layer) = (layout.kv_heads() * layout.head_dim(), layout.layer_elements());
    let mut pool = random.tensor::<T>(layout.elements());
    let free = u32::try_from(layout.blocks() * layout.block_size()).expect("small");
    let tokens = 77.min(free as usize);
    let mut slots: Vec<i32> = random.permutation(free)[..tokens]
        .iter()
        .map(|&slot| i32::try_from(slot).expect("small"))
        .collect();
    slots[3] = SlotMapping::SKIP;
    let (k_stride, v_stride) = (row + 8, 2 * row);
    let (k, v) = (
        random.tensor::<T>(tokens * k_stride),
        random.tensor::<T>(tokens * v_stride),
    );
    let mut mapping = SlotMapping::try_new(gpu, &layout, tokens)?;
    mapping.update(gpu, &slots)?;
    let (k_gpu, v_gpu, mut pool_gpu) = (gpu.upload(&k)?, gpu.upload(&v)?, gpu.upload(&pool)?);
    append(
        gpu,
        &layout,
        &mapping,
        Rows {
            data: &k_gpu.as_view(),
            stride: k_stride,
        },
        Rows {
            data: &v_gpu.as_view(),
            stride: v_stride,
        },
        &mut pool_gpu.slice_mut(layer..2 * layer),
    )?;
    for (token, slot) in slots.iter().enumerate() {
        let Ok(slot) = usize::try_from(*slot) else {
            continue;
        };
        for head in 0..layout.kv_heads() {
            for (is_v, source, stride) in [(false, &k, k_stride), (true, &v, v_stride)] {
                let dim = layout.head_dim();
                let place = layout.head_offset(slot / layout.block_size(), is_v, head);
                let to = layer + place + slot % layout.block_size() * dim;
                let from = token * stride + head * dim;
                pool[to..to + dim].copy_from_slice(&source[from..from + dim]);
            }
        }
    }
    Ok(same(&gpu.download(&pool_gpu)?, &pool))
}

fn copy_case<T: Element>(gpu: &Gpu, random: &mut Random, layout: KvLayout) -> Result<bool> {
    let mut pool = random.tensor::<T>(layout.elements());
    let mut pool_gpu = gpu.upload(&pool)?;
    let order = random.permutation(u32::try_from(layout.blocks()).expect("small"));
    let pairs: Vec<(u32, u32)> = (0..5).map(|i| (order[i], order[i + 5])).collect();
    BlockCopies::try_new(gpu, 8)?.run(gpu, &layout, &mut pool_gpu, &pairs)?;
    let block = layout.block_elements();
    for layer in 0..layout.layers() {
        for &(from, to) in &pairs {
            let at = |id: u32| layer * layout.layer_elements() + id as usize * block;
            pool.copy_within(at(from)..at(from) + block, at(to));
        }
    }
    Ok(same(&gpu.download(&pool_gpu)?, &pool))
}

fn swap_case<T: Element>(gpu: &Gpu, random: &mut Random, layout: KvLayout) -> Result<bool> {
    let pool = random.tensor::<T>(layout.elements());
    let mut pool_gpu = gpu.upload(&pool)?;
    let mut area = SwapArea::<T>::try_new(gpu, layout, 20)?;
    let device = random.permutation(u32::try_from(layout.blocks()).expect("small"));
    let host = random.permutation(20);
    // Seven of twenty: some are neighbours on the host and travel together, some are not.
    let pairs: Vec<SwapPair> = device
        .iter()
        .zip(&host)
        .take(7)
        .map(|(&device, &host)| SwapPair { device, host })
        .collect();
    area.swap_out(gpu, &pool_gpu, &pairs)?;
    gpu.stream().memset_zeros(&mut pool_gpu).expect("a memset");
    area.wait()?;
    area.swap_in(gpu, &mut pool_gpu, &pairs)?;
    let found = gpu.download(&pool_gpu)?;
    let block = layout.block_elements();
    let mut expected = vec![T::default(); pool.len()];
    for layer in 0..layout.layers() {
        for pair in &pairs {
            let at = layer * layout.layer_elements() + pair.device as usize * block;
            expected[at..at + block].copy_from_slice(&pool[at..at + block]);
        }
    }
    Ok(same(&found, &expected))
}
