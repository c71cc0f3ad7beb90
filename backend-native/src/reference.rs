//! The arithmetic of a decoder in plain loops: what the CPU device runs, and what kernels are compared with.
//!
//! Sums have a fixed order that does not depend on the batch, the chunk or the block size, so that equal tokens give
//! equal bits.

/// Partial sums of a dot product: as many as fit two vector registers everywhere.
const LANES: usize = 8;

/// Adds up the products of two slices; what one has more than the other is left out.
///
/// Eight partial sums, each in order, and their sum in order: the compiler makes vector code of it as it stands.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Adds a multiple of a slice to another.
#[inline]
pub fn add_scaled(out: &mut [f32], factor: f32, values: &[f32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += factor * value;
    }
}

/// Multiplies a row-major matrix with a vector: one dot product per element of `out`.
pub fn multiply(matrix: &[f32], vector: &[f32], out: &mut [f32]) {
    for (row, out) in matrix.chunks_exact(vector.len().max(1)).zip(out) {
        *out = dot(row, vector);
    }
}

/// Scales a vector to a root mean square of 1.
#[expect(clippy::cast_precision_loss, reason = "lengths are small")]
pub fn normalize(vector: &[f32], out: &mut [f32]) {
    let scale = 1.0 / (dot(vector, vector) / vector.len() as f32 + 1e-6).sqrt();
    for (out, value) in out.iter_mut().zip(vector) {
        *out = value * scale;
    }
}

/// The angles per position of a head's pairs: from 1 down to nearly 1/10000, geometrically.
#[expect(clippy::cast_precision_loss, reason = "a head's size is small")]
pub fn frequencies(head_dim: usize) -> Vec<f32> {
    const BASE: f32 = 10_000.0;
    let pairs = head_dim / 2;
    (0..pairs)
        .map(|pair| BASE.powf(-(pair as f32) / pairs as f32))
        .collect()
}

/// Rotates the pairs of a head (element `i` with `i + dim / 2`) by its position.
#[expect(
    clippy::cast_precision_loss,
    reason = "positions below 2^24 are exact, and none is larger in practice"
)]
pub fn rotate(head: &mut [f32], position: u32, frequencies: &[f32]) {
    let (first, second) = head.split_at_mut(head.len() / 2);
    for ((a, b), frequency) in first.iter_mut().zip(second).zip(frequencies) {
        let (sin, cos) = (position as f32 * frequency).sin_cos();
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

/// Computes the attention of one query head over the keys and values of `scores.len()` tokens.
///
/// `keys` and `values` are rows of `query.len()` elements. `scores` is scratch; it ends as the weights, not normalized.
/// With no token `out` becomes 0.
#[expect(clippy::cast_precision_loss, reason = "a head's size is small")]
pub fn attend(query: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], out: &mut [f32]) {
    let dim = query.len().max(1);
    let scale = 1.0 / (dim as f32).sqrt();
    let mut largest = f32::NEG_INFINITY;
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(dim)) {
        *score = dot(query, key) * scale;
        largest = largest.max(*score);
    }
    out.fill(0.0);
    let mut total = 0.0;
    for (score, value) in scores.iter_mut().zip(values.chunks_exact(dim)) {
        *score = (*score - largest).exp();
        total += *score;
        add_scaled(out, *score, value);
    }
    if total > 0.0 {
        out.iter_mut().for_each(|out| *out /= total);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these sums are exact")]
mod tests {
    use super::*;

    #[test]
    fn dot_of_any_length() {
        for len in 0..40_u8 {
            let a: Vec<f32> = (0..len).map(f32::from).collect();
            let exact: f64 = a.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            assert!((f64::from(dot(&a, &a)) - exact).abs() < 1e-6, "{len}");
        }
    }

    #[test]
    fn attention_weighs_by_similarity() {
        let (query, mut out) = ([100.0, 0.0], [0.0; 2]);
        let (keys, values) = ([0.0, 1.0, 1.0, 0.0], [5.0, 6.0, 7.0, 8.0]);
        attend(&query, &keys, &values, &mut [0.0; 2], &mut out);
        assert_eq!(out, [7.0, 8.0], "the second key is the query's direction");
        attend(&query, &keys, &values, &mut [0.0; 1], &mut out);
        assert_eq!(out, [5.0, 6.0], "only the first token is seen");
        attend(&query, &keys, &values, &mut [], &mut out);
        assert_eq!(out, [0.0, 0.0]);
    }

    #[test]
    fn rotation_keeps_lengths_and_tells_distances() {
        let rotated = |position| {
            let mut head = [0.3, -0.7, 0.2, 0.9];
            rotate(&mut head, position, &frequencies(4));
            head
        };
        let close = |a: f32, b: f32| (a - b).abs() < 1e-5;
        assert!(close(
            dot(&rotated(0), &rotated(0)),
            dot(&rotated(9), &rotated(9))
        ));
        assert!(close(
            dot(&rotated(3), &rotated(5)),
            dot(&rotated(10), &rotated(12))
        ));
        assert!(!close(
            dot(&rotated(3), &rotated(5)),
            dot(&rotated(3), &rotated(6))
        ));
    }

    #[test]
    fn normalized_has_unit_mean_square() {
        let mut out = [0.0; 4];
        normalize(&[3.0, -3.0, 3.0, 3.0], &mut out);
        assert!((dot(&out, &out) - 4.0).abs() < 1e-4);
    }
}
