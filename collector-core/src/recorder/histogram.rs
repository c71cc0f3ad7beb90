//! Distributions.

use super::shard::{BUCKETS, Extremes, LAYOUT, Shard};
use super::slot::{self, SHARED, SLOTS};
use super::sync::lock;
use crate::histogram::SparseHistogram;
use std::sync::{Arc, Mutex, OnceLock};

/// How many buckets are handled at a time: what fits the stack and the first-level cache.
const CHUNK: usize = 64;

#[derive(Debug)]
pub(super) struct HistogramCell {
    /// By thread slot; made when a thread first records.
    threads: [OnceLock<Box<Shard>>; SLOTS],
    reader: Mutex<Reader>,
}

#[derive(Debug)]
struct Reader {
    /// One per live [`HistogramWriter`], and those that dropped ones left.
    writers: Vec<Arc<Shard>>,
    /// What deltas were handed over up to.
    handed: Handed,
}

#[derive(Debug)]
struct Handed {
    sum: u64,
    zeros: u64,
    /// Of all values so far.
    extremes: Extremes,
    counts: Box<[u64]>,
}

impl HistogramCell {
    pub(super) fn new() -> Self {
        let handed = Handed {
            sum: 0,
            zeros: 0,
            extremes: Extremes::NONE,
            counts: vec![0; BUCKETS].into(),
        };
        let writers = Vec::new();
        Self {
            threads: [const { OnceLock::new() }; SLOTS],
            reader: Mutex::new(Reader { writers, handed }),
        }
    }

    /// Finds a shard that no writer holds, or makes one.
    pub(super) fn writer(&self) -> Arc<Shard> {
        let writers = &mut lock(&self.reader).writers;
        // `get_mut` succeeds when the last writer is gone, and then what it wrote is visible here.
        if let Some(free) = writers
            .iter_mut()
            .find_map(|shard| Arc::get_mut(shard).is_some().then(|| shard.clone()))
        {
            return free;
        }
        let shard = Arc::new(Shard::new());
        writers.push(shard.clone());
        shard
    }

    #[inline]
    fn record(&self, value: u64) {
        let slot = slot::current().min(SHARED);
        let shard = self.threads[slot].get_or_init(|| Box::new(Shard::new()));
        if slot == SHARED {
            shard.record_together(value);
        } else {
            shard.record_alone(value, shard.sum());
        }
    }

    /// Fills `out` with what was recorded since the last call.
    pub(super) fn delta(&self, out: &mut SparseHistogram) {
        out.reset(LAYOUT);
        let Reader { writers, handed } = &mut *lock(&self.reader);
        let shards = || {
            self.threads
                .iter()
                .filter_map(|s| s.get().map(Box::as_ref))
                .chain(writers.iter().map(Arc::as_ref))
        };
        let (mut sum, mut zeros, mut extremes) = (0_u64, 0_u64, Extremes::NONE);
        for shard in shards() {
            sum = sum.wrapping_add(shard.sum());
            zeros = zeros.wrapping_add(shard.zeros());
            extremes = extremes.join(shard.extremes());
        }
        if sum == handed.sum && zeros == handed.zeros && extremes == Extremes::NONE {
            return;
        }
        extremes = shards().fold(Extremes::NONE, |all, shard| all.join(shard.take_extremes()));
        handed.extremes = handed.extremes.join(extremes);
        walk(shards, handed.extremes, |base, now| {
            let before = handed.counts.get_mut(base..base + now.len()).unwrap_or_default();
            for (now, before) in now.iter_mut().zip(before) {
                let total = *now;
                *now = total.wrapping_sub(*before);
                *before = total;
            }
            out.append_dense(base, now);
        });
        out.close(sum.wrapping_sub(handed.sum), extremes.min, extremes.max);
        handed.sum = sum;
        handed.zeros = handed.counts.first().copied().unwrap_or(0);
    }

