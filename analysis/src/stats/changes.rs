//! Where a series changes its level.

use super::median;
use crate::num::len;

/// Points between two changes, at least.
const SEGMENT: usize = 6;
/// The penalty of a change, in long-run variances times the logarithm of the number of points.
const PENALTY: f64 = 4.0;
/// A change smaller than this share of the larger level is not told.
const SMALLEST: f64 = 0.1;
/// Correlation between neighbours beyond which it is cut.
const STRONGEST: f64 = 0.9;
/// Makes the median of absolute values of a normal variable its standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first point of the new level.
    pub at: usize,
    /// The mean before, back to the change before.
    pub before: f64,
    /// The mean after, up to the next change.
    pub after: f64,
}

/// The changes of level in a series: the partition with the least squared error plus a penalty for each change, found
/// exactly by dynamic programming (optimal partitioning; PELT prunes the same search).
///
/// The penalty rests on the noise's long-run variance, estimated from differences of first and second order, which
/// changes of level don't inflate. Quadratic: give it some hundred points.
pub fn change_points(values: &[f64]) -> Vec<Change> {
    let n = values.len();
    if n < 2 * SEGMENT {
        return Vec::new();
    }
    let penalty = PENALTY * noise(values) * len(n).ln();
    let sums = Sums::new(values);
    let mut best = vec![f64::INFINITY; n + 1];
    let mut from = vec![0; n + 1];
    if let Some(start) = best.first_mut() {
        *start = -penalty;
    }
    for end in SEGMENT..=n {
        for start in 0..=end - SEGMENT {
            let cost = best[start] + sums.error(start, end) + penalty;
            if cost < best[end] {
                best[end] = cost;
                from[end] = start;
            }
        }
    }
    let mut ends = vec![n];
    let mut end = n;
    while let Some(start) = from.get(end).copied().filter(|start| *start > 0) {
        ends.push(start);
        end = start;
    }
    ends.push(0);
    ends.reverse();
    told(&ends, &sums)
}

fn told(ends: &[usize], sums: &Sums) -> Vec<Change> {
    let triples = ends.windows(3).filter_map(|ends| {
        let [start, at, end] = ends.try_into().ok()?;
        let change = Change {
            at,
            before: sums.mean(start, at),
            after: sums.mean(at, end),
        };
        let size = (change.after - change.before).abs();
        (size >= SMALLEST * change.before.abs().max(change.after.abs())).then_some(change)
    });
    triples.collect()
}

/// Sums up to each place, of values and of squares.
struct Sums {
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn new(values: &[f64]) -> Self {
        // Centred, or the difference of two large sums of squares would be noise.
        let centre = values.iter().sum::<f64>() / len(values.len().max(1));
        let mut out = Self {
            values: vec![0.0],
            squares: vec![0.0],
        };
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in values {
            sum += value;
            squares += (value - centre).powi(2);
            out.values.push(sum);
            out.squares.push(squares);
        }
        // Keep sums about the centre beside the plain ones' meaning: the mean adds it back.
        for (at, sum) in out.values.iter_mut().enumerate() {
            *sum -= centre * len(at);
        }
        out.values.push(centre);
        out
    }

    fn centre(&self) -> f64 {
        self.values.last().copied().unwrap_or(0.0)
    }

    fn sum(&self, start: usize, end: usize) -> f64 {
        self.values[end] - self.values[start]
    }

    fn mean(&self, start: usize, end: usize) -> f64 {
        self.centre() + self.sum(start, end) / len(end - start)
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let squares = self.squares[end] - self.squares[start];
        (squares - self.sum(start, end).powi(2) / len(end - start)).max(0.0)
    }
}

/// The long-run variance of an AR(1) around a level that may change: differences at lag 1 have variance 2 g (1 - r) and
/// at lag 2 have 2 g (1 - r^2), and medians of their size see no changes of level.
fn noise(values: &[f64]) -> f64 {
    let spread = |lag: usize| {
        let later = values.get(lag..).unwrap_or(&[]);
        let mut sizes: Vec<f64> = values.iter().zip(later).map(|(a, b)| (b - a).abs()).collect();
        // A series that mostly stands still has a median of 0: its mean says more.
        let typical = median(&mut sizes)
            .filter(|middle| *middle > 0.0)
            .map(|middle| MAD_TO_SIGMA * middle);
        let mean = sizes.iter().sum::<f64>() / len(sizes.len().max(1));
        typical.unwrap_or(mean).powi(2)
    };
    let (one, two) = (spread(1), spread(2));
    if one <= 0.0 {
        return f64::MIN_POSITIVE;
    }
    let rho = (two / one - 1.0).clamp(0.0, STRONGEST);
    one / (2.0 * (1.0 - rho)) * (1.0 + rho) / (1.0 - rho)
}

#[cfg(test)]
mod tests {
    use super::super::autocorrelation::tests::{autoregressive, normal};
    use super::*;

    #[test]
    fn changes_are_found_where_they_are() {
        let mut random = fastrand::Rng::with_seed(5);
        let level = |at: usize| {
            if at < 80 {
                10.0
            } else if at < 150 {
                20.0
            } else {
                5.0
            }
        };
        let values: Vec<f64> = (0..200).map(|at| level(at) + normal(&mut random)).collect();
        let found = change_points(&values);
        assert_eq!(
            found.iter().map(|change| change.at).collect::<Vec<_>>(),
            [80, 150]
        );
        assert!((found[0].before - 10.0).abs() < 0.5 && (found[1].after - 5.0).abs() < 0.5);
    }

    #[test]
    fn no_change_is_seen_in_noise() {
        let mut random = fastrand::Rng::with_seed(6);
        let mut wrong = 0;
        for _ in 0..100 {
            let noise = autoregressive(200, 0.5, &mut random);
            let values: Vec<f64> = noise.iter().map(|value| 20.0 + value).collect();
            wrong += usize::from(!change_points(&values).is_empty());
        }
        assert!(wrong <= 5, "{wrong} of 100");
    }

    #[test]
    fn a_constant_has_no_change() {
        assert_eq!(change_points(&[4.0; 100]), []);
    }
}
