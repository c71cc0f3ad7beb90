//! Faults on purpose: so that tests of a real engine can see that it goes on.
//!
//! The setting `inject_fault` of the configuration turns one on; nothing else does.

use crate::shared::Shared;
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, RunSchema};
use std::time::Duration;

/// The collector's source panics at its next sample.
pub(crate) const SOURCE_PANIC: u32 = 1;
/// The next push panics.
pub(crate) const PUSH_PANIC: u32 = 2;
/// An exporter panics at its first batch.
pub(crate) const EXPORTER_PANIC: u32 = 3;
/// An exporter never returns from its first batch.
pub(crate) const EXPORTER_STALL: u32 = 4;

const NAMES: [(&str, u32); 4] = [
    ("source_panic", SOURCE_PANIC),
    ("push_panic", PUSH_PANIC),
    ("exporter_panic", EXPORTER_PANIC),
    ("exporter_stall", EXPORTER_STALL),
];

/// Finds a fault by its name.
pub(crate) fn from_name(name: &str) -> Option<u32> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, fault)| *fault)
}

/// Panics once if that was asked for.
pub(crate) fn on_sample(shared: &Shared) {
    if shared.fault() == SOURCE_PANIC {
        shared.set_fault(0);
        panic!("injected: source_panic");
    }
}

/// Panics once if that was asked for.
pub(crate) fn on_push(shared: &Shared) {
    if shared.fault() == PUSH_PANIC {
        shared.set_fault(0);
        panic!("injected: push_panic");
    }
}

/// An exporter that panics or stalls at its first batch.
#[derive(Debug)]
pub(crate) struct FaultyExporter(pub(crate) u32);

impl Exporter for FaultyExporter {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn begin(&mut self, _schema: &RunSchema) -> kvlens_core::Result<()> {
        Ok(())
    }

    fn write(&mut self, _batch: &Batch) -> kvlens_core::Result<()> {
        assert!(self.0 != EXPORTER_PANIC, "injected: exporter_panic");
        std::thread::sleep(Duration::from_secs(24 * 3600));
        Ok(())
    }

    fn flush(&mut self) -> kvlens_core::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _end: &RunEnd) -> kvlens_core::Result<()> {
        Ok(())
    }
}
