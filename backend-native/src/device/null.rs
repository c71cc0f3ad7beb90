//! A device that computes nothing, for measuring the engine and for examples.

use super::{Device, DeviceInfo, StepBatch, StepOutput};
use kvlens_core::BoxError;

/// Gives every sequence a token made of its place, and takes no time.
#[derive(Debug)]
pub struct NullDevice {
    info: DeviceInfo,
}

impl NullDevice {
    /// Makes one.
    pub fn new() -> Self {
        Self {
            info: DeviceInfo::new("null"),
        }
    }
}

impl Default for NullDevice {
    fn default() -> Self {
        Self::new()
    }
}

impl Device for NullDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn execute(&mut self, batch: &StepBatch<'_>, output: &mut StepOutput) -> Result<(), BoxError> {
        let sampled = batch.iter().filter(|sequence| sequence.sampled);
        output
            .tokens
            .extend(sampled.map(|sequence| sequence.start + sequence.len));
        Ok(())
    }

    fn finish(&mut self, _output: &mut StepOutput) -> Result<(), BoxError> {
        Ok(())
    }
}
