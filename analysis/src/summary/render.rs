//! The summary for people.

use super::{GaugeSummary, Summary};
use crate::overview::{Basis, Distribution};
use crate::render::number::{
    count_with_unit, duration, grouped, percent, significant, spoken, utc, with_unit,
};
use crate::render::{Document, Table};
use crate::stats::QuantileEstimate;

/// Sources that are told one by one.
const TOLD_SOURCES: usize = 8;

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl Summary {
    /// Renders it for a terminal.
    pub fn text(&self) -> String {
        self.document().text()
    }

    /// Renders it as Markdown.
    pub fn markdown(&self) -> String {
        self.document().markdown()
    }

    /// Renders it as JSON.
    ///
    /// # Errors
    /// None in practice: every key is text and every number finite or null.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    pub(crate) fn document(&self) -> Document {
        let mut out = Document::default();
        out.heading(match &self.run.job {
            Some(job) => format!("Job {}", job.id),
            None => format!("Run {}", self.run.run_id),
        });
        out.table(self.facts_table());
        out.heading("Totals");
        out.table(self.totals_table());
        if self.distributions.iter().any(|found| found.count > 0) {
            out.heading("Distributions");
            out.table(self.distributions_table());
            self.legend().into_iter().for_each(|text| out.paragraph(text));
        }
        let gauges = self.gauges_table();
        if !gauges.is_empty() {
            out.heading("Gauges");
            out.table(gauges);
        }
        out.heading("Warnings");
        if self.warnings.is_empty() {
            out.paragraph("none");
        }
        out.list(self.warnings.iter().map(warning).collect());
        out.notes(&self.notes);
        out
    }

    fn facts_table(&self) -> Table {
        let mut table = Table::new(["", ""]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        if let Some(job) = &self.run.job {
            let of = job.world_size.map_or(String::new(), |size| format!(" of {size}"));
            let hosts = if job.hosts == 1 {
                "1 host".to_owned()
            } else {
                format!("{} hosts", job.hosts)
            };
            row("processes", format!("{}{of}, on {hosts}", job.processes));
        }
        for source in self.run.sources.iter().take(TOLD_SOURCES) {
            let parts = [
                Some(source.engine.clone()),
                source.engine_version.clone(),
                source.model.clone(),
            ];
            let parts = parts.into_iter().chain([source.device.clone()]).flatten();
            row(
                &format!("source {}", source.name),
                parts.collect::<Vec<_>>().join(", "),
            );
        }
        let more = self.run.sources.len().saturating_sub(TOLD_SOURCES);
        if more > 0 {
            row("", format!("and {more} more sources"));
        }
        if let Some(start) = self.run.start_ns {
            row(
                "from",
                format!("{}, {}", utc(start), duration(self.run.span_s * 1e9)),
            );
        }
        let rows = self
            .rows
            .iter()
            .map(|(table, rows)| format!("{} {table}", grouped(*rows)));
        row("rows", rows.collect::<Vec<_>>().join(", "));
        let shares = [
            ("in steps", self.utilisation.busy),
            ("on the device", self.utilisation.device),
            ("idle with requests", self.utilisation.idle_with_requests),
            ("idle without", self.utilisation.idle_without_requests),
        ];
        let shares = shares
            .iter()
            .filter_map(|(name, share)| Some(format!("{} {name}", percent((*share)?))));
        let shares: Vec<_> = shares.collect();
        if !shares.is_empty() {
            row("time", shares.join(", "));
        }
        if let Some(blocks) = self.blocks {
            let parts = [
                ("used", blocks.used),
                ("cached", blocks.cached),
                ("free", blocks.free),
            ];
            let parts = parts
                .iter()
                .filter_map(|(name, part)| Some(format!("{name} {}", percent((*part)?.share))));
            let parts = parts.collect::<Vec<_>>().join(", ");
            row(
                "KV blocks",
                format!("{}: on average {parts}", grouped(blocks.total)),
            );
        }
        table
    }

    fn totals_table(&self) -> Table {
        let mut table = Table::new(["", "", ""]);
        let finished: u64 = self.finished.values().sum();
        let reasons = self
            .finished
            .iter()
            .map(|(reason, count)| format!("{reason} {}", grouped(*count)));
        let rate = |rate: Option<f64>, what: &str| {
            rate.map_or(String::new(), |rate| format!("{} {what}", significant(rate)))
        };
        let per_s = rate(self.throughput.requests_per_s, "/s");
        let reasons = reasons.chain([per_s].into_iter().filter(|text| !text.is_empty()));
        table.row([
            "requests".to_owned(),
            grouped(finished),
            reasons.collect::<Vec<_>>().join(", "),
        ]);
        for (name, total) in &self.totals {
            let aside = match name.as_str() {
                "generation_tokens" => rate(self.throughput.generation_tokens_per_s, "/s"),
                "prompt_tokens" => rate(self.throughput.prompt_tokens_per_s, "/s"),
                "prefix_cache_hits" => share(
                    self.rates.prefix_cache_hit,
                    "of tokens looked up at first admission",
                ),
                "prefix_cache_almost_hits" => share(self.rates.almost_hit, "of tokens looked up"),
                "recomputed_tokens" => share(self.rates.recomputed, "of tokens computed"),
                "kv_blocks_evicted" => share(self.rates.evicted, "of blocks handed out"),
                "kv_blocks_evicted_preempted" => {
                    share(self.rates.self_inflicted, "of evictions: self-inflicted")
                }
                "spec_decode_accepted_tokens" => share(self.rates.spec_accepted, "of those proposed"),
                "energy_mj" => rate(self.throughput.joules_per_token, "J per generated token"),
                _ => String::new(),
            };
            let unit = crate::Label::standard(name).unit;
            table.row([spoken(name), count_with_unit(*total, &unit), aside]);
        }
        table
    }

    fn distributions_table(&self) -> Table {
        let mut table = Table::new(["", "n", "p50", "p90", "p99", "p99.9", "max"]);
        for found in self.distributions.iter().filter(|found| found.count > 0) {
            let mut cells = vec![spoken(&found.label.name), grouped(found.count)];
            for q in crate::overview::QUANTILES {
                cells.push(
                    found
                        .quantile(q)
                        .map_or(String::new(), |quantile| cell(found, quantile)),
                );
            }
            cells.push(
                found
                    .max
                    .map_or(String::new(), |max| count_with_unit(max, &found.label.unit)),
            );
            table.row(cells);
        }
        table
    }

    /// What the marks mean that are in the table of distributions.
    fn legend(&self) -> Option<String> {
        let shown = || self.distributions.iter().filter(|found| found.count > 0);
        let quantiles = || shown().flat_map(|found| &found.quantiles);
        let is_told = |quantile: &QuantileEstimate| quantile.supported && quantile.value.is_some();
        let marks = [
            (
                quantiles().any(|quantile| is_told(quantile) && quantile.low.zip(quantile.high).is_some()),
                "± is where the quantile lies at 95 % confidence if values are independent",
            ),
            (
                shown().any(|found| found.basis == Basis::Buckets && found.quantiles.iter().any(is_told)),
                "~ is known to within a histogram's bucket",
            ),
            (
                quantiles().any(|quantile| !quantile.supported),
                "n<… marks a quantile that so few values can't support",
            ),
        ];
        let used = marks.iter().filter(|(used, _)| *used).map(|(_, text)| *text);
        let used: Vec<_> = used.collect();
        (!used.is_empty()).then(|| used.join("; "))
    }

    fn gauges_table(&self) -> Table {
        let mut table = Table::new(["", "mean", "min", "max", "per hour", "level changes"]);
        for gauge in &self.gauges {
            let show =
                |value: Option<f64>| value.map_or(String::new(), |value| with_unit(value, &gauge.label.unit));
            let cells = [
                spoken(&gauge.label.name),
                show(gauge.mean),
                show(gauge.low),
                show(gauge.high),
            ];
            table.row(cells.into_iter().chain([slope(gauge), changes(gauge)]));
        }
        table
    }
}

