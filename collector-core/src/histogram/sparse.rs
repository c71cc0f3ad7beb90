//! What was recorded in one interval.

mod merge;

pub(super) use merge::add;

use super::config::Config;
use super::quantile::{Quantile, rank};

/// The buckets that hold something, with exact count, sum, minimum and maximum beside them.
///
/// ```
/// use kvlens_core::histogram::{Config, SparseHistogram};
/// let mut h = SparseHistogram::new(Config::DEFAULT);
/// (1..=1000).for_each(|v| h.record(v));
/// let p50 = h.quantile(0.5).unwrap();
/// assert!(p50.low <= 500 && 500 <= p50.high);
/// assert_eq!((h.count(), h.sum(), h.min(), h.max()), (1000, 500_500, Some(1), Some(1000)));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct SparseHistogram {
    config: Config,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    /// Ascending; as long as `counts`.
    indices: Vec<u32>,
    /// Never 0.
    counts: Vec<u64>,
}

impl Clone for SparseHistogram {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.config);
        copy.clone_from(self);
        copy
    }

    /// Copies into the memory that this value has.
    fn clone_from(&mut self, other: &Self) {
        (self.config, self.count, self.sum) = (other.config, other.count, other.sum);
        (self.min, self.max) = (other.min, other.max);
        self.indices.clone_from(&other.indices);
        self.counts.clone_from(&other.counts);
    }
}

impl Default for SparseHistogram {
    fn default() -> Self {
        Self::new(Config::DEFAULT)
    }
}

impl SparseHistogram {
    /// Makes an empty histogram.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
            indices: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Puts a histogram together from its parts: buckets ascending by index, without empty ones.
    ///
    /// The parts are mended where they contradict each other: the count is that of the buckets, and the extremes are
    /// moved into the outermost buckets.
    pub fn from_parts(
        config: Config,
        sum: u64,
        min: u64,
        max: u64,
        buckets: impl IntoIterator<Item = (u32, u64)>,
    ) -> Self {
        let mut out = Self::new(config);
        out.refill(config, sum, min, max, buckets);
        out
    }

    /// Like [`from_parts`](Self::from_parts), into the memory that this value has.
    pub fn refill(
        &mut self,
        config: Config,
        sum: u64,
        min: u64,
        max: u64,
        buckets: impl IntoIterator<Item = (u32, u64)>,
    ) {
        self.clear();
        self.config = config;
        for (index, count) in buckets {
            self.indices.push(index);
            self.counts.push(count);
            self.count = self.count.saturating_add(count);
        }
        self.close(sum, min, max);
    }

    /// The indices of the buckets, ascending, and their counts.
    pub(super) fn parts(&self) -> (&[u32], &[u64]) {
        (&self.indices, &self.counts)
    }

    /// Empties it for another layout, keeping its memory; then come [`append_dense`](Self::append_dense) and
    /// [`close`](Self::close).
    pub(crate) fn reset(&mut self, config: Config) {
        self.clear();
        self.config = config;
    }

    /// Adds the counts of neighbouring buckets behind those there are; zeros are left out.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "indices are below 2^26")]
    pub(crate) fn append_dense<const N: usize>(&mut self, base: usize, counts: &[u64; N]) {
        let filled = counts.iter().filter(|count| **count > 0).count();
        if filled == 0 {
            return;
        }
        let sum = counts.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count));
        self.count = self.count.wrapping_add(sum);
        let base = base as u32;
        if filled == N {
            self.indices.extend(base..base + N as u32);
            self.counts.extend_from_slice(counts);
            return;
        }
        // Moves the filled ones to the front without a branch on what can't be predicted.
        let (mut indices, mut packed, mut at) = ([0_u32; N], [0_u64; N], 0);
        for (index, count) in (base..).zip(counts) {
            indices[at % N] = index;
            packed[at % N] = *count;
            at += usize::from(*count > 0);
        }
        self.indices.extend_from_slice(&indices[..filled]);
        self.counts.extend_from_slice(&packed[..filled]);
    }

    /// Completes what [`append_dense`](Self::append_dense) filled, moving the extremes into the outermost buckets.
    pub(crate) fn close(&mut self, sum: u64, min: u64, max: u64) {
        let (Some(&first), Some(&last)) = (self.indices.first(), self.indices.last()) else {
            return;
        };
        let bounds = |index: u32| self.config.bounds(index as usize);
        let (low, high) = (bounds(first), bounds(last));
        self.sum = sum;
        self.min = min.clamp(low.0, low.1);
        self.max = max.clamp(high.0, high.1);
        if self.min > self.max {
            // One bucket, and extremes that say nothing of it.
            (self.min, self.max) = self.config.range(first as usize);
        }
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        (self.count, self.sum, self.min, self.max) = (0, 0, u64::MAX, 0);
        self.indices.clear();
        self.counts.clear();
    }

    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Adds a value several times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        let index = u32::try_from(self.config.index(value)).unwrap_or(u32::MAX);
        match self.indices.binary_search(&index) {
            Ok(at) => self.counts[at] = self.counts[at].saturating_add(times),
            Err(at) => {
                self.indices.insert(at, index);
                self.counts.insert(at, times);
            }
        }
        self.count = self.count.saturating_add(times);
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// The bucket layout.
    pub fn config(&self) -> Config {
        self.config
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the values, exact unless it passed `u64::MAX`, where it stays.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest value.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest value.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The mean.
    #[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The buckets that hold something, ascending: index and count.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (u32, u64)> + '_ {
        self.indices.iter().copied().zip(self.counts.iter().copied())
    }

    /// The nearest-rank quantile, as the middle of its bucket, with the band that it lies in; `None` when empty.
    ///
    /// The band is the bucket cut to the exact minimum and maximum; the value is within
    /// [`Config::relative_error`] of the true one.
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        let mut out = [None];
        self.quantiles(&[q], &mut out);
        out[0]
    }

    /// Several quantiles in one pass: `qs` ascending, `out` as long as `qs`.
    pub fn quantiles(&self, qs: &[f64], out: &mut [Option<Quantile>]) {
        let mut seen = 0_u64;
        let mut at = 0;
        for (q, slot) in qs.iter().zip(out) {
            *slot = None;
            if self.count == 0 {
                continue;
            }
            let rank = rank(*q, self.count);
            (at, seen) = self.seek(rank, at, seen);
            *slot = Some(Quantile::in_bucket(
                self.config,
                self.indices[at] as usize,
                (self.min, self.max),
            ));
        }
    }

    /// Goes on from bucket `at`, with `seen` values before it, to the bucket of a rank.
    fn seek(&self, rank: u64, mut at: usize, mut seen: u64) -> (usize, u64) {
        /// Buckets added up at once, which a processor does several at a time.
        const STRIDE: usize = 16;
        // Counts that a file tells may be anything; while their sum is not at its end, none of its parts overflows.
        let exact = self.count < u64::MAX;
        while let Some(ahead) = self.counts.get(at..at + STRIDE).filter(|_| exact) {
            let sum = ahead.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count));
            if seen + sum > rank {
                break;
            }
            (at, seen) = (at + STRIDE, seen + sum);
        }
        while at + 1 < self.counts.len() && add(seen, self.counts[at]) <= rank {
            (at, seen) = (at + 1, add(seen, self.counts[at]));
        }
        (at.min(self.counts.len() - 1), seen)
    }
}
