//! Adding samples up: how pending samples wait for a lagging exporter.

use crate::record::{Sample, Value};

impl Value {
    /// Adds a later value of the same metric: the later gauge or counter stands, histograms add up.
    ///
    /// A later missing value changes nothing. Histograms of different layouts can't be added: the later one stands, and
    /// `false` is returned.
    pub fn merge(&mut self, later: &Self) -> bool {
        match (&mut *self, later) {
            (_, Self::Missing) => true,
            (Self::Histogram(mine), Self::Histogram(theirs)) => {
                let merged = mine.merge(theirs).is_ok();
                if !merged {
                    mine.clone_from(theirs);
                }
                merged
            }
            (Self::Fixed(mine), Self::Fixed(theirs)) => {
                let merged = mine.merge(theirs).is_ok();
                if !merged {
                    mine.clone_from(theirs);
                }
                merged
            }
            (mine, theirs) => {
                mine.clone_from(theirs);
                true
            }
        }
    }
}

impl Sample {
    /// Adds a later sample of the same source: it then covers both intervals.
    pub fn merge(&mut self, later: &Self) {
        self.extend_over(later);
        for (mine, theirs) in self.values.iter_mut().zip(&later.values) {
            mine.merge(theirs);
        }
    }

    /// Covers the interval of a later sample too; its values are not looked at.
    pub(super) fn extend_over(&mut self, later: &Self) {
        self.monotonic_ns = later.monotonic_ns;
        self.interval_ns = self.interval_ns.saturating_add(later.interval_ns);
        self.overshoot_ns = self.overshoot_ns.max(later.overshoot_ns);
        self.merged = self.merged.saturating_add(later.merged);
        if later.served_by.is_some() {
            self.served_by.clone_from(&later.served_by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Config, SparseHistogram};

    fn sample(at: u64, values: Vec<Value>) -> Sample {
        Sample {
            monotonic_ns: at,
            interval_ns: 10,
            merged: 1,
            values,
            ..Sample::default()
        }
    }

    #[test]
    fn totals_survive_a_merge() {
        let hist = |v| Value::Histogram(SparseHistogram::from_parts(Config::DEFAULT, v, v, v, [(3, 1)]));
        let mut first = sample(
            10,
            vec![Value::Counter(5), Value::Gauge(1.0), hist(3), Value::Gauge(2.0)],
        );
        first.merge(&sample(
            20,
            vec![Value::Counter(7), Value::Gauge(0.5), hist(3), Value::Missing],
        ));
        assert_eq!((first.monotonic_ns, first.interval_ns, first.merged), (20, 20, 2));
        assert_eq!(first.values[0], Value::Counter(7));
        assert_eq!(first.values[1], Value::Gauge(0.5));
        assert_eq!(first.values[3], Value::Gauge(2.0), "a gap keeps what was known");
        let Value::Histogram(merged) = &first.values[2] else {
            panic!("histogram")
        };
        assert_eq!((merged.count(), merged.sum()), (2, 6));
    }
}
