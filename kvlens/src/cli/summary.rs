//! What a run came to, for people and for programs.

use super::number::{duration, grouped, percent};
use comfy_table::{CellAlignment, Table, presets};
use kvlens_core::collector::{RunReport, SourceSummary};
use kvlens_core::histogram::Quantile;
use kvlens_core::{MetricDesc, Unit, Value, catalog};
use kvlens_native::replay::ReplayTotals;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Quantiles that are shown, and the fewest values of which the sample says something about them: with fewer, the
/// chance that the true quantile lies above every value seen is over 5 % (`q^n > 0.05`).
const QUANTILES: [(&str, f64, u64); 3] = [("p50", 0.5, 5), ("p90", 0.9, 29), ("p99", 0.99, 299)];

/// The histograms of the latency table.
static LATENCIES: [&MetricDesc; 8] = [
    &catalog::TIME_TO_FIRST_TOKEN,
    &catalog::INTER_TOKEN_LATENCY,
    &catalog::TIME_PER_OUTPUT_TOKEN,
    &catalog::E2E_LATENCY,
    &catalog::QUEUE_TIME,
    &catalog::PREFILL_TIME,
    &catalog::DECODE_TIME,
    &catalog::STEP_TIME,
];

/// What a run came to.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Null when nothing was recorded.
    run_id: Option<String>,
    directory: Option<String>,
    replay: Replayed,
    sources: Vec<Source>,
    /// Rows that every format of the run holds, by table.
    rows: BTreeMap<String, u64>,
    /// Rows that a format does not hold, by table, the most of any.
    rows_lost: BTreeMap<String, u64>,
    problems: Vec<String>,
}

/// What a replay did, recorded or not.
#[derive(Debug, Serialize)]
pub(super) struct Replayed {
    requests_finished: u64,
    requests_aborted: u64,
    requests_refused: u64,
    steps: u64,
    prompt_tokens: u64,
    generation_tokens: u64,
    preemptions: u64,
    /// The median of all steps, recorded or not.
    step_time_p50_ns: Option<u64>,
    /// Whether the device's clock is virtual.
    simulated: bool,
    device_clock_ns: u64,
    wall_clock_ns: u64,
    interrupted: bool,
}

impl Replayed {
    pub(super) fn new(
        totals: &ReplayTotals,
        step_time_p50_ns: Option<u64>,
        wall: Duration,
        simulated: bool,
    ) -> Self {
        Self {
            requests_finished: totals.finished,
            requests_aborted: totals.aborted,
            requests_refused: totals.refused,
            steps: totals.steps,
            prompt_tokens: totals.prompt_tokens,
            generation_tokens: totals.generation_tokens,
            preemptions: totals.preemptions,
            step_time_p50_ns,
            simulated,
            device_clock_ns: totals.end_ns.saturating_sub(totals.start_ns),
            wall_clock_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
            interrupted: totals.cancelled,
        }
    }

    fn text(&self) -> String {
        let interrupted = if self.interrupted { "interrupted: " } else { "" };
        let counts = [
            self.requests_finished,
            self.prompt_tokens,
            self.generation_tokens,
            self.steps,
        ];
        let [requests, prompt, generated, steps] = counts.map(grouped);
        let wall = duration(self.wall_clock_ns);
        let time = if self.simulated {
            format!(
                "{} of simulated time, computed in {wall}",
                duration(self.device_clock_ns)
            )
        } else {
            wall
        };
        format!(
            "{interrupted}{requests} requests, {prompt} prompt tokens, {generated} generated tokens in {steps} steps: \
             {time}\n"
        )
    }
}

#[derive(Debug, Serialize)]
struct Source {
    name: String,
    engine: String,
    device: Option<String>,
    model: Option<String>,
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, f64>,
    /// Hits / queries at first admission, over the run.
    prefix_cache_hit_rate: Option<f64>,
    distributions: BTreeMap<String, Distribution>,
    #[serde(skip)]
    shown: Vec<(&'static MetricDesc, Distribution)>,
}

/// A histogram of the whole run. A quantile that the sample is too small to support is null.
#[derive(Debug, Clone, Default, Serialize)]
struct Distribution {
    count: u64,
    sum: u64,
    mean: Option<f64>,
    min: Option<u64>,
    max: Option<u64>,
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
}

impl Summary {
    /// Sums up; the problems are those of the replay, which the report of a recorded run has too.
    pub(super) fn new(
        replay: Replayed,
        report: Option<&RunReport>,
        directory: Option<&Path>,
        problems: Vec<String>,
    ) -> Self {
        let sources = |report: &RunReport| {
            report
                .sources
                .iter()
                .map(|source| Source::new(report, source))
                .collect()
        };
        Self {
            run_id: report.map(|report| report.schema.run.run_id.clone()),
            directory: directory.map(|directory| directory.display().to_string()),
            replay,
            sources: report.map(sources).unwrap_or_default(),
            rows_lost: report.map(rows_lost).unwrap_or_default(),
            rows: report.map(RunReport::rows_kept).unwrap_or_default(),
            problems: report.map_or(problems, |report| report.problems.clone()),
        }
    }

    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether something that should have been recorded was not.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.problems.is_empty()
    }

