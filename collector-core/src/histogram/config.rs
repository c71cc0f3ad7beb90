//! All bucket arithmetic, in one place.

use crate::error::{Error, Result};

/// The layout of a log-linear histogram: values below 2^(grouping power + 1) have a bucket each, every further power of
/// two is split into 2^(grouping power) buckets of equal width.
///
/// The layout is that of the crate `histogram` 1.x ("H2"), so that buckets can be exchanged with it and with Rezolus.
/// A value is known to within a bucket: relative width 2^-(grouping power). A quantile is reported as the middle of
/// its bucket, so its error is at most half of that:
///
/// | grouping power | bucket width | quantile error | buckets up to 2^44 |
/// |---|---|---|---|
/// | 5 | 3.13 % | 1.57 % | 1 280 |
/// | 7 (default) | 0.79 % | 0.40 % | 4 864 |
/// | 10 | 0.10 % | 0.05 % | 35 840 |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Config {
    /// In [0, 20].
    grouping_power: u8,
    /// In (`grouping_power`, 64].
    max_value_power: u8,
}

impl Config {
    /// Grouping power 7, values up to 2^44 (4.9 hours in nanoseconds); larger ones fall into the last bucket.
    pub const DEFAULT: Self = Self {
        grouping_power: 7,
        max_value_power: 44,
    };

    /// Three buckets: what a model checker can walk, and Miri, which looks at every one at every access.
    #[cfg(any(miri, all(test, loom)))]
    pub(crate) const MODEL: Self = Self {
        grouping_power: 0,
        max_value_power: 2,
    };

    /// Makes a layout.
    ///
    /// # Errors
    /// [`Error::HistogramConfig`] unless the grouping power is at most 20 and less than the max value power, and that is
    /// at most 64.
    pub const fn new(grouping_power: u8, max_value_power: u8) -> Result<Self> {
        if grouping_power > 20 || max_value_power > 64 || grouping_power >= max_value_power {
            let mend = "use a grouping power of at most 20 that is less than the max value power, and that at most 64";
            return Err(Error::HistogramConfig {
                grouping_power,
                max_value_power,
                mend,
            });
        }
        Ok(Self {
            grouping_power,
            max_value_power,
        })
    }

    /// The number of bits that select a bucket within a power of two.
    pub const fn grouping_power(self) -> u8 {
        self.grouping_power
    }

    /// Values reach up to two to this power.
    pub const fn max_value_power(self) -> u8 {
        self.max_value_power
    }

