//! A value now.

use super::sync::{AtomicU64, Line, Ordering};
use std::sync::Arc;

/// A NaN with a payload that arithmetic does not make: no value yet.
const MISSING: u64 = 0x7ff8_6b76_6c65_6e73;

#[derive(Debug)]
pub(super) struct GaugeCell(Line<AtomicU64>);

impl GaugeCell {
    pub(super) fn new() -> Self {
        Self(Line(AtomicU64::new(MISSING)))
    }

    pub(super) fn read(&self) -> Option<f64> {
        let bits = self.0.0.load(Ordering::Relaxed);
        (bits != MISSING).then(|| f64::from_bits(bits))
    }
}

/// Sets a value that a collector reads at its next sample; missing until the first set.
///
/// Clones set the same value, from any thread; the last one wins.
#[derive(Debug, Clone)]
pub struct Gauge(Option<Arc<GaugeCell>>);

impl Gauge {
    pub(super) fn of(cell: Arc<GaugeCell>) -> Self {
        Self(Some(cell))
    }

    /// Makes a handle that records nothing.
    pub const fn noop() -> Self {
        Self(None)
    }

    /// Sets the value. NaN and infinities reach the collector, which stores null and counts an anomaly.
    #[inline]
    pub fn set(&self, value: f64) {
        if let Some(cell) = &self.0 {
            cell.0.0.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// Sets a whole number; past 2^53 it is rounded to a float.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "stated in the documentation")]
    pub fn set_u64(&self, value: u64) {
        self.set(value as f64);
    }

    /// Makes the value missing.
    #[inline]
    pub fn clear(&self) {
        if let Some(cell) = &self.0 {
            cell.0.0.store(MISSING, Ordering::Relaxed);
        }
    }

    /// Reads the value; `None` while it is missing.
    pub fn value(&self) -> Option<f64> {
        self.0.as_ref().and_then(|cell| cell.read())
    }
}
