//! Random contents, made once and repeated.

use cudarc::driver::CudaSlice;
use half::f16;
use kvlens_native::cuda::{Gpu, Result};

/// Elements drawn; larger buffers repeat them.
const DRAWN: usize = 1 << 22;

/// A source of random data and numbers.
#[derive(Debug)]
pub(crate) struct Fill {
    state: u64,
    drawn: Vec<f16>,
}

impl Fill {
    pub(crate) fn new(seed: u64) -> Self {
        let mut fill = Self {
            state: seed,
            drawn: Vec::new(),
        };
        fill.drawn = (0..DRAWN).map(|_| fill.normal()).collect();
        fill
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn normal(&mut self) -> f16 {
        let bits = self.bits();
        let sum: f32 = (0..4).map(|i| f32::from((bits >> (16 * i)) as u16)).sum();
        f16::from_f32((sum / 65_535.0 - 2.0) * 1.732)
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (self.bits() % u64::from(limit)) as u32
    }

    pub(crate) fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u32 + 1) as usize);
        }
        order
    }

    /// A device buffer of random elements.
    pub(crate) fn device(&mut self, gpu: &Gpu, len: usize) -> Result<CudaSlice<f16>> {
        let mut buffer = gpu.zeros::<f16>(len)?;
        let source = gpu.upload(&self.drawn)?;
        let mut at = 0;
        while at < len {
            let part = DRAWN.min(len - at);
            let mut to = buffer.slice_mut(at..at + part);
            gpu.stream()
                .memcpy_dtod(&source.slice(..part), &mut to)
                .expect("a copy on the device");
            at += part;
        }
        gpu.synchronize()?;
        Ok(buffer)
    }
}
