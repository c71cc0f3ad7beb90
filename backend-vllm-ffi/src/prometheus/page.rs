//! A page's values.

use super::mapping::{Part, family, metric_of, newer_name};
use super::text::{Line, lines};
use crate::rows::nanoseconds;
use kvlens_core::histogram::FixedHistogram;
use kvlens_core::{Kind, MetricDesc, Unit, catalog};
use std::collections::{BTreeMap, BTreeSet};

/// What a metrics page says, added up over the engines on it.
///
/// The share of the cache in use is the engines' mean, since a page does not weigh them; blocks are summed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    numbers: BTreeMap<&'static str, f64>,
    fixed: BTreeMap<&'static str, FixedValues>,
    engines: BTreeSet<String>,
    /// When the process behind the page started: another time means that every counter began anew.
    start: Option<f64>,
}

/// A histogram as a page gives it: cumulative counts by upper bound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FixedValues {
    /// Upper bound in the metric's unit, and how many values were at most that; the last bound is infinite.
    buckets: BTreeMap<u64, u64>,
    sum: u64,
}

impl Page {
    /// Reads a page.
    ///
    /// ```
    /// use kvlens_core::catalog;
    /// use kvlens_vllm_ffi::prometheus::Page;
    /// let page = Page::parse("vllm:generation_tokens_total{engine=\"0\"} 12.0\n");
    /// assert_eq!(page.number(&catalog::GENERATION_TOKENS), Some(12.0));
    /// assert_eq!(page.number(&catalog::PROMPT_TOKENS), None);
    /// ```
    pub fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut usage_seen = 0_u32;
        let families: BTreeSet<&str> = lines(text)
            .filter_map(|line| Some(family(line.name)?.0))
            .collect();
        for line in lines(text) {
            if line.name == "process_start_time_seconds" {
                page.start = Some(line.value);
            } else if let Some((family, part)) = family(line.name)
                // Some versions show one thing under an older name and a newer one.
                && newer_name(family).is_none_or(|newer| !families.contains(newer))
            {
                page.take(family, part, &line, &mut usage_seen);
            }
        }
        if usage_seen > 1
            && let Some(usage) = page.numbers.get_mut(catalog::KV_CACHE_USAGE.name.as_ref())
        {
            *usage /= f64::from(usage_seen);
        }
        page
    }

    fn take(&mut self, family: &str, part: Part, line: &Line<'_>, usage_seen: &mut u32) {
        if family == "cache_config_info" {
            self.take_config(line);
            return;
        }
        let Some(metric) = metric_of(family, line) else {
            return;
        };
        if !part.is_of(metric.kind) {
            return;
        }
        if let Some(engine) = line.label("engine") {
            self.engines.insert(engine.to_owned());
        }
        let name = metric_name(metric);
        if metric.kind == Kind::Histogram {
            self.fixed.entry(name).or_default().take(metric, part, line);
        } else if line.value.is_finite() {
            *usage_seen += u32::from(metric.name == catalog::KV_CACHE_USAGE.name);
            *self.numbers.entry(name).or_insert(0.0) += line.value;
        }
    }

    /// The engine's configuration is in the labels. One block of V1's is the null block, which no request can have.
    fn take_config(&mut self, line: &Line<'_>) {
        let blocks = line
            .label("num_gpu_blocks")
            .and_then(|blocks| blocks.parse::<f64>().ok());
        if let Some(blocks) = blocks {
            let null_block = f64::from(u8::from(line.label("engine").is_some()));
            *self.numbers.entry("kv_blocks_total").or_insert(0.0) += (blocks - null_block).max(0.0);
        }
    }

    /// A counter's total or a gauge's value.
    pub fn number(&self, metric: &MetricDesc) -> Option<f64> {
        self.numbers.get(metric.name.as_ref()).copied()
    }

    /// A counter's total as a whole number; none below 0.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be positive; saturates"
    )]
    pub fn total(&self, metric: &MetricDesc) -> Option<u64> {
        self.number(metric)
            .filter(|total| *total >= 0.0)
            .map(|total| total.round() as u64)
    }

    /// A histogram's values since the process behind the page started.
    pub fn histogram(&self, metric: &MetricDesc) -> Option<&FixedValues> {
        self.fixed.get(metric.name.as_ref())
    }

    /// When the process behind the page started, in seconds since 1970.
    pub fn start(&self) -> Option<f64> {
        self.start
    }

    /// How many engines are on the page.
    pub fn engines(&self) -> usize {
        self.engines.len()
    }

    /// Whether there is nothing of vLLM's on the page.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.fixed.is_empty()
    }
}

impl FixedValues {
    fn take(&mut self, metric: &MetricDesc, part: Part, line: &Line<'_>) {
        let count = whole(line.value);
        match part {
            Part::Bucket => {
                let bound = line.label("le").and_then(|bound| bound.parse::<f64>().ok());
                if let Some(bound) = bound {
                    let bound = if bound.is_finite() {
                        in_unit(metric, bound)
                    } else {
                        u64::MAX
                    };
                    let bucket = self.buckets.entry(bound).or_insert(0);
                    *bucket = bucket.saturating_add(count);
                }
            }
            Part::Sum => self.sum = self.sum.saturating_add(in_unit(metric, line.value)),
            Part::Value | Part::Count | Part::Created => {}
        }
    }

    /// What was recorded since an earlier reading of the same histogram; all of it when the earlier one has more.
    pub fn since(&self, earlier: Option<&Self>) -> FixedHistogram {
        let shrunk = earlier.is_some_and(|earlier| earlier.count() > self.count());
        let earlier = earlier.filter(|_| !shrunk);
        let before = |bound: &u64| earlier.and_then(|e| e.buckets.get(bound)).copied().unwrap_or(0);
        let mut last = 0_u64;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for (bound, upto) in &self.buckets {
            let now = upto.saturating_sub(before(bound));
            counts.push(now.saturating_sub(last));
            last = last.max(now);
        }
        let bounds = self.buckets.keys().copied().filter(|bound| *bound != u64::MAX);
        let sum = self.sum.saturating_sub(earlier.map_or(0, |earlier| earlier.sum));
        FixedHistogram::new(bounds.collect(), counts, sum)
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.values().max().copied().unwrap_or(0)
    }

    /// Their sum, in the metric's unit.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// The catalog's own copy of the name.
fn metric_name(metric: &'static MetricDesc) -> &'static str {
    metric.name.as_ref()
}

fn in_unit(metric: &MetricDesc, value: f64) -> u64 {
    if metric.unit == Unit::Nanoseconds {
        // Sums of seconds may exceed what a single latency can be.
        let whole_seconds = value.max(0.0).trunc();
        let rest = nanoseconds(value.max(0.0) - whole_seconds).0.unwrap_or(0);
        whole(whole_seconds)
            .saturating_mul(1_000_000_000)
            .saturating_add(rest)
    } else {
        whole(value)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}
