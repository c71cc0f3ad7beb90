//! What a source's samples add up to since the start of the run.

use super::report::SourceSummary;
use crate::histogram::DenseHistogram;
use crate::record::{Sample, Value};
use crate::run::RunSchema;
use std::sync::Arc;

/// Histograms of more buckets than this are added up in sparse form.
const DENSE_BUCKETS: usize = 1 << 14;

/// Everything that a source's samples said, added up.
#[derive(Debug)]
pub(super) struct Totals {
    /// Its histograms are missing where `dense` has them.
    sample: Sample,
    /// As long as the sample's values.
    dense: Vec<Option<DenseHistogram>>,
}

impl Totals {
    /// Begins with the first sample.
    pub(super) fn new(first: &Sample) -> Self {
        let missing = vec![Value::Missing; first.values.len()];
        let mut totals = Self {
            sample: Sample {
                source: first.source,
                ..Sample::default()
            },
            dense: first.values.iter().map(|_| None).collect(),
        };
        totals.sample.values = missing;
        totals.add(first);
        totals
    }

    /// Adds a later sample.
    pub(super) fn add(&mut self, later: &Sample) {
        self.sample.extend_over(later);
        let slots = self.sample.values.iter_mut().zip(&mut self.dense);
        for ((slot, dense), later) in slots.zip(&later.values) {
            match later {
                Value::Histogram(later) if later.config().buckets() <= DENSE_BUCKETS => {
                    let merged = dense.as_mut().is_some_and(|dense| dense.merge(later).is_ok());
                    if !merged {
                        // As everywhere, one of another layout replaces what was.
                        *slot = Value::Missing;
                        let mut fresh = DenseHistogram::new(later.config());
                        let _same_layout = fresh.merge(later);
                        *dense = Some(fresh);
                    }
                }
                Value::Missing => {}
                later => {
                    *dense = None;
                    slot.merge(later);
                }
            }
        }
    }

    /// The figures so far.
    pub(super) fn summary(&self, schema: Arc<RunSchema>) -> SourceSummary {
        let mut sample = self.sample.clone();
        for (slot, dense) in sample.values.iter_mut().zip(&self.dense) {
            if let Some(dense) = dense {
                *slot = Value::Histogram(dense.to_sparse());
            }
        }
        SourceSummary::new(schema, sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Config, SparseHistogram};
    use crate::run::{RunInfo, RunSchema};

    fn histogram(values: &[u64], config: Config) -> Value {
        let mut histogram = SparseHistogram::default();
        histogram.reset(config);
        values.iter().for_each(|value| histogram.record(*value));
        Value::Histogram(histogram)
    }

    fn sample(values: Vec<Value>) -> Sample {
        Sample {
            interval_ns: 10,
            merged: 1,
            values,
            ..Sample::default()
        }
    }

    /// Whatever the form, the sum is that of `Sample::merge`.
    #[test]
    fn totals_are_what_merging_gives() {
        let small = Config::new(3, 20).unwrap();
        let large = Config::new(12, 40).unwrap();
        let intervals: [&[u64]; 4] = [&[], &[7, 7, 1 << 19], &[0, 3], &[1 << 30, 9]];
        let samples = intervals.map(|values| {
            sample(vec![
                histogram(values, small),
                histogram(values, large),
                Value::Counter(values.len() as u64),
                Value::Missing,
                histogram(values, if values.len() == 3 { small } else { Config::DEFAULT }),
            ])
        });
        let mut merged = samples[0].clone();
        let mut totals = Totals::new(&samples[0]);
        for later in &samples[1..] {
            merged.merge(later);
            totals.add(later);
        }
        let schema = Arc::new(RunSchema::new(RunInfo::new("r"), vec![], vec![]));
        assert_eq!(totals.summary(schema).sample(), &merged);
    }
}
