//! What a run came to.

mod facts;
mod render;
pub mod warnings;

use crate::error::Result;
use crate::num::{float, ratio, signed};
use crate::overview::{Distribution, Overview};
use crate::run::Run;
use crate::scan::ScanOptions;
use crate::stats::{Trend, change_points};
use std::collections::BTreeMap;

pub use facts::{BlockShare, BlockSplit, RunFacts, SourceFacts, Utilisation};
pub use warnings::{Evidence, Warning, WarningKind};

/// Bins that trends and changes are looked for in.
pub const TREND_BINS: usize = 256;

/// What a run came to. Serialises to JSON; [`text`](Self::text) and [`markdown`](Self::markdown) are for people.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// What the run is.
    pub run: RunFacts,
    /// Rows read, by table.
    pub rows: BTreeMap<String, u64>,
    /// Totals, by the columns' names; a total that the run does not know is not there.
    pub totals: BTreeMap<String, u64>,
    /// Requests by how they ended.
    pub finished: BTreeMap<String, u64>,
    /// Shares, each of two totals: see [`Rates`].
    pub rates: Rates,
    /// What came out per second.
    pub throughput: Throughput,
    /// How the KV blocks were divided.
    pub blocks: Option<BlockSplit>,
    /// How busy the engine was.
    pub utilisation: Utilisation,
    /// Latencies and sizes.
    pub distributions: Vec<Distribution>,
    /// Gauges and how they moved.
    pub gauges: Vec<GaugeSummary>,
    /// What a specialist would point at.
    pub warnings: Vec<Warning>,
    /// What limits the figures: an unfinished run, rows lost, parts left out.
    pub notes: Vec<String>,
}

/// Shares, each derived from two totals; `None` where the run does not know them.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Rates {
    /// Prefix-cache hits over tokens looked up, at first admission.
    pub prefix_cache_hit: Option<f64>,
    /// The same for re-admissions after preemptions.
    pub prefix_cache_hit_preempted: Option<f64>,
    /// Prompt tokens that matched beyond the last whole block, over tokens looked up.
    pub almost_hit: Option<f64>,
    /// Tokens computed again after preemptions, over all tokens computed.
    pub recomputed: Option<f64>,
    /// Preemptions per finished request.
    pub preemptions_per_request: Option<f64>,
    /// Evictions over blocks handed out.
    pub evicted: Option<f64>,
    /// Evictions of blocks that a preemption had released, over all evictions.
    pub self_inflicted: Option<f64>,
    /// Speculative tokens accepted over those proposed.
    pub spec_accepted: Option<f64>,
}

/// What came out per second of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Throughput {
    /// Requests finished.
    pub requests_per_s: Option<f64>,
    /// Prompt tokens, cached ones included.
    pub prompt_tokens_per_s: Option<f64>,
    /// Tokens generated.
    pub generation_tokens_per_s: Option<f64>,
    /// Tokens generated per second in which a step ran.
    pub generation_tokens_per_busy_s: Option<f64>,
    /// Joules per generated token.
    pub joules_per_token: Option<f64>,
}

/// A gauge over the run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct GaugeSummary {
    /// What it is.
    pub label: crate::Label,
    /// Time-weighted mean.
    pub mean: Option<f64>,
    /// The smallest value.
    pub low: Option<f64>,
    /// The largest value.
    pub high: Option<f64>,
    /// How it moved; `None` for a short run.
    pub trend: Option<Trend>,
    /// Where its level changed.
    pub changes: Vec<LevelChange>,
}

/// A change of a gauge's level.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LevelChange {
    /// When, in seconds from the start of the run's timeline.
    pub at_s: f64,
    /// When, in UTC nanoseconds since 1970.
    pub at_ns: i64,
    /// The mean before.
    pub before: f64,
    /// The mean after.
    pub after: f64,
}

