//! What a run came to.

use crate::metric::MetricDesc;
use crate::record::{Sample, Value};
use crate::run::RunSchema;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One source's figures from the start of the run until now.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSummary {
    schema: Arc<RunSchema>,
    sample: Sample,
}

impl SourceSummary {
    pub(super) fn new(schema: Arc<RunSchema>, sample: Sample) -> Self {
        Self { schema, sample }
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        self.schema.source_name(self.sample.source)
    }

    /// The last gauge, the counter's total, or the whole run's histogram of a metric; missing if nothing is known.
    pub fn value(&self, metric: &MetricDesc) -> &Value {
        const MISSING: &Value = &Value::Missing;
        let column = self
            .schema
            .metrics
            .iter()
            .position(|known| known.name == metric.name);
        column
            .and_then(|column| self.sample.values.get(column))
            .unwrap_or(MISSING)
    }

    /// The total of a counter, if it is known.
    pub fn counter(&self, metric: &MetricDesc) -> Option<u64> {
        if let Value::Counter(total) = self.value(metric) {
            Some(*total)
        } else {
            None
        }
    }

    /// Every metric that is known, with its value.
    pub fn values(&self) -> impl Iterator<Item = (&MetricDesc, &Value)> {
        let all = self.schema.metrics.iter().zip(&self.sample.values);
        all.filter(|(_, value)| !matches!(value, Value::Missing))
    }

    /// The whole run of this source as one sample: every interval merged.
    pub fn sample(&self) -> &Sample {
        &self.sample
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunReport {
    /// What the run was.
    pub schema: Arc<RunSchema>,
    /// Each source's figures.
    pub sources: Vec<SourceSummary>,
    /// Rows taken from sources and handed to exporters, by table name.
    pub rows: BTreeMap<String, u64>,
    /// Rows of these that an exporter did not write, by exporter and table name.
    pub rows_lost: BTreeMap<(String, String), u64>,
    /// What went wrong and was survived, oldest first.
    pub problems: Vec<String>,
}

impl RunReport {
    /// Rows that no exporter has lost, by table name: what the run holds in each of its formats.
    pub fn rows_kept(&self) -> BTreeMap<String, u64> {
        let kept = self.rows.iter().map(|(table, rows)| {
            let of_table = self.rows_lost.iter().filter(|((_, lost), _)| lost == table);
            let lost = of_table.map(|(_, rows)| *rows).max().unwrap_or(0);
            (table.clone(), rows.saturating_sub(lost))
        });
        kept.collect()
    }
}
