//! Conversions between integers and floats, with what they lose said once.

/// A count or a time as a float: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "statistics are floats; 2^53 ns are 104 days"
)]
pub(crate) const fn float(value: u64) -> f64 {
    value as f64
}

/// A length as a float.
pub(crate) const fn len(value: usize) -> f64 {
    float(value as u64)
}

/// A signed time as a float: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "differences of times are far below 2^53 ns"
)]
pub(crate) const fn signed(value: i64) -> f64 {
    value as f64
}

/// A float as the nearest count; negative ones and NaN give 0, huge ones the maximum.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what is wanted"
)]
pub(crate) fn rounded(value: f64) -> u64 {
    value.round() as u64
}

/// A float as an index, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and the callers clamp"
)]
pub(crate) fn index(value: f64) -> usize {
    value.floor() as usize
}

/// A number that fits a `usize` on every system that can hold the data it counts.
pub(crate) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// `part / whole`, unless there is no whole.
pub(crate) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// A float without a fraction as an integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and the callers check"
)]
pub(crate) fn whole(value: f64) -> i64 {
    value as i64
}
