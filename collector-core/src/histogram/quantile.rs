//! An answer with its error.

use super::config::Config;

/// A quantile, and the band that the true value lies in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// The best guess: the middle of the bucket that holds the quantile.
    pub value: u64,
    /// The smallest value it can be.
    pub low: u64,
    /// The largest value it can be.
    pub high: u64,
}

impl Quantile {
    /// Answers with a bucket of a log-linear histogram, cut to the exact extremes of what was recorded.
    pub(crate) fn in_bucket(config: Config, index: usize, (min, max): (u64, u64)) -> Self {
        let (low, high) = config.bounds(index);
        let (low, high) = (low.max(min), high.min(max));
        Self {
            value: low + high.saturating_sub(low) / 2,
            low,
            high,
        }
    }
}

/// The rank of a quantile among `count` sorted values, from 0: nearest rank, `ceil(q * count) - 1`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "q is clamped to [0, 1]; counts past 2^53 lose a rank in 2^53"
)]
pub(crate) fn rank(q: f64, count: u64) -> u64 {
    let at = (q.clamp(0.0, 1.0) * count as f64).ceil() as u64;
    at.saturating_sub(1).min(count.saturating_sub(1))
}
