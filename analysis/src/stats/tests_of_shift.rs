//! By how much, and how surely, one set of latencies is longer than another.
//!
//! Latencies are skewed, so everything works on ranks, and the size of a difference is a ratio: the Hodges-Lehmann
//! shift of logarithms. Latencies of one run are correlated in time (a queue makes neighbours slow together), so
//! variances are long-run ones, over values in the order of arrival.

use super::{batch_variance, median, reach_of_batches, two_sided_p};
use crate::num::{float, index, len};

/// Values of each side that the estimate of the size looks at: evenly spaced quantiles of them, if there are more.
const THINNED: usize = 300;

/// How one set of values lies against another.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Shift {
    /// The typical ratio of the second to the first.
    pub ratio: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// The chance of a difference at least this clear when there is none.
    pub p: f64,
}

/// Compares two sets of values, each in the order of arrival.
///
/// The test is Brunner and Munzel's (2000), which needs neither equal shapes nor equal variances, with long-run
/// variances of the placements.
pub fn two_sample_shift(a: &[f64], b: &[f64]) -> Option<Shift> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let (sorted_a, sorted_b) = (sorted(a), sorted(b));
    let in_b: Vec<f64> = a.iter().map(|value| placement(&sorted_b, *value)).collect();
    let in_a: Vec<f64> = b.iter().map(|value| placement(&sorted_a, *value)).collect();
    let larger = in_a.iter().sum::<f64>() / len(b.len());
    let variance = batch_variance(&in_b) / len(a.len()) + batch_variance(&in_a) / len(b.len());
    // Sets that don't overlap have no variance; what one more value could change is left.
    let error = variance.sqrt().max(1.0 / (len(a.len()) * len(b.len())));
    let (logs_a, logs_b) = (thinned_logs(&sorted_a), thinned_logs(&sorted_b));
    let mut differences = Vec::with_capacity(logs_a.len() * logs_b.len());
    for b in &logs_b {
        differences.extend(logs_a.iter().map(|a| b - a));
    }
    let is_same = in_b
        .iter()
        .chain(&in_a)
        .all(|placement| (placement - 0.5).abs() < f64::EPSILON);
    let p = if is_same {
        1.0
    } else {
        two_sided_p((larger - 0.5) / error)
    };
    shift(&mut differences, error, p)
}

/// Compares values pair by pair, in the order of arrival: the same requests in two runs.
///
/// The test is Wilcoxon's signed ranks with their long-run variance.
pub fn paired_shift(pairs: &[(f64, f64)]) -> Option<Shift> {
    let n = pairs.len();
    if n < 2 {
        return None;
    }
    let logs: Vec<f64> = pairs.iter().map(|(a, b)| log(*b) - log(*a)).collect();
    let sizes = sorted(&logs.iter().map(|value| value.abs()).collect::<Vec<_>>());
    let signed_rank = |value: &f64| {
        if *value == 0.0 {
            0.0
        } else {
            value.signum() * placement(&sizes, value.abs())
        }
    };
    let ranks: Vec<f64> = logs.iter().map(signed_rank).collect();
    let mean = ranks.iter().sum::<f64>() / len(n);
    let error = (batch_variance(&ranks) / len(n)).sqrt();
    let thin = thin(&sorted(&logs));
    let mut averages = Vec::with_capacity(thin.len() * (thin.len() + 1) / 2);
    for (at, one) in thin.iter().enumerate() {
        averages.extend(thin.iter().skip(at).map(|other| f64::midpoint(*one, *other)));
    }
    let p = if error > 0.0 {
        two_sided_p(mean / error)
    } else {
        f64::from(mean == 0.0)
    };
    shift(&mut averages, error, p)
}

