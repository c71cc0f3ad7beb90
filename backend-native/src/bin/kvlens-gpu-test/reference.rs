//! Attention in plain loops and double precision, over rows in parallel.

use std::thread;

use kvlens_native::cuda::KvLayout;

/// One query row: which sequence's blocks it attends to, and how many of their tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) blocks: &'a [u32],
    pub(crate) keys: usize,
    pub(crate) kv_head: usize,
}

/// One layer of a pool, widened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) layout: &'a KvLayout,
    pub(crate) data: &'a [f32],
    pub(crate) scale: f64,
}

/// Computes all rows, one after the other in the result.
pub(crate) fn attend_all(layer: Layer<'_>, rows: &[Row<'_>]) -> Vec<f64> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = rows.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let work = |part| scope.spawn(move || attend_part(layer, part));
        let running: Vec<_> = rows.chunks(share).map(work).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("plain arithmetic"))
            .collect()
    })
}

fn attend_part(layer: Layer<'_>, rows: &[Row<'_>]) -> Vec<f64> {
    let mut out = Vec::with_capacity(rows.len() * layer.layout.head_dim());
    for row in rows {
        attend(layer, row, &mut out);
    }
    out
}

fn attend(layer: Layer<'_>, row: &Row<'_>, out: &mut Vec<f64>) {
    let scores: Vec<f64> = (0..row.keys)
        .map(|t| layer.scale * dot(row.q, token(layer, row, t, false)))
        .collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut acc = vec![0.0; layer.layout.head_dim()];
    for (t, weight) in weights.iter().enumerate() {
        for (a, v) in acc.iter_mut().zip(token(layer, row, t, true)) {
            *a += weight / sum * f64::from(*v);
        }
    }
    out.extend(acc);
}

fn token<'a>(layer: Layer<'a>, row: &Row<'_>, token: usize, is_v: bool) -> &'a [f32] {
    let (block, place) = (
        token / layer.layout.block_size(),
        token % layer.layout.block_size(),
    );
    let dim = layer.layout.head_dim();
    let start = layer
        .layout
        .head_offset(row.blocks[block] as usize, is_v, row.kv_head)
        + place * dim;
    &layer.data[start..start + dim]
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}
