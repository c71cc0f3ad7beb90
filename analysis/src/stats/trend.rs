//! Slopes that outliers don't bend, with intervals that correlation in time does not fool.

use super::{CONFIDENCE, median, z};
use crate::num::{index, len};

/// Points from which a slope is told: with fewer, its interval says nothing.
const FEWEST: usize = 10;
/// Correlation between neighbours beyond which it is cut.
const STRONGEST: f64 = 0.95;

/// How a gauge moved over a run.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Trend {
    /// Change per second.
    pub slope_per_s: f64,
    /// The interval's lower end.
    pub low_per_s: f64,
    /// The interval's upper end.
    pub high_per_s: f64,
    /// Change over the whole time.
    pub change: f64,
    /// Points that the slope rests on.
    pub points: usize,
    /// Correlation between neighbouring points around the slope, which widened the interval.
    pub autocorrelation: f64,
}

impl Trend {
    /// Whether the interval leaves only one direction.
    pub fn is_significant(&self) -> bool {
        self.low_per_s > 0.0 || self.high_per_s < 0.0
    }
}

/// The Theil-Sen slope of points (seconds, value), with Sen's interval from Kendall's variance, widened by the
/// correlation of neighbouring residuals.
///
/// Every pair of points is looked at: give it some hundred points.
pub fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let n = points.len();
    if n < FEWEST {
        return None;
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for (at, (t0, v0)) in points.iter().enumerate() {
        let later = points.get(at + 1..).unwrap_or(&[]);
        slopes.extend(
            later
                .iter()
                .filter(|(t, _)| t > t0)
                .map(|(t, v)| (v - v0) / (t - t0)),
        );
    }
    slopes.sort_by(f64::total_cmp);
    let slope = at_rank(&slopes, len(slopes.len()) / 2.0)?;
    let rho = residual_correlation(points, slope);
    let count = len(n);
    let kendall = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    let reach = z(0.5 + CONFIDENCE / 2.0) * (kendall * (1.0 + rho) / (1.0 - rho)).sqrt();
    let pairs = len(slopes.len());
    let span = points.last()?.0 - points.first()?.0;
    Some(Trend {
        slope_per_s: slope,
        low_per_s: at_rank(&slopes, (pairs - reach) / 2.0)?,
        high_per_s: at_rank(&slopes, f64::midpoint(pairs, reach))?,
        change: slope * span,
        points: n,
        autocorrelation: rho,
    })
}

fn at_rank(sorted: &[f64], rank: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(index(rank.max(0.0)).min(last)).copied()
}

fn residual_correlation(points: &[(f64, f64)], slope: f64) -> f64 {
    let mut residuals: Vec<f64> = points.iter().map(|(t, v)| v - slope * t).collect();
    let Some(middle) = median(&mut residuals.clone()) else {
        return 0.0;
    };
    residuals.iter_mut().for_each(|residual| *residual -= middle);
    let variance: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let lagged: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if variance > 0.0 {
        (lagged / variance).clamp(0.0, STRONGEST)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::autocorrelation::tests::autoregressive;
    use super::*;

    fn series(values: &[f64]) -> Vec<(f64, f64)> {
        values
            .iter()
            .enumerate()
            .map(|(at, value)| (len(at), *value))
            .collect()
    }

    #[test]
    fn a_line_is_found_through_outliers() {
        let mut values: Vec<f64> = (0..100).map(|at| 3.0 + 0.5 * f64::from(at)).collect();
        values[10] = 1e6;
        values[70] = -1e6;
        let found = trend(&series(&values)).unwrap();
        assert!((found.slope_per_s - 0.5).abs() < 1e-9 && found.is_significant());
    }

    #[test]
    fn no_slope_is_seen_in_correlated_noise() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut wrong = 0;
        for _ in 0..200 {
            wrong += u32::from(
                trend(&series(&autoregressive(200, 0.6, &mut random)))
                    .unwrap()
                    .is_significant(),
            );
        }
        assert!(wrong <= 20, "{wrong} of 200");
    }
}
