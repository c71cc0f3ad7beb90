//! Time bins that widen as a run gets longer.
//!
//! A bin is 2^n nanoseconds wide and begins at a multiple of that in UTC, so that two sets of bins can always be
//! brought together: the finer one is merged pairwise until the widths agree.

use crate::num::signed;

/// Bins at most; when there would be more, neighbours are merged. At least half as many are in use then.
pub const MAX_BINS: usize = 1_024;

/// The narrowest bin: 2^20 ns, about a millisecond.
const NARROWEST: u32 = 20;

/// A gauge over the time of a bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GaugeBin {
    /// Sum of value times the time it held.
    pub(crate) sum: f64,
    /// Time for which it is known, in nanoseconds.
    pub(crate) weight: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl GaugeBin {
    const EMPTY: Self = Self {
        sum: 0.0,
        weight: 0.0,
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
    };

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.weight += other.weight;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }

    /// The time-weighted mean.
    pub(crate) fn mean(&self) -> Option<f64> {
        if self.weight > 0.0 {
            return Some(self.sum / self.weight);
        }
        // Seen, but for no time that could be told.
        (self.low <= self.high).then(|| f64::midpoint(self.low, self.high))
    }
}

/// Gauges and counters over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins {
    shift: u32,
    /// The first bin's number: its beginning in units of the width.
    first: i64,
    len: usize,
    pub(crate) gauges: Vec<Vec<GaugeBin>>,
    pub(crate) counters: Vec<Vec<u64>>,
}