    /// How many buckets the layout has.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 2^20 * 64, for tests of extreme layouts"
    )]
    pub const fn buckets(self) -> usize {
        let linear = 1_u64 << (self.grouping_power + 1);
        let groups = (self.max_value_power - self.grouping_power - 1) as u64;
        (linear + groups * (1 << self.grouping_power)) as usize
    }

    /// The largest value that has a bucket of its own width.
    pub const fn max_value(self) -> u64 {
        if self.max_value_power == 64 {
            u64::MAX
        } else {
            (1 << self.max_value_power) - 1
        }
    }

    /// The bucket of a value; values past [`max_value`](Self::max_value) share the last one.
    #[inline]
    pub const fn index(self, value: u64) -> usize {
        let (index, last) = (self.index_or_past(value), self.buckets() - 1);
        if index > last { last } else { index }
    }

    /// The bucket of a value, or an index past the last one for a value past [`max_value`](Self::max_value).
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "indices are below 2^27")]
    pub(crate) const fn index_or_past(self, value: u64) -> usize {
        if self.max_value_power <= f64::MANTISSA_DIGITS as u8 {
            return self.index_by_float(value);
        }
        let grouping = self.grouping_power as u32;
        // `| 1 << grouping` makes values of the linear part take the same path, with shift 0.
        let shift = (value | 1 << grouping).ilog2() - grouping;
        ((value >> shift) + ((shift as u64) << grouping)) as usize
    }

    /// The bucket of a value by way of a float: from 2^grouping power on, its exponent and the first bits of its fraction,
    /// read as one number, count the buckets. Converting beats finding the highest bit on x86-64, whose baseline has
    /// only `bsr` for that, eight micro-operations before AMD's Zen 4. Values below 2^53 convert exactly; larger ones
    /// may be rounded, and negative as `i64`, and are past the last bucket either way.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        reason = "stated in the documentation; signed, because x86-64 converts only that in one step"
    )]
    const fn index_by_float(self, value: u64) -> usize {
        let grouping = self.grouping_power as u64;
        let fraction_bits = f64::MANTISSA_DIGITS as u64 - 1;
        let bias = f64::MAX_EXP as u64 - 1;
        let exponent_and_fraction = (value as i64 as f64).to_bits() >> (fraction_bits - grouping);
        let index = exponent_and_fraction.wrapping_sub((bias + grouping - 1) << grouping);
        // A select, not a branch: values on both sides of the linear part's end would be predicted badly.
        let linear = value >> grouping == 0;
        (if linear { value } else { index }) as usize
    }

    /// The smallest and the largest value of a bucket; an index past the end gives the last bucket's.
    #[expect(clippy::cast_possible_truncation, reason = "a group is below 64")]
    pub const fn range(self, index: usize) -> (u64, u64) {
        let last = self.buckets() - 1;
        let index = if index > last { last as u64 } else { index as u64 };
        let grouping = self.grouping_power as u32;
        let group = index >> grouping;
        if group < 2 {
            return (index, index);
        }
        let shift = (group - 1) as u32;
        let low = (index - ((shift as u64) << grouping)) << shift;
        (low, low + ((1 << shift) - 1))
    }

    /// The smallest and the largest value that a bucket can hold: the last one is open above.
    pub(crate) const fn bounds(self, index: usize) -> (u64, u64) {
        let (low, high) = self.range(index);
        (
            low,
            if index + 1 >= self.buckets() {
                u64::MAX
            } else {
                high
            },
        )
    }

    /// The bound of a quantile's relative error: half a bucket. It holds below the last bucket, which takes every value
    /// from its low end on.
    ///
    /// ```
    /// use kvlens_core::histogram::Config;
    /// assert!(Config::DEFAULT.relative_error() <= 0.004);
    /// ```
    pub fn relative_error(self) -> f64 {
        0.5 / f64::from(1_u32 << self.grouping_power)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "h2({}, {})", self.grouping_power, self.max_value_power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn configs() -> impl Strategy<Value = Config> {
        (0_u8..=10)
            .prop_flat_map(|g| (Just(g), g + 1..=64))
            .prop_map(|(g, m)| Config::new(g, m).unwrap())
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(config in configs(), value: u64) {
            let value = value.min(config.max_value());
            let index = config.index(value);
            let (low, high) = config.range(index);
            prop_assert!(low <= value && value <= high);
            prop_assert!(index < config.buckets());
        }

        #[test]
        fn buckets_tile_the_range(config in configs(), pick: prop::sample::Index) {
            let index = pick.index(config.buckets());
            let (low, high) = config.range(index);
            prop_assert_eq!(config.index(low), index);
            prop_assert_eq!(config.index(high), index);
            if index + 1 < config.buckets() {
                prop_assert_eq!(config.range(index + 1).0, high + 1);
            } else {
                prop_assert_eq!(high, config.max_value());
            }
        }
    }

    #[test]
    fn the_table_of_the_docs_is_true() {
        for (grouping, width, error, buckets) in [
            (5, 3.13, 1.57, 1_280),
            (7, 0.79, 0.40, 4_864),
            (10, 0.10, 0.05, 35_840),
        ] {
            let config = Config::new(grouping, 44).unwrap();
            assert!((config.relative_error() * 100.0 - error).abs() < 0.011);
            assert!((config.relative_error() * 200.0 - width).abs() < 0.011);
            assert_eq!(config.buckets(), buckets);
        }
    }
}
