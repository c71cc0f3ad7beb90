//! Quantiles, with what the sample says about them.

use super::values::Values;
use super::{CONFIDENCE, z};
use crate::num::{float, rounded};
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use statrs::distribution::{Binomial, DiscreteCDF};

/// Variance of the number of values below a quantile from which the normal approximation is used.
const NORMAL_FROM: f64 = 10_000.0;

/// A quantile of a distribution.
///
/// The value is the nearest-rank quantile of what was recorded. The interval is where the quantile of what could have
/// been recorded lies, at [`CONFIDENCE`], from order statistics: no shape is assumed, but values are taken as
/// independent.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct QuantileEstimate {
    /// Which quantile, such as 0.99.
    pub q: f64,
    /// Its value; `None` when nothing was recorded.
    pub value: Option<u64>,
    /// The interval's lower end; `None` where the sample is too small to have one.
    pub low: Option<u64>,
    /// The interval's upper end; `None` where the sample is too small to have one.
    pub high: Option<u64>,
    /// Whether `value` is exact; otherwise it is known to within `band`.
    pub exact: bool,
    /// Where the value lies for sure: the bucket's ends, or the value twice.
    pub band: Option<(u64, u64)>,
    /// Whether the sample is large enough to say anything about this quantile: see [`needed`].
    pub supported: bool,
    /// The fewest values that would support it.
    pub needed: u64,
}

/// The fewest values that say something about a quantile: with fewer, the chance that it lies above every value seen is
/// over 5 % (`q^n > 0.05`).
///
/// ```
/// assert_eq!([0.5, 0.9, 0.99, 0.999].map(kvlens_analysis::stats::needed), [5, 29, 299, 2995]);
/// ```
pub fn needed(q: f64) -> u64 {
    if q <= 0.0 || q >= 1.0 {
        return 1;
    }
    let extreme = q.max(1.0 - q);
    rounded(((1.0 - CONFIDENCE).ln() / extreme.ln()).ceil())
}

/// The ranks, from 0, of the order statistics between which a quantile lies; `None` where there are too few values.
pub fn order_statistic_interval(q: f64, n: u64) -> (Option<u64>, Option<u64>) {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let variance = float(n) * q * (1.0 - q);
    if n == 0 || variance <= 0.0 {
        return (None, None);
    }
    if variance >= NORMAL_FROM {
        let (middle, reach) = (float(n) * q, z(1.0 - tail) * variance.sqrt());
        return (
            Some(rounded((middle - reach).floor())),
            Some(rounded((middle + reach).ceil()).min(n - 1)),
        );
    }
    let Ok(below) = Binomial::new(q, n) else {
        return (None, None);
    };
    // With 1-based ranks the interval from l to u covers with probability F(u - 1) - F(l - 1).
    let upper = first(0, n, |rank| below.cdf(rank) >= 1.0 - tail);
    let lower = first(0, n, |rank| below.cdf(rank) > tail);
    (lower.checked_sub(1), Some(upper).filter(|rank| *rank < n))
}

/// The first number in a range for which a monotone condition holds; the end if none.
fn first(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The rank of a quantile, from 0: nearest rank, `ceil(q * n) - 1`.
pub(crate) fn rank(q: f64, n: u64) -> u64 {
    rounded((q.clamp(0.0, 1.0) * float(n)).ceil())
        .saturating_sub(1)
        .min(n.saturating_sub(1))
}

/// What a quantile is, given a way to look ranks up.
fn estimate(q: f64, n: u64, exact: bool, mut at: impl FnMut(u64) -> Option<(u64, u64)>) -> QuantileEstimate {
    let (low, high) = order_statistic_interval(q, n);
    let band = if n == 0 { None } else { at(rank(q, n)) };
    QuantileEstimate {
        q,
        value: band.map(|(low, high)| low + (high.saturating_sub(low)) / 2),
        low: low.and_then(&mut at).map(|(low, _)| low),
        high: high.and_then(&mut at).map(|(_, high)| high),
        exact,
        band,
        supported: n >= needed(q),
        needed: needed(q),
    }
}

/// Quantiles of values.
pub(crate) fn of_values(values: &Values, qs: &[f64]) -> Vec<QuantileEstimate> {
    let n = values.count();
    let mut ranks = Vec::new();
    for q in qs {
        let (low, high) = order_statistic_interval(*q, n);
        ranks.extend([Some(rank(*q, n)), low, high].into_iter().flatten());
    }
    ranks.sort_unstable();
    ranks.dedup();
    let found = values.ranks(&ranks);
    let at = |rank: u64| {
        let place = ranks.binary_search(&rank).ok()?;
        found.get(place).map(|ranked| (ranked.low, ranked.high))
    };
    qs.iter()
        .map(|q| estimate(*q, n, values.is_exact(), at))
        .collect()
}

/// Quantiles of a log-linear histogram.
pub(crate) fn of_sparse(histogram: &SparseHistogram, qs: &[f64]) -> Vec<QuantileEstimate> {
    let n = histogram.count();
    let at = |rank: u64| {
        histogram
            .quantile(as_quantile(rank, n))
            .map(|found| (found.low, found.high))
    };
    qs.iter().map(|q| estimate(*q, n, false, at)).collect()
}

/// Quantiles of a histogram with fixed boundaries.
pub(crate) fn of_fixed(histogram: &FixedHistogram, qs: &[f64]) -> Vec<QuantileEstimate> {
    let n = histogram.count();
    let at = |rank: u64| {
        histogram
            .quantile(as_quantile(rank, n))
            .map(|found| (found.low, found.high))
    };
    let open = |mut estimate: QuantileEstimate| {
        // The last bucket is open above: nothing is known there but its lower end.
        if let Some((low, u64::MAX)) = estimate.band {
            estimate.value = Some(low);
        }
        estimate.high = estimate.high.filter(|high| *high < u64::MAX);
        estimate
    };
    qs.iter().map(|q| open(estimate(*q, n, false, at))).collect()
}

/// A quantile whose nearest rank is the given one.
fn as_quantile(rank: u64, n: u64) -> f64 {
    (float(rank) + 0.5) / float(n.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_small_samples_are_those_of_the_tables() {
        // Conover, Practical Nonparametric Statistics: median of 10 values, 95 %: the 2nd to the 9th.
        assert_eq!(order_statistic_interval(0.5, 10), (Some(1), Some(8)));
        // The maximum is below the 99th percentile too often.
        assert_eq!(order_statistic_interval(0.99, 100).1, None);
    }

    #[test]
    fn intervals_cover() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut covered = 0;
        for _ in 0..2_000 {
            let mut values: Vec<f64> = (0..400).map(|_| random.f64()).collect();
            values.sort_by(f64::total_cmp);
            let (low, high) = order_statistic_interval(0.9, 400);
            let (low, high) = (values[low.unwrap() as usize], values[high.unwrap() as usize]);
            covered += u32::from(low <= 0.9 && 0.9 <= high);
        }
        assert!(covered >= 1_880, "{covered} of 2000 cover");
    }

    #[test]
    fn an_open_bucket_has_no_upper_end() {
        let histogram = FixedHistogram::new([10].into(), vec![0, 50], 0);
        let found = of_fixed(&histogram, &[0.5]);
        assert_eq!((found[0].value, found[0].high), (Some(11), None));
    }
}
