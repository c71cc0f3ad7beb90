//! The CPU device: KV in 16 bits, arithmetic in `f32`, one sequence after the other.

mod pool;
mod run;

pub use pool::{KvElement, KvPool};

use super::{BlockMove, Device, DeviceInfo, StepBatch, StepOutput};
use crate::model::Model;
use half::{bf16, f16};
use kvlens_core::{BoxError, Clock, SystemClock};
use run::Runner;
use std::sync::Arc;

/// The types that KV can be stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvDtype {
    /// IEEE half precision.
    #[default]
    F16,
    /// The upper half of an `f32`.
    Bf16,
}

impl KvDtype {
    /// Its name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Finds a type by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F16, Self::Bf16]
            .into_iter()
            .find(|dtype| dtype.name() == name)
    }
}

/// Computes a model on the CPU, with paged attention over KV blocks: the default device, and the oracle of others.
///
/// ```
/// use kvlens_native::device::cpu::{CpuDevice, KvDtype};
/// use kvlens_native::{BuiltinModel, Device, EngineConfig};
/// use std::sync::Arc;
///
/// let config = EngineConfig::new(16, 256);
/// let device = CpuDevice::boxed(Arc::new(BuiltinModel::default()), &config, KvDtype::F16);
/// assert_eq!(device.info().name, "cpu");
/// ```
#[derive(Debug)]
pub struct CpuDevice<T: KvElement> {
    info: DeviceInfo,
    device: KvPool<T>,
    host: KvPool<T>,
    runner: Runner,
    clock: SystemClock,
}

impl<T: KvElement> CpuDevice<T> {
    /// Makes a device with room for a configuration's blocks.
    pub fn new(model: Arc<dyn Model>, config: &crate::EngineConfig) -> Self {
        let shape = model.shape();
        // Block 0 is the null block.
        let blocks = config.kv_blocks.saturating_add(1);
        let mut info = DeviceInfo::new("cpu");
        info.block_size = Some(config.block_size);
        info.blocks = Some(blocks);
        info.host_blocks = Some(config.host_blocks);
        Self {
            info,
            device: KvPool::new(shape, config.block_size, blocks),
            host: KvPool::new(shape, config.block_size, config.host_blocks),
            runner: Runner::new(model),
            clock: SystemClock::new(),
        }
    }

    /// The KV blocks.
    pub fn kv(&self) -> &KvPool<T> {
        &self.device
    }
}

impl CpuDevice<f16> {
    /// Makes a device that stores KV in a type chosen at run time.
    pub fn boxed(model: Arc<dyn Model>, config: &crate::EngineConfig, dtype: KvDtype) -> Box<dyn Device> {
        match dtype {
            KvDtype::F16 => Box::new(CpuDevice::<f16>::new(model, config)),
            KvDtype::Bf16 => Box::new(CpuDevice::<bf16>::new(model, config)),
        }
    }
}

impl<T: KvElement> Device for CpuDevice<T> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn execute(&mut self, batch: &StepBatch<'_>, output: &mut StepOutput) -> Result<(), BoxError> {
        let start = self.clock.monotonic_ns();
        for &BlockMove { from, to } in batch.swap_out {
            self.host.load(to, &self.device, from)?;
        }
        for &BlockMove { from, to } in batch.copies {
            self.device.copy(from, to)?;
        }
        for &BlockMove { from, to } in batch.swap_in {
            self.device.load(to, &self.host, from)?;
        }
        let mut prefill_ns = 0;
        for sequence in batch.iter() {
            let before = (!sequence.decode).then(|| self.clock.monotonic_ns());
            self.runner.run(&sequence, &mut self.device, output)?;
            if let Some(before) = before {
                prefill_ns += self.clock.monotonic_ns() - before;
            }
        }
        let device_ns = self.clock.monotonic_ns() - start;
        output.decode_only_ns = Some(device_ns - prefill_ns);
        output.times.push(super::DeviceTime {
            step: batch.step,
            device_ns,
            energy_mj: None,
        });
        Ok(())
    }

    fn finish(&mut self, _output: &mut StepOutput) -> Result<(), BoxError> {
        Ok(())
    }
}