    /// Fills `out` with all that was recorded so far.
    fn total(&self, out: &mut SparseHistogram) {
        out.reset(LAYOUT);
        let Reader { writers, handed } = &*lock(&self.reader);
        let shards = || {
            self.threads
                .iter()
                .filter_map(|s| s.get().map(Box::as_ref))
                .chain(writers.iter().map(Arc::as_ref))
        };
        let (mut sum, mut extremes) = (0_u64, handed.extremes);
        for shard in shards() {
            sum = sum.wrapping_add(shard.sum());
            extremes = extremes.join(shard.extremes());
        }
        walk(shards, extremes, |base, counts| out.append_dense(base, counts));
        out.close(sum, extremes.min, extremes.max);
    }
}

/// Adds up the shards' buckets, a chunk at a time, over the range that values can lie in.
fn walk<'a, I: Iterator<Item = &'a Shard>>(
    shards: impl Fn() -> I,
    extremes: Extremes,
    mut visit: impl FnMut(usize, &mut [u64]),
) {
    let range = extremes.range();
    let mut chunk = [0_u64; CHUNK];
    for base in range.clone().step_by(CHUNK) {
        let counts = &mut chunk[..CHUNK.min(range.end - base)];
        counts.fill(0);
        for shard in shards() {
            shard.add_to(base, counts);
        }
        visit(base, counts);
    }
}

/// Records a distribution from any thread; clones record into the same metric.
///
/// The layout is [`Config::DEFAULT`](crate::histogram::Config::DEFAULT).
#[derive(Debug, Clone)]
pub struct Histogram(Option<Arc<HistogramCell>>);

impl Histogram {
    pub(super) fn of(cell: Arc<HistogramCell>) -> Self {
        Self(Some(cell))
    }

    /// Makes a handle that records nothing.
    pub const fn noop() -> Self {
        Self(None)
    }

    /// Records a value.
    #[inline]
    pub fn record(&self, value: u64) {
        if let Some(cell) = &self.0 {
            cell.record(value);
        }
    }

    /// Fills `out` with all that the metric's handles recorded so far, for a reader inside the process.
    ///
    /// Allocates nothing once `out` has been filled with as many buckets before. What other threads are just recording
    /// may be counted with or without its share of the sum.
    ///
    /// ```
    /// use kvlens_core::histogram::SparseHistogram;
    /// use kvlens_core::recorder::Recorder;
    /// use kvlens_core::{SourceInfo, catalog};
    ///
    /// let recorder = Recorder::new(SourceInfo::new("engine-0", "mine"));
    /// let step_time = recorder.histogram(&catalog::STEP_TIME)?;
    /// (1..=100).for_each(|ms| step_time.record(ms * 1_000_000));
    ///
    /// let mut now = SparseHistogram::default();
    /// step_time.snapshot(&mut now);
    /// let p50 = now.quantile(0.5).unwrap();
    /// assert!(p50.low <= 50_000_000 && 50_000_000 <= p50.high);
    /// # Ok::<(), kvlens_core::Error>(())
    /// ```
    pub fn snapshot(&self, out: &mut SparseHistogram) {
        match &self.0 {
            Some(cell) => cell.total(out),
            None => out.reset(LAYOUT),
        }
    }
}

/// Records a distribution from one owner, which is cheapest. Several writers of one metric add up.
#[derive(Debug)]
pub struct HistogramWriter {
    shard: Option<Arc<Shard>>,
    sum: u64,
}

impl HistogramWriter {
    pub(super) fn of(shard: Arc<Shard>) -> Self {
        let sum = shard.sum();
        Self {
            shard: Some(shard),
            sum,
        }
    }

    /// Makes a handle that records nothing.
    pub const fn noop() -> Self {
        Self { shard: None, sum: 0 }
    }

    /// Records a value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        if let Some(shard) = &self.shard {
            self.sum = shard.record_alone(value, self.sum);
        }
    }
}
