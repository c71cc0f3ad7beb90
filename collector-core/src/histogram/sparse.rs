//! What was recorded in one interval.

use super::config::Config;
use super::quantile::{Quantile, rank};
use crate::error::{Error, Result};

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
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Empties it for another layout, keeping its memory; then come [`append_dense`](Self::append_dense) and
    /// [`close`](Self::close).
    pub(crate) fn reset(&mut self, config: Config) {
        self.clear();
        self.config = config;
    }

    /// Adds the counts of neighbouring buckets behind those there are; zeros are left out.
    #[inline]
    pub(crate) fn append_dense(&mut self, base: usize, counts: &[u64]) {
        for (index, &count) in (base..).zip(counts) {
            if count > 0 {
                self.indices.push(u32::try_from(index).unwrap_or(u32::MAX));
                self.counts.push(count);
                self.count = self.count.saturating_add(count);
            }
        }
    }

    /// Completes what [`append_dense`](Self::append_dense) filled, moving the extremes into the outermost buckets.
    pub(crate) fn close(&mut self, sum: u64, min: u64, max: u64) {
        let (Some(&first), Some(&last)) = (self.indices.first(), self.indices.last()) else {
            return;
        };
        let (low, high) = (self.bounds(first), self.bounds(last));
        self.sum = sum;
        self.min = min.clamp(low.0, low.1);
        self.max = max.clamp(high.0, high.1);
    }

    /// The values that a bucket can hold: the last one is open above.
    fn bounds(&self, index: u32) -> (u64, u64) {
        let (low, high) = self.config.range(index as usize);
        let last = index as usize + 1 == self.config.buckets();
        (low, if last { u64::MAX } else { high })
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
            while at + 1 < self.counts.len() && seen + self.counts[at] <= rank {
                seen += self.counts[at];
                at += 1;
            }
            *slot = Some(self.answer(self.indices[at]));
        }
    }

    fn answer(&self, index: u32) -> Quantile {
        let (low, high) = self.bounds(index);
        let (low, high) = (low.max(self.min), high.min(self.max));
        Quantile {
            value: low + (high - low) / 2,
            low,
            high,
        }
    }

    /// Adds another histogram to this one.
    ///
    /// # Errors
    /// [`Error::HistogramLayout`] when the layouts differ; this histogram is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.config != other.config {
            let (left, right) = (self.config.to_string(), other.config.to_string());
            return Err(Error::HistogramLayout { left, right });
        }
        if other.is_empty() {
            return Ok(());
        }
        let mut merged = (
            Vec::with_capacity(self.indices.len() + other.indices.len()),
            Vec::new(),
        );
        merged.1.reserve(merged.0.capacity());
        let (mut i, mut j) = (0, 0);
        while i < self.indices.len() || j < other.indices.len() {
            let left = self.indices.get(i).copied().unwrap_or(u32::MAX);
            let right = other.indices.get(j).copied().unwrap_or(u32::MAX);
            let mut count = 0_u64;
            if left <= right {
                count += self.counts[i];
                i += 1;
            }
            if right <= left {
                count = count.saturating_add(other.counts[j]);
                j += 1;
            }
            merged.0.push(left.min(right));
            merged.1.push(count);
        }
        (self.indices, self.counts) = merged;
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        Ok(())
    }
}