fn share(share: Option<f64>, what: &str) -> String {
    share.map_or(String::new(), |share| format!("{} {what}", percent(share)))
}

/// A quantile and half the width of its interval.
fn cell(found: &Distribution, quantile: &QuantileEstimate) -> String {
    if !quantile.supported {
        return format!("n<{}", quantile.needed);
    }
    let unit = &found.label.unit;
    let Some(value) = quantile.value else {
        return String::new();
    };
    let about = if found.basis == Basis::Buckets { "~" } else { "" };
    let text = format!("{about}{}", count_with_unit(value, unit));
    match (quantile.low, quantile.high) {
        (Some(low), Some(high)) if value > 0 => {
            let reach = crate::num::float(high.saturating_sub(low)) / 2.0 / crate::num::float(value);
            format!("{text} ±{}", percent(reach))
        }
        _ => text,
    }
}

fn slope(gauge: &GaugeSummary) -> String {
    match gauge.trend {
        Some(trend) if trend.is_significant() => {
            let per_hour = |slope: f64| significant(slope * 3_600.0);
            let ends = (per_hour(trend.low_per_s), per_hour(trend.high_per_s));
            format!("{} ({} to {})", per_hour(trend.slope_per_s), ends.0, ends.1)
        }
        Some(_) => "steady".to_owned(),
        None => String::new(),
    }
}

fn changes(gauge: &GaugeSummary) -> String {
    const SHOWN: usize = 3;
    let show = |value: f64| with_unit(value, &gauge.label.unit);
    let shown = gauge.changes.iter().take(SHOWN).map(|change| {
        format!(
            "{} to {} at {}",
            show(change.before),
            show(change.after),
            duration(change.at_s * 1e9)
        )
    });
    let more = gauge.changes.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("{more} more"));
    shown.chain(more).collect::<Vec<_>>().join("; ")
}

fn warning(warning: &super::Warning) -> String {
    let evidence = warning.evidence.iter();
    let evidence = evidence.map(|found| format!("{} {}", found.what, with_unit(found.value, found.unit)));
    let evidence = evidence.collect::<Vec<_>>().join("; ");
    format!("{} [{}]. Try: {}", warning.message, evidence, warning.advice)
}
