//! Histograms with fixed boundaries.

use super::quantile::{Quantile, rank};
use crate::error::{Error, Result};
use std::sync::Arc;

/// Counts between fixed boundaries, as Prometheus hands them over.
///
/// Values and boundaries are integers in the metric's unit (nanoseconds, tokens). A bucket holds the values up to and
/// including its boundary; one more bucket holds the rest. The true extremes are not known, so a quantile's band is the
/// whole bucket, and open above in the last one.
///
/// ```
/// use kvlens_core::histogram::FixedHistogram;
/// let h = FixedHistogram::new([10, 100].into(), vec![5, 4, 1], 700);
/// let p50 = h.quantile(0.5).unwrap();
/// assert_eq!((p50.low, p50.high), (0, 10));
/// assert_eq!(h.quantile(1.0).unwrap().high, u64::MAX);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FixedHistogram {
    boundaries: Arc<[u64]>,
    counts: Vec<u64>,
    sum: u64,
}

impl FixedHistogram {
    /// Puts a histogram together: ascending boundaries, and one count more than boundaries (missing ones are 0, further
    /// ones are added to the last).
    pub fn new(boundaries: Arc<[u64]>, mut counts: Vec<u64>, sum: u64) -> Self {
        let extra: u64 = counts.iter().skip(boundaries.len() + 1).sum();
        counts.resize(boundaries.len() + 1, 0);
        if let Some(last) = counts.last_mut() {
            *last = last.saturating_add(extra);
        }
        Self {
            boundaries,
            counts,
            sum,
        }
    }

    /// The boundaries, ascending.
    pub fn boundaries(&self) -> &Arc<[u64]> {
        &self.boundaries
    }

    /// The counts, one more than boundaries.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The sum of the values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The nearest-rank quantile: the middle of its bucket (its lower end in the open one), with the bucket as band.
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = rank(q, count);
        let mut seen = 0_u64;
        let bucket = self.counts.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen > rank
        })?;
        let low = if bucket == 0 {
            0
        } else {
            self.boundaries[bucket - 1].saturating_add(1)
        };
        Some(match self.boundaries.get(bucket) {
            Some(&high) => Quantile {
                value: low + (high.saturating_sub(low)) / 2,
                low,
                high,
            },
            None => Quantile {
                value: low,
                low,
                high: u64::MAX,
            },
        })
    }

    /// Adds another histogram to this one.
    ///
    /// # Errors
    /// [`Error::HistogramLayout`] when the boundaries differ; this histogram is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.boundaries != other.boundaries {
            let name = |h: &Self| format!("{} boundaries {:?}", h.boundaries.len(), h.boundaries);
            return Err(Error::HistogramLayout {
                left: name(self),
                right: name(other),
            });
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.sum = self.sum.saturating_add(other.sum);
        Ok(())
    }
}
