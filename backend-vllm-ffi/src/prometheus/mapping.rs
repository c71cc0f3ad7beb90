//! Which of vLLM's names is which metric.

use super::text::Line;
use kvlens_core::{Kind, MetricDesc, catalog};

/// Older names: the newer one, if a page can have both, and the metric.
static OLDER: &[(&str, Option<&str>, &MetricDesc)] = &[
    (
        "gpu_cache_usage_perc",
        Some("kv_cache_usage_perc"),
        &catalog::KV_CACHE_USAGE,
    ),
    (
        "gpu_prefix_cache_queries",
        Some("prefix_cache_queries"),
        &catalog::PREFIX_CACHE_QUERIES,
    ),
    (
        "gpu_prefix_cache_hits",
        Some("prefix_cache_hits"),
        &catalog::PREFIX_CACHE_HITS,
    ),
    ("num_requests_swapped", None, &catalog::REQUESTS_SWAPPED),
    // Up to 0.14 these are the times between two outputs, not a request's mean.
    (
        "time_per_output_token_seconds",
        Some("inter_token_latency_seconds"),
        &catalog::INTER_TOKEN_LATENCY,
    ),
];

/// The name that took an older one's place.
pub(super) fn newer_name(family: &str) -> Option<&'static str> {
    OLDER
        .iter()
        .find(|(name, ..)| *name == family)
        .and_then(|(_, newer, _)| *newer)
}

/// Finds the metric that a line is a sample of; `family` is the name without prefix and suffix.
pub(super) fn metric_of(family: &str, line: &Line<'_>) -> Option<&'static MetricDesc> {
    let older = OLDER
        .iter()
        .find(|(name, _, _)| *name == family)
        .map(|(_, _, metric)| *metric);
    older.or_else(|| {
        catalog::all().find(|metric| metric.names.vllm_v1.is_some_and(|name| fits(name, family, line)))
    })
}

/// Whether a name of the catalog, such as `request_success{finished_reason=stop}`, is this line's.
fn fits(name: &str, family: &str, line: &Line<'_>) -> bool {
    match name.split_once('{') {
        None => name == family,
        Some((name, label)) => {
            name == family
                && label
                    .trim_end_matches('}')
                    .split_once('=')
                    .is_some_and(|(label, value)| line.label(label) == Some(value))
        }
    }
}

/// The family's name: without vLLM's prefix, and without what the format appends to counters and histograms.
pub(super) fn family(name: &str) -> Option<(&str, Part)> {
    let name = name
        .strip_prefix("vllm:")
        .or_else(|| name.strip_prefix("vllm_"))?;
    for (suffix, part) in [
        ("_bucket", Part::Bucket),
        ("_sum", Part::Sum),
        ("_count", Part::Count),
        ("_created", Part::Created),
    ] {
        if let Some(family) = name.strip_suffix(suffix) {
            return Some((family, part));
        }
    }
    // A histogram in spite of its name, so its samples end in one of the above.
    match name.strip_suffix("_total") {
        Some(family) => Some((family, Part::Value)),
        None => Some((name, Part::Value)),
    }
}

/// What of a metric a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Value,
    Bucket,
    Sum,
    Count,
    Created,
}

impl Part {
    pub(super) fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Value => kind != Kind::Histogram,
            Self::Bucket | Self::Sum | Self::Count => kind == Kind::Histogram,
            Self::Created => false,
        }
    }
}
