//! Totals.

use super::per_thread::PerThread;
use super::slot::{self, SHARED};
use super::sync::{AtomicU64, Line, Ordering, lock};
use std::sync::{Arc, Mutex};

#[derive(Debug, Default)]
pub(super) struct CounterShard(Line<AtomicU64>);

impl CounterShard {
    fn read(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Adds; only one thread at a time may.
    #[inline]
    fn add_alone(&self, n: u64) {
        self.0.0.store(self.read().wrapping_add(n), Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct CounterCell {
    threads: PerThread<CounterShard>,
    /// One per live [`CounterWriter`], and those that dropped ones left.
    writers: Mutex<Vec<Arc<CounterShard>>>,
}

impl CounterCell {
    pub(super) fn new() -> Self {
        Self {
            threads: PerThread::new(),
            writers: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn read(&self) -> u64 {
        let threads = self.threads.iter().map(CounterShard::read);
        let writers = lock(&self.writers);
        threads
            .chain(writers.iter().map(|shard| shard.read()))
            .fold(0, u64::wrapping_add)
    }

    /// Finds a shard that no writer holds, or makes one.
    pub(super) fn writer(&self) -> Arc<CounterShard> {
        let mut writers = lock(&self.writers);
        // `get_mut` succeeds when the last writer is gone, and then what it wrote is visible here.
        if let Some(free) = writers
            .iter_mut()
            .find_map(|shard| Arc::get_mut(shard).is_some().then(|| shard.clone()))
        {
            return free;
        }
        let shard = Arc::new(CounterShard::default());
        writers.push(shard.clone());
        shard
    }

    #[inline]
    fn add(&self, n: u64) {
        let slot = slot::current().min(SHARED);
        let shard = self.threads.get(slot, CounterShard::default);
        if slot == SHARED {
            shard.0.0.fetch_add(n, Ordering::Relaxed);
        } else {
            shard.add_alone(n);
        }
    }
}

/// Counts from any thread; clones count into the same metric.
#[derive(Debug, Clone)]
pub struct Counter(Option<Arc<CounterCell>>);

impl Counter {
    pub(super) fn of(cell: Arc<CounterCell>) -> Self {
        Self(Some(cell))
    }

    /// Makes a handle that records nothing.
    pub const fn noop() -> Self {
        Self(None)
    }

    /// Adds to the total.
    #[inline]
    pub fn add(&self, n: u64) {
        if let Some(cell) = &self.0 {
            cell.add(n);
        }
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Reads the metric's total so far: what all its handles added.
    pub fn value(&self) -> u64 {
        self.0.as_ref().map_or(0, |cell| cell.read())
    }
}

/// Counts from one owner, which is cheapest. Several writers of one metric add up.
#[derive(Debug)]
pub struct CounterWriter {
    shard: Option<Arc<CounterShard>>,
    total: u64,
}

impl CounterWriter {
    pub(super) fn of(shard: Arc<CounterShard>) -> Self {
        let total = shard.read();
        Self {
            shard: Some(shard),
            total,
        }
    }

    /// Makes a handle that records nothing.
    pub const fn noop() -> Self {
        Self {
            shard: None,
            total: 0,
        }
    }

    /// Adds to the total.
    #[inline]
    pub fn add(&mut self, n: u64) {
        if let Some(shard) = &self.shard {
            self.total = self.total.wrapping_add(n);
            shard.0.0.store(self.total, Ordering::Relaxed);
        }
    }

    /// Adds one.
    #[inline]
    pub fn inc(&mut self) {
        self.add(1);
    }
}
