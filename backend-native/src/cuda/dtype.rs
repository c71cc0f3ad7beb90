//! The two storage types that kernels exist for.

use cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use half::{bf16, f16};

mod sealed {
    pub trait Sealed {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

/// A type that KV blocks, activations and weights may have on the GPU: [`f16`] or [`bf16`].
///
/// Sealed, because each implementation stands for a set of compiled kernels.
pub trait Element:
    sealed::Sealed + DeviceRepr + ValidAsZeroBits + Copy + Default + Send + Sync + std::fmt::Debug + 'static
{
    /// Name as it stands in kernel names and in `--dtype`.
    const NAME: &'static str;
    /// Largest relative error, by norm, that a kernel may have against exact arithmetic.
    const TOLERANCE: f64;
    /// Rounds to nearest even.
    fn from_f32(value: f32) -> Self;
    /// Widens, exactly.
    fn to_f32(self) -> f32;
}

impl Element for f16 {
    const NAME: &'static str = "f16";
    const TOLERANCE: f64 = 2e-3;
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
}

impl Element for bf16 {
    const NAME: &'static str = "bf16";
    const TOLERANCE: f64 = 1.5e-2;
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
}