/// The median of differences of logarithms and the interval around it whose ends are those of the rank statistic's.
fn shift(differences: &mut [f64], error: f64, p: f64) -> Option<Shift> {
    let last = differences.len().checked_sub(1)?;
    let reach = reach_of_batches() * error;
    let mut at = |share: f64| {
        let place = index(share.clamp(0.0, 1.0) * len(last)).min(last);
        *differences.select_nth_unstable_by(place, f64::total_cmp).1
    };
    let (low, high) = (at(0.5 - reach), at(0.5 + reach));
    let middle = median(differences)?;
    Some(Shift {
        ratio: middle.exp(),
        low: low.min(middle).exp(),
        high: high.max(middle).exp(),
        p,
    })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The share of values below, and half of the equal ones.
fn placement(sorted: &[f64], value: f64) -> f64 {
    let below = sorted.partition_point(|other| *other < value);
    let equal = sorted
        .get(below..)
        .map_or(0, |rest| rest.partition_point(|other| *other <= value));
    (len(below) + len(equal) / 2.0) / len(sorted.len())
}

/// A latency of 0 counts as half of what is the least there can be.
fn log(value: f64) -> f64 {
    value.max(0.5).ln()
}

fn thinned_logs(sorted: &[f64]) -> Vec<f64> {
    thin(sorted).into_iter().map(log).collect()
}

/// Evenly spaced quantiles, if there are many values.
fn thin(sorted: &[f64]) -> Vec<f64> {
    if sorted.len() <= THINNED {
        return sorted.to_vec();
    }
    let place = |at: u64| index((float(at) + 0.5) / len(THINNED) * len(sorted.len()));
    (0..THINNED as u64)
        .filter_map(|at| sorted.get(place(at)).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::autocorrelation::tests::{autoregressive, normal};
    use super::*;

    fn latencies(n: usize, sigma: f64, rho: f64, random: &mut fastrand::Rng) -> Vec<f64> {
        let scale = sigma * (1.0 - rho * rho).sqrt();
        autoregressive(n, rho, random)
            .into_iter()
            .map(|x| 3e8 * (scale * x).exp())
            .collect()
    }

    #[test]
    fn the_test_is_calibrated_with_and_without_correlation() {
        let mut random = fastrand::Rng::with_seed(11);
        for (rho, allowed) in [(0.0, 14), (0.8, 18)] {
            let wrong = (0..200).filter(|_| {
                let a = latencies(300, 0.8, rho, &mut random);
                let b = latencies(400, 0.8, rho, &mut random);
                two_sample_shift(&a, &b).unwrap().p < 0.05
            });
            let wrong = wrong.count();
            assert!(wrong <= allowed, "rho {rho}: {wrong} of 200 below 5 %");
        }
    }

    #[test]
    fn a_queue_that_is_half_of_a_latency_does_not_mislead() {
        let mut random = fastrand::Rng::with_seed(14);
        let mut served = || {
            let queue = latencies(2_000, 0.35, 0.8, &mut random);
            let own: Vec<f64> = queue
                .iter()
                .map(|time| time * (0.35 * normal(&mut random)).exp())
                .collect();
            own
        };
        let wrong = (0..200).filter(|_| two_sample_shift(&served(), &served()).unwrap().p < 0.05);
        let wrong = wrong.count();
        assert!(wrong <= 18, "{wrong} of 200 below 5 %");
    }

    #[test]
    fn a_shift_is_measured_and_its_interval_covers() {
        let mut random = fastrand::Rng::with_seed(12);
        let covering = (0..200).filter(|_| {
            let a = latencies(400, 0.5, 0.3, &mut random);
            let b: Vec<_> = latencies(400, 0.5, 0.3, &mut random)
                .iter()
                .map(|x| x * 1.2)
                .collect();
            let found = two_sample_shift(&a, &b).unwrap();
            found.low <= 1.2 && 1.2 <= found.high
        });
        let covering = covering.count();
        assert!(covering >= 180, "{covering} of 200");
    }

    #[test]
    fn pairs_find_what_sizes_hide() {
        let mut random = fastrand::Rng::with_seed(13);
        let pairs: Vec<_> = (0..500)
            .map(|_| {
                let size = (1.5 * normal(&mut random)).exp() * 1e8;
                (size, size * 1.05 * (0.1 * normal(&mut random)).exp())
            })
            .collect();
        let found = paired_shift(&pairs).unwrap();
        assert!(found.p < 1e-6 && (found.ratio - 1.05).abs() < 0.02, "{found:?}");
        let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        assert!(two_sample_shift(&a, &b).unwrap().p > 0.05);
    }

    #[test]
    fn the_same_values_don_t_differ() {
        let a = [5.0, 5.0, 5.0];
        assert!(two_sample_shift(&a, &a).unwrap().p > 0.99);
        assert!(paired_shift(&[(5.0, 5.0), (7.0, 7.0)]).unwrap().p > 0.99);
        let apart = two_sample_shift(&[1.0; 50], &[2.0; 50]).unwrap();
        assert!(apart.p < 1e-6 && (apart.ratio - 2.0).abs() < 1e-9);
    }
}
