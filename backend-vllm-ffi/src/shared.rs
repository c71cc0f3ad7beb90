//! What the pushing side and the reading side both see.

use crate::figures::Origin;
use kvlens_core::histogram::FixedHistogram;
use kvlens_core::source::MetricId;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const WORDS: usize = 4;

/// How many metrics the caller may declare beside the standard ones.
pub const MAX_CUSTOM_METRICS: usize = WORDS * 64 - crate::metrics::STANDARD;

/// Called before every sample, from the collector's thread.
pub(crate) type Pull = Box<dyn FnMut() + Send>;

#[derive(Default)]
pub(crate) struct Shared {
    known: [AtomicU64; WORDS],
    origin: AtomicU32,
    anomalies: AtomicU64,
    pull: Mutex<PullSlot>,
    fixed: Mutex<Vec<(MetricId, FixedHistogram)>>,
    fault: AtomicU32,
}

/// What is called before samples, and how often that was changed.
#[derive(Default)]
struct PullSlot {
    changes: u64,
    pull: Option<Pull>,
}

/// Puts a pull back when it was called, even if it panicked; unless it was changed meanwhile.
struct Called<'a> {
    slot: &'a Mutex<PullSlot>,
    changes: u64,
    pull: Option<Pull>,
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        let mut slot = lock(self.slot);
        if slot.changes == self.changes {
            slot.pull = self.pull.take();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("known", &self.known)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Says that metrics are known from now on: one bit each, in the order of the source's list.
    pub(crate) fn learn(&self, known: [u64; WORDS]) {
        for (word, bits) in self.known.iter().zip(known) {
            // A store costs nothing when there is nothing new, which is always but at first.
            if word.load(Ordering::Relaxed) & bits != bits {
                word.fetch_or(bits, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn knows(&self, metric: MetricId) -> bool {
        let word = self.known.get(metric.0 / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (metric.0 % 64) & 1 == 1)
    }

    pub(crate) fn set_origin(&self, origin: Origin) {
        self.origin.store(origin.number(), Ordering::Relaxed);
    }

    /// Where the last figures came from; none before there are any.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let spoke = self.known.iter().any(|word| word.load(Ordering::Relaxed) != 0);
        spoke.then(|| Origin::from_number(self.origin.load(Ordering::Relaxed)))
    }

    #[cold]
    pub(crate) fn add_anomalies(&self, count: u64) {
        self.anomalies.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn take_anomalies(&self) -> u64 {
        self.anomalies.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn set_pull(&self, pull: Option<Pull>) {
        let mut slot = lock(&self.pull);
        slot.changes += 1;
        slot.pull = pull;
    }

    /// Calls what was set. It is called outside the lock, so that it may set another one, or none, itself.
    pub(crate) fn pull(&self) {
        let (changes, pull) = {
            let mut slot = lock(&self.pull);
            (slot.changes, slot.pull.take())
        };
        if let Some(pull) = pull {
            let mut called = Called {
                slot: &self.pull,
                changes,
                pull: Some(pull),
            };
            if let Some(pull) = &mut called.pull {
                pull();
            }
        }
    }

    pub(crate) fn add_fixed(&self, metric: MetricId, delta: FixedHistogram) {
        let mut fixed = lock(&self.fixed);
        match fixed.iter_mut().find(|(known, _)| *known == metric) {
            Some((_, waiting)) => {
                if waiting.merge(&delta).is_err() {
                    *waiting = delta;
                }
            }
            None => fixed.push((metric, delta)),
        }
    }

    pub(crate) fn take_fixed(&self) -> Vec<(MetricId, FixedHistogram)> {
        std::mem::take(&mut lock(&self.fixed))
    }

    pub(crate) fn set_fault(&self, fault: u32) {
        self.fault.store(fault, Ordering::Relaxed);
    }

    pub(crate) fn fault(&self) -> u32 {
        self.fault.load(Ordering::Relaxed)
    }
}

/// The metrics learned while one push is taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Learned([u64; WORDS]);

impl Learned {
    #[inline]
    pub(crate) fn add(&mut self, metric: usize) {
        if let Some(word) = self.0.get_mut(metric / 64) {
            *word |= 1 << (metric % 64);
        }
    }

    pub(crate) fn bits(self) -> [u64; WORDS] {
        self.0
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