/// Summarises a run.
///
/// # Errors
/// As [`Overview::read`].
pub fn summary(run: &Run, options: ScanOptions) -> Result<Summary> {
    Ok(Overview::read(run, options)?.summary())
}

/// Totals that are told, in this order of tables: the catalog's names.
const TOTALS: [&str; 24] = [
    "prompt_tokens",
    "cached_prompt_tokens",
    "external_cached_tokens",
    "computed_prompt_tokens",
    "recomputed_tokens",
    "generation_tokens",
    "prefill_tokens",
    "decode_tokens",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "prefix_cache_queries_preempted",
    "prefix_cache_hits_preempted",
    "prefix_cache_almost_hits",
    "kv_blocks_allocated",
    "kv_blocks_evicted",
    "kv_blocks_evicted_preempted",
    "kv_blocks_swapped_out",
    "kv_blocks_swapped_in",
    "preemptions_recompute",
    "preemptions_swap",
    "spec_decode_draft_tokens",
    "spec_decode_accepted_tokens",
    "energy_mj",
    "anomalies",
];

impl Overview<'_> {
    /// Puts the summary together.
    pub fn summary(&self) -> Summary {
        let gauges = self.gauges();
        let distributions = self.distributions();
        let totals = self.totals();
        let finished = self.finished();
        let mut out = Summary {
            run: self.facts(),
            rows: self
                .rows
                .iter()
                .map(|(table, rows)| ((*table).to_owned(), *rows))
                .collect(),
            rates: rates(&totals, finished.values().sum()),
            throughput: self.throughput(&totals, finished.values().sum()),
            blocks: self.block_split(),
            utilisation: self.utilisation(),
            warnings: Vec::new(),
            notes: self.notes(),
            totals,
            finished,
            distributions,
            gauges,
        };
        out.warnings = self.warnings(&out);
        out
    }

    /// The shares that the totals give.
    pub(crate) fn rates(&self) -> Rates {
        rates(&self.totals(), self.finished().values().sum())
    }

    fn totals(&self) -> BTreeMap<String, u64> {
        let found = TOTALS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.total(name)?)));
        let mut totals: BTreeMap<_, _> = found.collect();
        let lanes = self.steps.iter().flat_map(|steps| steps.lanes.values());
        let steps = lanes.map(|lane| lane.steps).reduce(|a, b| a + b);
        let samples = self.samples.as_ref();
        totals.extend(
            steps
                .or_else(|| samples?.counter("steps"))
                .map(|steps| ("steps".to_owned(), steps)),
        );
        if let (None, Some(tokens)) = (
            self.total("prefix_cache_almost_hits"),
            self.total("almost_hit_tokens"),
        ) {
            totals.insert("prefix_cache_almost_hits".to_owned(), tokens);
        }
        if let (None, Some(energy)) = (self.total("energy_mj"), self.total("device_energy_mj")) {
            totals.insert("energy_mj".to_owned(), energy);
        }
        totals
    }

    /// Requests by how they ended: from their rows, or from the counters.
    fn finished(&self) -> BTreeMap<String, u64> {
        if let Some(requests) = &self.requests {
            return requests.reasons.clone();
        }
        let reasons = ["stop", "length", "abort", "error", "other"];
        let count = |reason: &&str| self.total(&format!("requests_finished_{reason}"));
        let known = reasons
            .iter()
            .filter_map(|reason| Some(((*reason).to_owned(), count(reason)?)));
        let mut out: BTreeMap<_, _> = known.filter(|(_, count)| *count > 0).collect();
        if let (true, Some(count)) = (out.is_empty(), self.step_total("requests_finished")) {
            out.insert("unknown".to_owned(), count);
        }
        out
    }

    fn throughput(&self, totals: &BTreeMap<String, u64>, finished: u64) -> Throughput {
        let span_s = self.span().map_or(0.0, |(start, end)| signed(end - start) / 1e9);
        let per = |count: Option<u64>, seconds: f64| ratio(float(count?), seconds);
        let total = |name: &str| totals.get(name).copied();
        let busy_s = self
            .step_total("step_time_ns")
            .map_or(0.0, |busy| float(busy) / 1e9);
        let tokens = total("generation_tokens");
        Throughput {
            requests_per_s: per(Some(finished), span_s),
            prompt_tokens_per_s: per(total("prompt_tokens"), span_s),
            generation_tokens_per_s: per(tokens, span_s),
            generation_tokens_per_busy_s: per(tokens, busy_s),
            joules_per_token: total("energy_mj")
                .and_then(|energy| ratio(float(energy) / 1e3, float(tokens?))),
        }
    }

    fn gauges(&self) -> Vec<GaugeSummary> {
        let timeline = self.timeline(TREND_BINS);
        let seconds = timeline.seconds();
        let summarise = |series: &crate::overview::GaugeSeries| {
            let points = series.points(&seconds);
            let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
            let is_constant = values
                .windows(2)
                .all(|pair| (pair[0] - pair[1]).abs() < f64::EPSILON);
            let changes = if is_constant {
                Vec::new()
            } else {
                change_points(&values)
            };
            let change = |change: &crate::stats::Change| {
                let at_s = points.get(change.at).map_or(0.0, |(at, _)| *at);
                let offset = crate::num::rounded(at_s * 1e9);
                let at_ns = timeline.start_ns.saturating_add_unsigned(offset);
                LevelChange {
                    at_s,
                    at_ns,
                    before: change.before,
                    after: change.after,
                }
            };
            let (mean, low, high) = self.whole(series);
            GaugeSummary {
                label: series.label.clone(),
                mean,
                low,
                high,
                trend: if is_constant { None } else { series.trend(&seconds) },
                changes: changes.iter().map(change).collect(),
            }
        };
        timeline.gauges.iter().map(summarise).collect()
    }

    /// A gauge's mean and extremes over all the time: exact, where one engine's steps hold it.
    fn whole(&self, series: &crate::overview::GaugeSeries) -> (Option<f64>, Option<f64>, Option<f64>) {
        if let Some(found) = self.step_gauge(&series.label.name) {
            return found;
        }
        let known: Vec<f64> = series.mean.iter().flatten().copied().collect();
        let mean = ratio(known.iter().sum(), crate::num::len(known.len()));
        let low = series.low.iter().flatten().copied().reduce(f64::min);
        let high = series.high.iter().flatten().copied().reduce(f64::max);
        (mean, low, high)
    }
}

