//! A device around another that keeps the times it reports.

use std::sync::{Arc, Mutex};

use kvlens_core::BoxError;
use kvlens_native::{
    Device,
    device::{DeviceInfo, StepBatch, StepOutput},
};

/// Hands everything on and notes the GPU's microseconds of every step.
#[derive(Debug)]
pub(crate) struct Spy {
    inner: Box<dyn Device>,
    times: Arc<Mutex<Vec<f64>>>,
}

impl Spy {
    pub(crate) fn new(inner: Box<dyn Device>, times: Arc<Mutex<Vec<f64>>>) -> Self {
        Self { inner, times }
    }

    fn note(&self, output: &StepOutput) {
        let times = output.times.iter().map(|time| time.device_ns as f64 / 1e3);
        self.times.lock().expect("no panic before").extend(times);
    }
}

impl Device for Spy {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn execute(&mut self, batch: &StepBatch<'_>, output: &mut StepOutput) -> Result<(), BoxError> {
        self.inner.execute(batch, output)?;
        self.note(output);
        Ok(())
    }

    fn finish(&mut self, output: &mut StepOutput) -> Result<(), BoxError> {
        self.inner.finish(output)?;
        self.note(output);
        Ok(())
    }
}
