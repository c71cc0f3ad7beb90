//! Distributions.

use super::per_thread::PerThread;
use super::shard::{BUCKETS, CHUNK, CHUNKS, Extremes, LAYOUT, Shard};
use super::shards::Shards;
use super::slot::{self, SHARED};
use super::sync::lock;
use crate::histogram::{Quantile, SparseHistogram, rank};
use std::sync::{Arc, Mutex};

/// Every so many deltas all buckets are looked at, also where the last ones would do.
const FULL_EVERY: u32 = 64;

#[derive(Debug)]
pub(super) struct HistogramCell {
    threads: PerThread<Shard>,
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
    /// Deltas taken.
    readings: u32,
    /// Of all values so far.
    extremes: Extremes,
    /// Taken, but not handed over yet, because no bucket had come.
    waiting: Extremes,
    /// By chunk, so that a chunk in which nothing happened is passed over.
    chunks: [u64; CHUNKS],
    counts: Box<[u64]>,
}

impl HistogramCell {
    pub(super) fn new() -> Self {
        let handed = Handed {
            sum: 0,
            readings: 0,
            extremes: Extremes::NONE,
            waiting: Extremes::NONE,
            chunks: [0; CHUNKS],
            counts: vec![0; BUCKETS].into(),
        };
        let writers = Vec::new();
        Self {
            threads: PerThread::new(),
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
        let shard = self.threads.get(slot, Shard::new);
        if slot == SHARED {
            shard.record_together(value);
        } else {
            shard.record_alone(value, shard.sum());
        }
    }

    /// Fills `out` with what was recorded since the last call.
    ///
    /// `by_writer` says that the thread that records through writers is the one that calls: then no record is being made
    /// meanwhile, all of them lie between the extremes, and only those buckets are looked at.
    pub(super) fn delta(&self, out: &mut SparseHistogram, by_writer: bool) {
        out.reset(LAYOUT);
        let Reader { writers, handed } = &mut *lock(&self.reader);
        let shards = Shards::new(&self.threads, writers);
        let extremes = handed.waiting.join(shards.take_extremes());
        handed.extremes = handed.extremes.join(extremes);
        handed.waiting = extremes;
        handed.readings = handed.readings.wrapping_add(1);
        // A writer may have been handed to another thread all the same: what it was just recording is found later.
        let all = !by_writer || shards.any_shared() || handed.readings.is_multiple_of(FULL_EVERY);
        let looked_at = if all { handed.extremes } else { extremes };
        let mut totals = [0; CHUNK];
        for chunk in looked_at.chunks() {
            if shards.chunk_sum(chunk) == handed.chunks[chunk] {
                continue;
            }
            shards.read_chunk(chunk, &mut totals);
            let Some(before) = handed.counts.as_chunks_mut().0.get_mut(chunk) else {
                continue;
            };
            let added = std::array::from_fn(|i| totals[i].wrapping_sub(before[i]));
            *before = totals;
            handed.chunks[chunk] = totals.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count));
            out.append_dense::<CHUNK>(chunk * CHUNK, &added);
        }
        // A sum and extremes whose buckets are still to come wait for them.
        if !out.is_empty() {
            let sum = shards.sum();
            out.close(sum.wrapping_sub(handed.sum), extremes.min, extremes.max);
            (handed.sum, handed.waiting) = (sum, Extremes::NONE);
        }
    }

    /// Fills `out` with all that was recorded so far.
    fn total(&self, out: &mut SparseHistogram) {
        out.reset(LAYOUT);
        let Reader { writers, handed } = &*lock(&self.reader);
        let shards = Shards::new(&self.threads, writers);
        let extremes = handed.extremes.join(shards.extremes());
        let mut counts = [0; CHUNK];
        for chunk in extremes.chunks() {
            shards.read_chunk(chunk, &mut counts);
            out.append_dense(chunk * CHUNK, &counts);
        }
        out.close(shards.sum(), extremes.min, extremes.max);
    }

    /// Answers quantiles of all that was recorded so far: adds up chunks, then looks only into those that hold an answer.
    fn quantiles(&self, qs: &[f64], out: &mut [Option<Quantile>]) -> Summary {
        let Reader { writers, handed } = &*lock(&self.reader);
        let shards = Shards::new(&self.threads, writers);
        let extremes = handed.extremes.join(shards.extremes());
        let mut sums = [0; CHUNKS];
        let count = shards.chunk_sums(extremes, &mut sums);
        out.fill(None);
        if count == 0 {
            return Summary::default();
        }
        let (mut chunk, mut seen) = (0, 0_u64);
        for (q, slot) in qs.iter().zip(out) {
            let rank = rank(*q, count);
            while chunk + 1 < sums.len() && seen.wrapping_add(sums[chunk]) <= rank {
                seen = seen.wrapping_add(sums[chunk]);
                chunk += 1;
            }
            let index = shards.seek(chunk, rank.wrapping_sub(seen));
            *slot = Some(Quantile::in_bucket(LAYOUT, index, (extremes.min, extremes.max)));
        }
        Summary {
            count,
            sum: shards.sum(),
            min: Some(extremes.min),
            max: Some(extremes.max),
        }
    }
}