    pub(super) fn json(&self) -> String {
        // Every map key is text and every number finite or null, so this can't fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    pub(super) fn text(&self) -> String {
        let mut out = self.replay.text();
        for source in &self.sources {
            out.push('\n');
            out.push_str(&source.text());
        }
        let rows = self.rows.iter().filter(|(_, rows)| **rows > 0);
        let rows: Vec<_> = rows
            .map(|(table, rows)| format!("{} {table}", grouped(*rows)))
            .collect();
        if let Some(directory) = self.directory.as_deref() {
            let rows = if rows.is_empty() {
                "nothing".to_owned()
            } else {
                rows.join(", ")
            };
            out.push_str(&format!("\nrecorded  {rows}\n          in {directory}\n"));
        }
        for problem in &self.problems {
            out.push_str(&format!("problem   {problem}\n"));
        }
        out
    }
}

/// Rows that were handed to the formats and that one of them does not hold.
fn rows_lost(report: &RunReport) -> BTreeMap<String, u64> {
    let kept = report.rows_kept();
    let lost = |(table, rows): (&String, &u64)| {
        let kept = kept.get(table).copied().unwrap_or(0);
        (rows.saturating_sub(kept) > 0).then(|| (table.clone(), rows.saturating_sub(kept)))
    };
    report.rows.iter().filter_map(lost).collect()
}

impl Source {
    fn new(report: &RunReport, summary: &SourceSummary) -> Self {
        let info = report
            .schema
            .sources
            .iter()
            .find(|info| info.name == summary.name());
        let (mut counters, mut gauges, mut distributions) =
            <(BTreeMap<_, _>, BTreeMap<_, _>, BTreeMap<_, _>)>::default();
        for (metric, value) in summary.values() {
            let name = metric.name.to_string();
            match value {
                Value::Counter(total) => drop(counters.insert(name, *total)),
                Value::Gauge(now) => drop(gauges.insert(name, *now)),
                histogram => drop(distributions.insert(name, Distribution::new(histogram))),
            }
        }
        let known = |metric: &'static MetricDesc| Some((metric, distributions.get(&*metric.name)?.clone()));
        let shown = LATENCIES
            .into_iter()
            .filter_map(known)
            .filter(|(_, found)| found.count > 0)
            .collect();
        let queries = summary.counter(&catalog::PREFIX_CACHE_QUERIES);
        Self {
            name: summary.name().to_owned(),
            engine: info.map(|info| info.engine.clone()).unwrap_or_default(),
            device: info.and_then(|info| info.device.clone()),
            model: info.and_then(|info| info.model.clone()),
            prefix_cache_hit_rate: ratio(summary.counter(&catalog::PREFIX_CACHE_HITS), queries),
            counters,
            gauges,
            distributions,
            shown,
        }
    }

    fn text(&self) -> String {
        let about = [Some(self.name.clone()), self.device.clone(), self.model.clone()];
        let mut out = format!(
            "{}\n\n",
            about.into_iter().flatten().collect::<Vec<_>>().join(", ")
        );
        if self.counter("steps").is_none() {
            // A device beside an engine: what it was at last.
            let gauges = self.gauges.iter().map(|(name, now)| format!("  {name} {now}\n"));
            out.extend(gauges);
            return out;
        }
        let mut facts = Table::new();
        facts.load_style(presets::NOTHING);
        self.requests(&mut facts);
        self.tokens(&mut facts);
        self.blocks(&mut facts);
        out.push_str(&format!(
            "{}\n\n{}\n",
            facts.trim_fmt(),
            self.latencies().trim_fmt()
        ));
        out.push_str(
            "quantiles are within 0.4 %; \"n<299\" marks a quantile that so few values can't support\n",
        );
        out
    }

