//! Random inputs and the comparison.

use kvlens_native::cuda::Element;

/// `SplitMix64`: small, seedable, good enough to fill tensors.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number in `low..=high`.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + u32::try_from(self.bits() % u64::from(high - low + 1)).expect("below 2^32")
    }

    /// Roughly normal: the sum of four uniform numbers, scaled to a variance of one.
    pub(crate) fn normal(&mut self) -> f32 {
        let bits = self.bits();
        let sum: f32 = (0..4)
            .map(|i| f32::from(u16::try_from(bits >> (16 * i) & 0xFFFF).expect("masked")))
            .sum();
        (sum / 65_535.0 - 2.0) * 1.732
    }

    pub(crate) fn tensor<T: Element>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| T::from_f32(self.normal())).collect()
    }

    /// A random order of `0..n`.
    pub(crate) fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for i in (1..order.len()).rev() {
            let j = self.between(0, u32::try_from(i).expect("small")) as usize;
            order.swap(i, j);
        }
        order
    }
}

/// Not-a-number everywhere: what an output must not hold afterwards.
pub(crate) fn poison<T: Element>(len: usize) -> Vec<T> {
    vec![T::from_f32(f32::NAN); len]
}

/// Single precision, exactly.
pub(crate) fn widen<T: Element>(data: &[T]) -> Vec<f32> {
    data.iter().map(|x| x.to_f32()).collect()
}

/// The norm of the difference over the norm of the reference; NaN if any element is.
pub(crate) fn relative_error<T: Element>(found: &[T], expected: &[f64]) -> f64 {
    relative_norm(&widen(found), expected)
}

/// The same of single precision.
pub(crate) fn relative_norm(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let (mut difference, mut norm) = (0.0, 0.0);
    for (a, b) in found.iter().zip(expected) {
        difference += (f64::from(*a) - b).powi(2);
        norm += b.powi(2);
    }
    if norm == 0.0 {
        difference.sqrt()
    } else {
        (difference / norm).sqrt()
    }
}