/// What a histogram holds, without its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// How many values were recorded.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest; `None` without values.
    pub min: Option<u64>,
    /// The largest; `None` without values.
    pub max: Option<u64>,
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

    /// Answers quantiles of all that the metric's handles recorded so far, without a copy of the buckets: the cheapest
    /// look from inside the process. `qs` ascending, `out` as long as `qs`; all `None` without values.
    ///
    /// ```
    /// # use kvlens_core::recorder::Recorder;
    /// # use kvlens_core::{SourceInfo, catalog};
    /// # let recorder = Recorder::new(SourceInfo::new("engine-0", "mine"));
    /// let step_time = recorder.histogram(&catalog::STEP_TIME)?;
    /// (1..=100).for_each(|ms| step_time.record(ms * 1_000_000));
    ///
    /// let mut answers = [None; 2];
    /// let all = step_time.quantiles(&[0.5, 0.99], &mut answers);
    /// assert_eq!((all.count, all.max), (100, Some(100_000_000)));
    /// let p99 = answers[1].unwrap();
    /// assert!(p99.low <= 99_000_000 && 99_000_000 <= p99.high);
    /// # Ok::<(), kvlens_core::Error>(())
    /// ```
    pub fn quantiles(&self, qs: &[f64], out: &mut [Option<Quantile>]) -> Summary {
        match &self.0 {
            Some(cell) => cell.quantiles(qs, out),
            None => {
                out.fill(None);
                Summary::default()
            }
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

    /// Records a value several times: what many requests of one step have in common costs as much as one record.
    ///
    /// ```
    /// # use kvlens_core::recorder::Recorder;
    /// # use kvlens_core::{SourceInfo, catalog};
    /// # let recorder = Recorder::new(SourceInfo::new("engine-0", "mine"));
    /// let mut gaps = recorder.histogram_writer(&catalog::INTER_TOKEN_LATENCY)?;
    /// gaps.record_n(25_000_000, 256);
    /// let all = recorder.histogram(&catalog::INTER_TOKEN_LATENCY)?.quantiles(&[], &mut []);
    /// assert_eq!((all.count, all.sum), (256, 256 * 25_000_000));
    /// # Ok::<(), kvlens_core::Error>(())
    /// ```
    #[inline]
    pub fn record_n(&mut self, value: u64, times: u64) {
        if let (Some(shard), 1..) = (&self.shard, times) {
            self.sum = shard.record_alone_n(value, times, self.sum);
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::thread;

    /// One thread records while another takes a delta. What it takes then, and what it takes afterwards, add up to what
    /// was recorded, whatever the two see of each other meanwhile.
    #[test]
    fn deltas_add_up_whatever_the_reader_sees() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let cell = std::sync::Arc::new(HistogramCell::new());
            let mut writer = HistogramWriter::of(cell.writer());
            let recording = thread::spawn(move || {
                writer.record(2);
                writer.record(1);
            });
            let (mut first, mut rest) = (SparseHistogram::new(LAYOUT), SparseHistogram::new(LAYOUT));
            cell.delta(&mut first, false);
            recording.join().unwrap();
            cell.delta(&mut rest, false);
            assert!(first.sum() <= 3 && first.count() <= 2);
            let mut all = SparseHistogram::new(LAYOUT);
            all.merge(&first).unwrap();
            all.merge(&rest).unwrap();
            assert_eq!(
                (all.count(), all.sum(), all.min(), all.max()),
                (2, 3, Some(1), Some(2))
            );
            assert!(all.buckets().eq([(1, 1), (2, 1)]));
        });
    }
}
