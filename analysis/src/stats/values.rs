//! Values of a distribution: kept, so that ranks are exact, up to a limit; counted in fine buckets beyond it.

use crate::num::{float, size};
use kvlens_core::histogram::Config;
use std::sync::LazyLock;

/// Values kept per distribution; with more, quantiles come from buckets of 0.024 % width and say so.
pub const KEPT_VALUES: u64 = 1 << 24;

/// Buckets of what is not kept: within 0.012 % of the value, up to 78 hours in nanoseconds.
static FINE: LazyLock<Config> = LazyLock::new(|| Config::new(12, 48).unwrap_or(Config::DEFAULT));

/// Values of one distribution.
#[derive(Debug, Clone, Default)]
pub struct Values {
    /// In pieces, so that merging moves them.
    kept: Vec<Vec<u64>>,
    /// Counts by bucket, once there are too many values to keep.
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// An order statistic: exact where `low == high`, else within the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ranked {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Ranked {
    pub(crate) fn middle(self) -> u64 {
        self.low + (self.high - self.low) / 2
    }
}

impl Values {
    /// Adds values.
    pub fn extend(&mut self, values: &[u64]) {
        if values.is_empty() {
            return;
        }
        self.note(values);
        if self.buckets.is_empty() {
            match self.kept.last_mut() {
                Some(last) => last.extend_from_slice(values),
                None => self.kept.push(values.to_vec()),
            }
            self.limit();
        } else {
            count(&mut self.buckets, values);
        }
    }

    /// Takes over another's values.
    pub fn merge(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.buckets.is_empty() && self.buckets.is_empty() {
            self.kept.extend(other.kept);
        } else {
            self.spill();
            other.kept.iter().for_each(|kept| count(&mut self.buckets, kept));
            for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
                *mine += theirs;
            }
        }
        self.limit();
    }

    fn note(&mut self, values: &[u64]) {
        if self.count == 0 {
            self.min = u64::MAX;
        }
        self.count += values.len() as u64;
        for value in values {
            self.sum += u128::from(*value);
            self.min = self.min.min(*value);
            self.max = self.max.max(*value);
        }
    }

    fn limit(&mut self) {
        if self.is_exact() && self.count > KEPT_VALUES {
            self.spill();
        }
    }

    fn spill(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.buckets.resize(FINE.buckets(), 0);
        kept.iter().for_each(|kept| count(&mut self.buckets, kept));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[expect(clippy::cast_precision_loss, reason = "a sum for means")]
    pub fn sum(&self) -> f64 {
        self.sum as f64
    }

    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum() / float(self.count))
    }

    /// The smallest.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// Whether ranks are exact.
    pub fn is_exact(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The values at some ranks, from 0; ranks past the end give the largest.
    pub(crate) fn ranks(&self, ranks: &[u64]) -> Vec<Ranked> {
        if self.count == 0 {
            return Vec::new();
        }
        let counts = if self.is_exact() {
            self.coarse()
        } else {
            self.buckets.clone()
        };
        let found: Vec<_> = ranks
            .iter()
            .map(|rank| locate(&counts, (*rank).min(self.count - 1)))
            .collect();
        if self.is_exact() {
            return self.select(&found);
        }
        let bounds = |(bucket, _): &(usize, u64)| {
            let (low, high) = FINE.range(*bucket);
            Ranked {
                low: low.max(self.min),
                high: high.min(self.max).max(low.max(self.min)),
            }
        };
        found.iter().map(bounds).collect()
    }

    fn coarse(&self) -> Vec<u64> {
        let mut counts = vec![0; FINE.buckets()];
        self.kept.iter().for_each(|kept| count(&mut counts, kept));
        counts
    }

    /// Exact values: those of the buckets that hold a wanted rank are gathered and selected from.
    fn select(&self, wanted: &[(usize, u64)]) -> Vec<Ranked> {
        let config = *FINE;
        let mut place = vec![u16::MAX; config.buckets()];
        let mut groups: Vec<Vec<u64>> = Vec::new();
        for (bucket, _) in wanted {
            if let Some(slot) = place.get_mut(*bucket).filter(|slot| **slot == u16::MAX) {
                *slot = u16::try_from(groups.len()).unwrap_or(u16::MAX);
                groups.push(Vec::new());
            }
        }
        for value in self.kept.iter().flatten() {
            let at = place.get(config.index(*value)).copied().unwrap_or(u16::MAX);
            if let Some(group) = groups.get_mut(usize::from(at)) {
                group.push(*value);
            }
        }
        groups.iter_mut().for_each(|group| group.sort_unstable());
        let exact = |(bucket, within): &(usize, u64)| {
            let at = place.get(*bucket).copied().unwrap_or(u16::MAX);
            let value = groups
                .get(usize::from(at))
                .and_then(|group| group.get(size(*within)));
            let value = value.copied().unwrap_or(self.max);
            Ranked {
                low: value,
                high: value,
            }
        };
        wanted.iter().map(exact).collect()
    }

    /// Bucket ends and counts of what holds something, ascending; for densities.
    pub(crate) fn filled(&self) -> Vec<(u64, u64, u64)> {
        let counts = if self.is_exact() {
            self.coarse()
        } else {
            self.buckets.clone()
        };
        let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled
            .map(|(bucket, count)| {
                let (low, high) = FINE.range(bucket);
                (low, high, *count)
            })
            .collect()
    }
}

fn count(buckets: &mut [u64], values: &[u64]) {
    let config = *FINE;
    for value in values {
        if let Some(slot) = buckets.get_mut(config.index(*value)) {
            *slot += 1;
        }
    }
}

/// The bucket of a rank, and the rank within it.
fn locate(counts: &[u64], rank: u64) -> (usize, u64) {
    let mut before = 0;
    for (bucket, count) in counts.iter().enumerate() {
        if before + count > rank {
            return (bucket, rank - before);
        }
        before += count;
    }
    (counts.len().saturating_sub(1), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn ranks_are_those_of_the_sorted_values(mut values in prop::collection::vec(0_u64..1 << 50, 1..400), cut in 0_usize..400) {
            let mut one = Values::default();
            let cut = cut.min(values.len());
            one.extend(&values[..cut]);
            let mut two = Values::default();
            two.extend(&values[cut..]);
            one.merge(two);
            values.sort_unstable();
            let ranks: Vec<u64> = (0..values.len() as u64).collect();
            let found: Vec<_> = one.ranks(&ranks).into_iter().map(|rank| rank.low).collect();
            prop_assert_eq!(found, values.clone());
            prop_assert_eq!((one.min(), one.max()), (values.first().copied(), values.last().copied()));
        }

        #[test]
        fn what_is_not_kept_is_within_a_bucket(mut values in prop::collection::vec(0_u64..1 << 47, 1..300)) {
            let mut spilled = Values::default();
            spilled.extend(&values);
            spilled.spill();
            values.sort_unstable();
            let ranks: Vec<u64> = (0..values.len() as u64).collect();
            for (found, value) in spilled.ranks(&ranks).into_iter().zip(&values) {
                prop_assert!(found.low <= *value && *value <= found.high);
                prop_assert!((found.high - found.low) as f64 <= *value as f64 / 4096.0);
            }
        }
    }
}