fn rates(totals: &BTreeMap<String, u64>, finished: u64) -> Rates {
    let total = |name: &str| totals.get(name).map(|count| float(*count));
    let share = |part: &str, whole: &str| ratio(total(part)?, total(whole)?);
    let sum = |a: &str, b: &str| total(a).map(|a| a + total(b).unwrap_or(0.0)).or(total(b));
    let preemptions = sum("preemptions_recompute", "preemptions_swap");
    let computed = sum("prefill_tokens", "decode_tokens");
    Rates {
        prefix_cache_hit: share("prefix_cache_hits", "prefix_cache_queries")
            .or_else(|| share("cached_prompt_tokens", "prompt_tokens")),
        prefix_cache_hit_preempted: share("prefix_cache_hits_preempted", "prefix_cache_queries_preempted"),
        almost_hit: share("prefix_cache_almost_hits", "prefix_cache_queries")
            .or_else(|| share("prefix_cache_almost_hits", "prompt_tokens")),
        recomputed: total("recomputed_tokens").and_then(|again| ratio(again, computed?)),
        preemptions_per_request: preemptions.and_then(|count| ratio(count, float(finished))),
        evicted: share("kv_blocks_evicted", "kv_blocks_allocated"),
        self_inflicted: share("kv_blocks_evicted_preempted", "kv_blocks_evicted"),
        spec_accepted: share("spec_decode_accepted_tokens", "spec_decode_draft_tokens"),
    }
}