impl Bins {
    pub(crate) fn new(gauges: usize, counters: usize) -> Self {
        Self {
            shift: NARROWEST,
            first: 0,
            len: 0,
            gauges: vec![Vec::new(); gauges],
            counters: vec![Vec::new(); counters],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The width of a bin.
    pub(crate) fn width_ns(&self) -> i64 {
        1 << self.shift
    }

    /// When the first bin begins.
    pub(crate) fn start_ns(&self) -> i64 {
        self.first << self.shift
    }

    /// When a bin begins.
    pub(crate) fn start_of(&self, bin: usize) -> i64 {
        let number = self.first.saturating_add(as_signed(bin));
        number.saturating_mul(self.width_ns())
    }

    fn end_of(&self, bin: usize) -> i64 {
        let number = self.first.saturating_add(as_signed(bin)).saturating_add(1);
        number.checked_mul(self.width_ns()).unwrap_or(i64::MAX)
    }

    /// Makes room for a range of times.
    pub(crate) fn reserve(&mut self, from_ns: i64, to_ns: i64) {
        let (mut from, mut to) = (from_ns.min(to_ns) >> self.shift, to_ns.max(from_ns) >> self.shift);
        if self.len > 0 {
            from = from.min(self.first);
            to = to.max(self.first + as_signed(self.len) - 1);
        }
        while to.saturating_sub(from) >= as_signed(MAX_BINS) {
            self.coarsen();
            (from, to) = (from >> 1, to >> 1);
        }
        self.cover(from, to);
    }

    /// Extends to the bins of these numbers.
    fn cover(&mut self, from: i64, to: i64) {
        if self.len == 0 {
            self.first = from;
        }
        let before = usize::try_from(self.first - from).unwrap_or(0);
        let len = usize::try_from(to - from + 1).unwrap_or(0).max(self.len + before);
        for bins in &mut self.gauges {
            bins.splice(0..0, std::iter::repeat_n(GaugeBin::EMPTY, before));
            bins.resize(len, GaugeBin::EMPTY);
        }
        for bins in &mut self.counters {
            bins.splice(0..0, std::iter::repeat_n(0, before));
            bins.resize(len, 0);
        }
        (self.first, self.len) = (self.first.min(from), len);
    }

    /// Merges bins pairwise.
    pub(crate) fn coarsen(&mut self) {
        let odd = usize::from(self.first & 1 == 1);
        let len = (self.len + odd).div_ceil(2);
        for bins in &mut self.gauges {
            let mut merged = vec![GaugeBin::EMPTY; len];
            for (at, bin) in bins.iter().enumerate() {
                merged[usize::midpoint(at, odd)].merge(bin);
            }
            *bins = merged;
        }
        for bins in &mut self.counters {
            let mut merged = vec![0; len];
            for (at, count) in bins.iter().enumerate() {
                merged[usize::midpoint(at, odd)] += count;
            }
            *bins = merged;
        }
        self.first >>= 1;
        self.shift += 1;
        self.len = len;
    }

    /// The bin of a time that room was made for.
    pub(crate) fn bin(&self, at_ns: i64) -> usize {
        let place = (at_ns >> self.shift) - self.first;
        usize::try_from(place)
            .unwrap_or(0)
            .min(self.len.saturating_sub(1))
    }

    /// How many of these ascending times fall into the same bin as the first.
    pub(crate) fn run(&self, times: &[i64]) -> usize {
        let Some(first) = times.first() else { return 0 };
        let end = self.end_of(self.bin(*first));
        times.partition_point(|time| *time < end).max(1)
    }

    pub(crate) fn count(&mut self, counter: usize, bin: usize, value: u64) {
        if let Some(slot) = self.counters.get_mut(counter).and_then(|bins| bins.get_mut(bin)) {
            *slot = slot.saturating_add(value);
        }
    }

    /// Counts an amount evenly over the bins from one time to another; together they get all of it.
    pub(crate) fn spread(&mut self, counter: usize, from_ns: i64, to_ns: i64, value: u64) {
        let last = self.bin(to_ns);
        let length = u128::from(to_ns.abs_diff(from_ns).max(1));
        let mut given = 0;
        for bin in self.bin(from_ns)..last {
            let until = u128::from(self.end_of(bin).abs_diff(from_ns)).min(length);
            let sum = u64::try_from(u128::from(value) * until / length).unwrap_or(value);
            self.count(counter, bin, sum - given);
            given = sum;
        }
        self.count(counter, last, value - given);
    }

    pub(crate) fn gauge(&mut self, gauge: usize, bin: usize, value: &GaugeBin) {
        if let Some(slot) = self.gauges.get_mut(gauge).and_then(|bins| bins.get_mut(bin)) {
            slot.merge(value);
        }
    }

    /// Lets gauges hold their values from one time to another.
    pub(crate) fn hold(&mut self, values: &[Option<f64>], from_ns: i64, to_ns: i64) {
        if to_ns <= from_ns || self.len == 0 {
            return;
        }
        let mut at = from_ns;
        while at < to_ns {
            let bin = self.bin(at);
            let end = self.end_of(bin).min(to_ns);
            let weight = signed(end - at);
            for (gauge, value) in values.iter().enumerate() {
                if let Some(value) = *value {
                    self.gauge(
                        gauge,
                        bin,
                        &GaugeBin {
                            sum: value * weight,
                            weight,
                            low: value,
                            high: value,
                        },
                    );
                }
            }
            if bin + 1 == self.len || end <= at {
                return;
            }
            at = end;
        }
    }

    /// Adds other bins of the same columns.
    pub(crate) fn merge(&mut self, mut other: Self) {
        if other.len == 0 {
            return;
        }
        if self.len == 0 {
            *self = other;
            return;
        }
        while other.shift < self.shift {
            other.coarsen();
        }
        self.reserve(other.start_ns(), other.end_of(other.len - 1) - 1);
        while self.shift < other.shift {
            self.coarsen();
            self.reserve(other.start_ns(), other.end_of(other.len - 1) - 1);
        }
        while other.shift < self.shift {
            other.coarsen();
        }
        let offset = usize::try_from(other.first - self.first).unwrap_or(0);
        for (gauge, bins) in other.gauges.iter().enumerate() {
            for (bin, value) in bins.iter().enumerate() {
                self.gauge(gauge, bin + offset, value);
            }
        }
        for (counter, bins) in other.counters.iter().enumerate() {
            for (bin, value) in bins.iter().enumerate() {
                self.count(counter, bin + offset, *value);
            }
        }
    }

    /// Takes over the bins of another set, empty.
    pub(crate) fn frame(&mut self, other: &Self) {
        (self.shift, self.len) = (other.shift, 0);
        self.cover(other.first, other.first + as_signed(other.len.max(1)) - 1);
    }

    /// Merges pairwise until there are at most so many.
    #[must_use]
    pub(crate) fn at_most(mut self, bins: usize) -> Self {
        while self.len > bins.max(1) {
            self.coarsen();
        }
        self
    }

    /// A gauge over all the time.
    pub(crate) fn total(&self, gauge: usize) -> GaugeBin {
        let mut total = GaugeBin::EMPTY;
        self.gauges
            .get(gauge)
            .into_iter()
            .flatten()
            .for_each(|bin| total.merge(bin));
        total
    }
}

fn as_signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(times: &[i64]) -> Bins {
        let mut bins = Bins::new(1, 1);
        for pair in times.windows(2) {
            bins.reserve(pair[0], pair[1]);
            bins.count(0, bins.bin(pair[0]), 1);
            bins.hold(&[Some(3.0)], pair[0], pair[1]);
        }
        bins
    }

    proptest! {
        #[test]
        fn totals_survive_widening_and_merging(mut times in prop::collection::vec(0_i64..1 << 45, 2..60), cut in 0_usize..60) {
            times.sort_unstable();
            let all = filled(&times);
            prop_assert!(all.len() <= MAX_BINS);
            let span = (times[times.len() - 1] - times[0]) as f64;
            prop_assert!((all.total(0).weight - span).abs() <= 1.0);
            let cut = cut.min(times.len() - 1);
            let mut parts = filled(&times[..=cut]);
            parts.merge(filled(&times[cut..]));
            prop_assert_eq!(parts.counters[0].iter().sum::<u64>(), times.len() as u64 - 1);
            prop_assert!((parts.total(0).weight - span).abs() <= 1.0);
            if span > 0.0 {
                prop_assert_eq!(parts.total(0).mean().map(|mean| (mean * 1e6).round()), Some(3e6));
            }
            let fewer = parts.at_most(10);
            prop_assert_eq!(fewer.counters[0].iter().sum::<u64>(), times.len() as u64 - 1);
        }

        #[test]
        fn what_is_spread_fills_every_bin_as_far_as_it_reaches(from in 0_i64..1 << 40, length in 1_i64..1 << 34) {
            let mut bins = Bins::new(0, 1);
            bins.reserve(from, from + length);
            bins.spread(0, from, from + length, length.unsigned_abs());
            let counts = &bins.counters[0];
            prop_assert_eq!(counts.iter().sum::<u64>(), length.unsigned_abs());
            for (bin, count) in counts.iter().enumerate() {
                let inside = (bins.end_of(bin).min(from + length) - bins.start_of(bin).max(from)).max(0).unsigned_abs();
                prop_assert!(count.abs_diff(inside) <= 1, "{} of {}", count, inside);
            }
        }

        #[test]
        fn any_time_is_taken(times in prop::collection::vec(any::<i64>(), 2..10)) {
            let mut times = times;
            times.sort_unstable();
            prop_assert!(filled(&times).len() <= MAX_BINS + 1);
        }
    }
}