    fn requests(&self, facts: &mut Table) {
        let reasons = ["stop", "length", "abort", "error", "other"];
        let finished: Vec<_> = reasons
            .iter()
            .filter_map(|reason| Some((reason, self.counter(&format!("requests_finished_{reason}"))?)))
            .filter(|(_, requests)| *requests > 0)
            .collect();
        let total: u64 = finished.iter().map(|(_, requests)| requests).sum();
        let parts: Vec<_> = finished
            .iter()
            .map(|(reason, n)| format!("{reason} {}", grouped(*n)))
            .collect();
        facts.add_row(["requests", &grouped(total), &parts.join(", ")]);
        if let Some(steps) = self.counter("steps") {
            facts.add_row(["steps", &grouped(steps), ""]);
        }
        let recompute = self.counter("preemptions_recompute").unwrap_or(0);
        let swap = self.counter("preemptions_swap").unwrap_or(0);
        let how = format!("recompute {}, swap {}", grouped(recompute), grouped(swap));
        let how = if recompute + swap > 0 { how } else { String::new() };
        facts.add_row(["preemptions", &grouped(recompute + swap), &how]);
    }

    fn tokens(&self, facts: &mut Table) {
        if let Some(prompt) = self.counter("prompt_tokens") {
            let computed = self
                .counter("computed_prompt_tokens")
                .map(|n| format!("computed {}", grouped(n)));
            facts.add_row(["prompt tokens", &grouped(prompt), &computed.unwrap_or_default()]);
        }
        if let (Some(hits), Some(rate)) = (self.counter("prefix_cache_hits"), self.prefix_cache_hit_rate) {
            let of = format!("{} of the tokens looked up at first admission", percent(rate));
            facts.add_row(["prefix-cache hits", &grouped(hits), &of]);
        }
        if let Some(generated) = self.counter("generation_tokens") {
            let again = self.counter("recomputed_tokens").filter(|n| *n > 0);
            let again = again.map(|n| format!("and {} computed again after preemptions", grouped(n)));
            facts.add_row([
                "generated tokens",
                &grouped(generated),
                &again.unwrap_or_default(),
            ]);
        }
    }

    fn blocks(&self, facts: &mut Table) {
        let gauge = |name: &str| {
            self.gauges
                .get(name)
                .map(|now| format!("{now:.0}").parse().unwrap_or(0))
        };
        let Some(total) = gauge("kv_blocks_total") else {
            return;
        };
        let parts = ["used", "cached", "free"].map(|part| {
            let blocks = gauge(&format!("kv_blocks_{part}"));
            blocks.map_or_else(
                || format!("{part} unknown"),
                |blocks| format!("{part} {}", grouped(blocks)),
            )
        });
        facts.add_row([
            "KV blocks",
            &grouped(total),
            &format!("at the end: {}", parts.join(", ")),
        ]);
        if let Some(allocated) = self.counter("kv_blocks_allocated") {
            let evicted = grouped(self.counter("kv_blocks_evicted").unwrap_or(0));
            facts.add_row([
                "blocks handed out",
                &grouped(allocated),
                &format!("evicting a cached one {evicted} times"),
            ]);
        }
        for column in [1] {
            if let Some(column) = facts.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }

    fn latencies(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["latency", "n", "p50", "p90", "p99", "max"]);
        for (metric, found) in &self.shown {
            let name = metric.name.trim_end_matches("_ns").replace('_', " ");
            let quantiles = [found.p50, found.p90, found.p99].into_iter().zip(QUANTILES);
            let quantiles =
                quantiles.map(|(value, (_, _, enough))| cell(metric, value, &format!("n<{enough}")));
            let row = [name, grouped(found.count)].into_iter().chain(quantiles);
            table.add_row(row.chain([cell(metric, found.max, "")]));
        }
        for column in 1..6 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn counter(&self, name: &str) -> Option<u64> {
        self.counters.get(name).copied()
    }
}

impl Distribution {
    fn new(value: &Value) -> Self {
        let (count, sum, min, max) = match value {
            Value::Histogram(found) => (found.count(), found.sum(), found.min(), found.max()),
            Value::Fixed(found) => (found.count(), found.sum(), None, None),
            _ => return Self::default(),
        };
        let quantile = |(_, q, enough): (&str, f64, u64)| -> Option<u64> {
            let found: Option<Quantile> = match value {
                Value::Histogram(found) => found.quantile(q),
                Value::Fixed(found) => found.quantile(q),
                _ => None,
            };
            found.filter(|_| count >= enough).map(|found| found.value)
        };
        let [p50, p90, p99] = QUANTILES.map(quantile);
        Self {
            count,
            sum,
            mean: mean(sum, count),
            min,
            max,
            p50,
            p90,
            p99,
        }
    }
}

fn cell(metric: &MetricDesc, value: Option<u64>, missing: &str) -> String {
    match value {
        Some(ns) if metric.unit == Unit::Nanoseconds => duration(ns),
        Some(number) => grouped(number),
        None => missing.to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
fn mean(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

fn ratio(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    mean(part?, whole?)
}
