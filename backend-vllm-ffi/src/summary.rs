//! Figures as JSON, for a caller that reads them back.
//!
//! A counter is a whole number, a gauge a number, a histogram an object with its count, its sum and percentiles; the
//! units are the metrics' own. What is not known is not there.

use crate::feed::{Feed, Look};
use crate::figures::Origin;
use crate::metrics::{STANDARD, standard};
use kvlens_core::collector::{RunReport, SourceSummary};
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::source::MetricId;
use kvlens_core::{RunSchema, Value};
use serde_json::{Map, Value as Json, json};

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
];

/// What is known now, without asking the collector.
pub(crate) fn snapshot(feed: &Feed, problems: &[String], busy: u64) -> String {
    let mut metrics = Map::new();
    let mut histogram = SparseHistogram::default();
    for (at, metric) in standard().enumerate() {
        if !feed.shared.knows(MetricId(at)) {
            continue;
        }
        if let Some(value) = look(feed, at, &mut histogram) {
            metrics.insert(metric.name.to_string(), value);
        }
    }
    let mut custom = Map::new();
    for at in STANDARD.. {
        let value = match feed.look(at) {
            Look::Nothing => break,
            _ => look(feed, at, &mut histogram),
        };
        if let Some(value) = value.filter(|_| feed.shared.knows(MetricId(at))) {
            custom.insert((at - STANDARD).to_string(), value);
        }
    }
    json!({
        "metrics": metrics,
        "custom": custom,
        "served_by": feed.shared.origin().map(Origin::name),
        "problems": problems,
        "busy": busy,
    })
    .to_string()
}

fn look(feed: &Feed, at: usize, histogram: &mut SparseHistogram) -> Option<Json> {
    match feed.look(at) {
        Look::Counter(total) => Some(json!(total)),
        Look::Gauge(gauge) => gauge.value().map(|value| json!(value)),
        Look::Histogram(view) => {
            view.snapshot(histogram);
            match feed.pages_fixed(at) {
                Some(fixed) if histogram.is_empty() => Some(coarse(fixed)),
                _ => Some(fine(histogram)),
            }
        }
        Look::Nothing => None,
    }
}

/// Each source's figures up to its last sample.
pub(crate) fn running(schema: &RunSchema, sources: &[SourceSummary], problems: &[String]) -> String {
    json!({
        "run_id": schema.run.run_id,
        "closed": false,
        "sources": sources.iter().map(source).collect::<Vec<_>>(),
        "problems": problems,
    })
    .to_string()
}

/// What a closed run came to.
pub(crate) fn closed(report: &RunReport) -> String {
    let lost: u64 = report.rows_lost.values().sum();
    json!({
        "run_id": report.schema.run.run_id,
        "closed": true,
        "sources": report.sources.iter().map(source).collect::<Vec<_>>(),
        "rows": report.rows,
        "rows_lost": lost,
        "problems": report.problems,
    })
    .to_string()
}

fn source(summary: &SourceSummary) -> Json {
    let mut metrics = Map::new();
    for (metric, value) in summary.values() {
        let value = match value {
            Value::Counter(total) => json!(total),
            Value::Gauge(value) => json!(value),
            Value::Histogram(histogram) => fine(histogram),
            Value::Fixed(histogram) => coarse(histogram),
            _ => continue,
        };
        metrics.insert(metric.name.to_string(), value);
    }
    json!({
        "name": summary.name(),
        "served_by": summary.sample().served_by.as_deref(),
        "metrics": metrics,
    })
}

fn fine(histogram: &SparseHistogram) -> Json {
    let mut out = Map::new();
    out.insert("count".into(), json!(histogram.count()));
    out.insert("sum".into(), json!(histogram.sum()));
    out.insert("min".into(), json!(histogram.min()));
    out.insert("max".into(), json!(histogram.max()));
    for (name, q) in QUANTILES {
        out.insert(name.into(), json!(histogram.quantile(q).map(|at| at.value)));
    }
    Json::Object(out)
}

/// Fixed boundaries give a range, not a value: both ends are told.
fn coarse(histogram: &FixedHistogram) -> Json {
    let mut out = Map::new();
    out.insert("count".into(), json!(histogram.count()));
    out.insert("sum".into(), json!(histogram.sum()));
    out.insert("fixed".into(), json!(true));
    for (name, q) in QUANTILES {
        let range = histogram.quantile(q).map(|at| [at.low, at.high]);
        out.insert(name.into(), json!(range));
    }
    Json::Object(out)
}
