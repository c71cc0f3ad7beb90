//! Statistics: quantiles with intervals, trends, change points, tests, survival.

mod autocorrelation;
mod changes;
pub(crate) mod quantiles;
mod survival;
mod tests_of_shift;
mod trend;
mod values;

pub(crate) use autocorrelation::long_run_variance;
pub use changes::{Change, change_points};
pub use quantiles::{QuantileEstimate, needed, order_statistic_interval};
pub use survival::{Survival, SurvivalPoint};
pub use tests_of_shift::{Shift, paired_shift, two_sample_shift};
pub use trend::{Trend, trend};
pub use values::{KEPT_VALUES, Values};

use statrs::distribution::{ContinuousCDF, Normal};

/// The confidence of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// The standard normal quantile.
pub(crate) fn z(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// The two-sided probability of a standard normal value at least this far from 0.
pub(crate) fn two_sided_p(z: f64) -> f64 {
    2.0 * Normal::standard().cdf(-z.abs())
}

/// The median; the values are reordered.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp);
    Some(
        lower
            .filter(|_| even)
            .map_or(upper, |lower| lower.midpoint(upper)),
    )
}
