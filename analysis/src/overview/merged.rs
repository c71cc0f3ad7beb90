//! A histogram metric over a whole run: the sum of its intervals.

use crate::num::float;
use crate::stats::QuantileEstimate;
use crate::stats::quantiles::{of_fixed, of_sparse};
use kvlens_core::Value;
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};

/// The sum of a histogram's intervals, one per bucket layout; a run normally has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    sparse: Vec<SparseHistogram>,
    fixed: Vec<FixedHistogram>,
    /// What a format that keeps no buckets tells: count, sum and maximum.
    flat: Flat,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flat {
    count: u64,
    sum: u64,
    max: Option<u64>,
}

impl Merged {
    pub(crate) fn add(&mut self, value: Value) {
        match value {
            Value::Histogram(histogram) => {
                let same = self
                    .sparse
                    .iter_mut()
                    .find(|known| known.config() == histogram.config());
                match same {
                    // The layouts are equal, so this can't fail.
                    Some(known) => drop(known.merge(&histogram)),
                    None => self.sparse.push(histogram),
                }
            }
            Value::Fixed(histogram) => {
                let same = self
                    .fixed
                    .iter_mut()
                    .find(|known| known.boundaries() == histogram.boundaries());
                match same {
                    Some(known) => drop(known.merge(&histogram)),
                    None => self.fixed.push(histogram),
                }
            }
            _ => {}
        }
    }

    /// Adds an interval of which only these are known.
    pub(crate) fn add_flat(&mut self, count: u64, sum: u64, max: Option<u64>) {
        self.flat.count = self.flat.count.saturating_add(count);
        self.flat.sum = self.flat.sum.saturating_add(sum);
        self.flat.max = self.flat.max.max(max);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        other
            .sparse
            .into_iter()
            .for_each(|histogram| self.add(Value::Histogram(histogram)));
        other
            .fixed
            .into_iter()
            .for_each(|histogram| self.add(Value::Fixed(histogram)));
        self.add_flat(other.flat.count, other.flat.sum, other.flat.max);
    }

    pub(crate) fn count(&self) -> u64 {
        let sparse: u64 = self.sparse.iter().map(SparseHistogram::count).sum();
        sparse + self.fixed.iter().map(FixedHistogram::count).sum::<u64>() + self.flat.count
    }

    pub(crate) fn sum(&self) -> f64 {
        let sparse: f64 = self.sparse.iter().map(|histogram| float(histogram.sum())).sum();
        sparse
            + self
                .fixed
                .iter()
                .map(|histogram| float(histogram.sum()))
                .sum::<f64>()
            + float(self.flat.sum)
    }

    pub(crate) fn min(&self) -> Option<u64> {
        self.sparse.iter().filter_map(SparseHistogram::min).min()
    }

    pub(crate) fn max(&self) -> Option<u64> {
        self.sparse
            .iter()
            .filter_map(SparseHistogram::max)
            .max()
            .max(self.flat.max)
    }

    /// Quantiles of the layout that holds most values; nothing for a format that keeps no buckets.
    pub(crate) fn quantiles(&self, qs: &[f64]) -> Vec<QuantileEstimate> {
        let sparse = self.sparse.iter().max_by_key(|histogram| histogram.count());
        let fixed = self.fixed.iter().max_by_key(|histogram| histogram.count());
        match (sparse, fixed) {
            (Some(sparse), fixed) if fixed.is_none_or(|fixed| fixed.count() <= sparse.count()) => {
                of_sparse(sparse, qs)
            }
            (_, Some(fixed)) => of_fixed(fixed, qs),
            _ => Vec::new(),
        }
    }

    /// Bucket ends and counts, ascending; an open bucket ends where it begins.
    pub(crate) fn filled(&self) -> Vec<(u64, u64, u64)> {
        let mut out = Vec::new();
        for histogram in &self.sparse {
            let config = histogram.config();
            out.extend(histogram.buckets().map(|(bucket, count)| {
                let (low, high) = config.range(bucket as usize);
                (low, high, count)
            }));
        }
        for histogram in &self.fixed {
            let ends = histogram.boundaries();
            for (bucket, count) in histogram
                .counts()
                .iter()
                .enumerate()
                .filter(|(_, count)| **count > 0)
            {
                let low = bucket
                    .checked_sub(1)
                    .and_then(|before| ends.get(before))
                    .map_or(0, |end| end + 1);
                out.push((low, ends.get(bucket).copied().unwrap_or(low), *count));
            }
        }
        out.sort_unstable();
        out
    }

    /// The mean, exact.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum() / float(self.count()))
    }
}
