//! The device: adds up a step's work and moves the clock.

use std::sync::Arc;

use kvlens_core::{BoxError, ManualClock};

use super::{SimSpec, StepWork, TimeModel};
use crate::device::{Device, DeviceInfo, DeviceTime, StepBatch, StepOutput};

/// A simulated GPU: no tensors, virtual time.
///
/// The tokens it gives depend on the request's number and the position alone. The engine must run on the same clock.
///
/// ```
/// use std::sync::Arc;
/// use kvlens_core::{Clock, ManualClock};
/// use kvlens_native::device::sim::{SimDevice, SimSpec};
/// use kvlens_native::{Engine, EngineConfig, Prompt, Recording, Request};
///
/// let clock = Arc::new(ManualClock::new(0));
/// let device = SimDevice::new(&"sim:h100".parse::<SimSpec>()?, 16, clock.clone());
/// let config = EngineConfig::new(16, 1000);
/// let mut engine = Engine::new(config, Box::new(device), clock.clone(), Recording::off())?;
/// engine.add(Request::new(1, Prompt::tokens([1, 2, 3]), 1))?;
/// engine.step()?;
/// assert!(clock.monotonic_ns() > 5_000_000, "reading the weights of an 8B model takes 5 ms");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SimDevice {
    info: DeviceInfo,
    clock: Arc<ManualClock>,
    time: TimeModel,
    vocab: u32,
    block_bytes: u64,
}

impl SimDevice {
    /// Makes a device with blocks of `block_size` tokens that moves `clock`.
    pub fn new(spec: &SimSpec, block_size: u32, clock: Arc<ManualClock>) -> Self {
        let mut info = DeviceInfo::new(spec.to_string());
        info.virtual_time = true;
        info.block_size = Some(block_size);
        Self {
            info,
            clock,
            time: TimeModel::new(&spec.model, &spec.gpu, spec.tensor_parallel),
            vocab: spec.model.vocab.max(1),
            block_bytes: spec
                .model
                .kv_bytes_per_token()
                .saturating_mul(u64::from(block_size)),
        }
    }

    fn bytes_of(&self, blocks: usize) -> u64 {
        u64::try_from(blocks)
            .unwrap_or(u64::MAX)
            .saturating_mul(self.block_bytes)
    }

    /// The time of a batch's moves.
    fn moves_ns(&self, batch: &StepBatch<'_>) -> u64 {
        let over_the_link =
            [batch.swap_out, batch.swap_in].map(|moves| self.time.host_copy_ns(self.bytes_of(moves.len())));
        over_the_link[0] + over_the_link[1] + self.time.device_copy_ns(self.bytes_of(batch.copies.len()))
    }
}

impl Device for SimDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn execute(&mut self, batch: &StepBatch<'_>, output: &mut StepOutput) -> Result<(), BoxError> {
        let mut decodes = StepWork::default();
        let mut prefills = StepWork::default();
        for seq in batch.iter() {
            let work = if seq.decode { &mut decodes } else { &mut prefills };
            let context = u64::from(seq.start) + u64::from(seq.len);
            if seq.decode {
                work.decode(context);
            } else {
                work.prefill(u64::from(seq.len), context);
            }
            if seq.sampled {
                work.sampled += 1;
                output.tokens.push(token(seq.request, context, self.vocab));
            }
        }
        let moves_ns = self.moves_ns(batch);
        let device_ns = moves_ns + self.time.step_ns(&(decodes + prefills));
        if decodes.decode_sequences > 0 {
            let only = if prefills.tokens == 0 {
                device_ns
            } else {
                moves_ns + self.time.step_ns(&decodes)
            };
            output.decode_only_ns = Some(only);
        }
        output.times.push(DeviceTime {
            step: batch.step,
            device_ns,
            energy_mj: None,
        });
        self.clock.advance(device_ns);
        Ok(())
    }

    fn finish(&mut self, _output: &mut StepOutput) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The token at a position of a request: a fixed mix of both.
fn token(request: u64, position: u64, vocab: u32) -> u32 {
    let mixed = (request ^ position.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from((mixed >> 32) % u64::from(vocab)).unwrap_or(0)
}
