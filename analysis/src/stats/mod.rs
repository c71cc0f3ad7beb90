//! Statistics: quantiles with intervals, trends, change points, tests, survival.

mod autocorrelation;
mod changes;
pub(crate) mod quantiles;
mod survival;
mod tests_of_shift;
mod trend;
mod values;

pub(crate) use autocorrelation::{BATCHES, batch_variance};
pub use changes::{Change, change_points};
pub use quantiles::{QuantileEstimate, needed, order_statistic_interval};
pub use survival::{Survival, SurvivalPoint};
pub use tests_of_shift::{Shift, paired_shift, two_sample_shift};
pub use trend::{Trend, trend};
pub use values::{KEPT_VALUES, Values};

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// The confidence of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// The standard normal quantile.
pub(crate) fn z(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// Degrees of freedom of a variance from [`batch_variance`]: one and a half times the batches, since they overlap.
const DEGREES: f64 = 1.5 * BATCHES;

fn student() -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, DEGREES).ok()
}

/// How far an interval of [`CONFIDENCE`] reaches, in standard errors that were estimated from batches.
pub(crate) fn reach_of_batches() -> f64 {
    let p = 0.5 + CONFIDENCE / 2.0;
    student().map_or_else(|| z(p), |student| student.inverse_cdf(p))
}

/// The two-sided probability of a value at least so many standard errors from 0, when the error was estimated from
/// batches.
pub(crate) fn two_sided_p(errors: f64) -> f64 {
    student().map_or(1.0, |student| 2.0 * student.cdf(-errors.abs()))
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
