//! Two or more runs side by side: what differs, by how much, how surely.
//!
//! - A metric's **shift** is the typical ratio of its values (Hodges-Lehmann on logarithms), tested by ranks: pair by
//!   pair where both runs served the same requests, else as two samples. See [`crate::stats`] for the tests.
//! - A **quantile's** ratio has its interval from the order statistics of both runs; pair by pair, from whether both
//!   requests of a pair lie on the same side of it, so that what a workload has in common cancels out.
//! - Variances are long-run ones: a queue makes neighbouring requests slow together, and tests that take them as
//!   independent would see differences everywhere.
//! - Of many tests some come out by chance. Shifts and quantiles are two families, each held to half of
//!   [`FALSE_ALARMS`] by Holm's method.
//!
//! What one run a side can't tell is how much runs differ from day to day: repeat runs for that.

mod condition;
mod load;
mod render;

use crate::error::{AnalysisError, Result};
use crate::num::{float, len, ratio};
use crate::overview::Overview;
use crate::run::Run;
use crate::scan::ScanOptions;
use crate::stats::quantiles::rank;
use crate::stats::{CONFIDENCE, Shift, batch_variance, needed, order_statistic_interval, reach_of_batches};
use crate::stats::{paired_shift, two_sample_shift, two_sided_p, z};
use crate::summary::Summary;
use load::{LATENCIES, Loaded};

pub use condition::{Condition, Outcome};

/// The chance that runs that don't differ are told to, over all metrics of a pair of runs: low enough that latencies
/// whose correlation lasts longer than a tenth of the run can show stay under 5 %.
pub const FALSE_ALARMS: f64 = 0.01;
/// A shift smaller than this is negligible, however sure.
pub const NEGLIGIBLE: f64 = 0.01;
/// The share of the requests that have to be in both runs for a comparison pair by pair.
pub const PAIRED_SHARE: f64 = 0.9;
/// Values from which a shift is tested.
pub const FEWEST_VALUES: usize = 20;
/// The quantiles that are compared.
pub const COMPARED_QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Runs against the first of them.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The first run.
    pub baseline: Side,
    /// The others, each against the first.
    pub candidates: Vec<Candidate>,
}

/// A run of a comparison.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Side {
    /// Its identifier.
    pub run_id: String,
    /// The engines of its sources.
    pub engines: Vec<String>,
    /// Figures of which there is one a run: no test says whether they differ.
    pub figures: Vec<Figure>,
    /// Warnings of its summary.
    pub warnings: usize,
    /// What limits its figures, as in its summary.
    pub notes: Vec<String>,
}

/// A figure of which there is one a run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Figure {
    /// Its name, as in conditions.
    pub name: &'static str,
    /// Its unit's symbol.
    pub unit: &'static str,
    /// Its value; `None` where the run does not know it.
    pub value: Option<f64>,
}

/// A run against the baseline.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// The run.
    pub side: Side,
    /// Requests that both runs served, if the comparison is pair by pair.
    pub paired_requests: Option<u64>,
    /// The latencies.
    pub metrics: Vec<MetricComparison>,
}

/// A latency of two runs.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MetricComparison {
    /// What it is.
    pub label: crate::Label,
    /// Its short name, as in conditions.
    pub name: &'static str,
    /// Values of the baseline and of the candidate.
    pub counts: [u64; 2],
    /// Their means.
    pub means: [Option<f64>; 2],
    /// The shift; `None` with too few values.
    pub shift: Option<Shift>,
    /// What the shift says, all tests considered.
    pub verdict: Verdict,
    /// The quantiles.
    pub quantiles: Vec<QuantileComparison>,
}

/// A quantile of two runs.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct QuantileComparison {
    /// Which.
    pub q: f64,
    /// Its value in the baseline and in the candidate.
    pub values: [u64; 2],
    /// The ratio with its interval and chance; `None` with too few values.
    pub ratio: Option<Shift>,
    /// What it says, all tests considered.
    pub verdict: Verdict,
}

/// What a test says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate's values are higher.
    Higher,
    /// The candidate's values are lower.
    Lower,
    /// They differ for sure, by less than [`NEGLIGIBLE`].
    Negligible,
    /// The interval excludes that nothing differs, but of so many tests one can by chance.
    Unsure,
    /// What is seen can be noise.
    Noise,
    /// There are too few values to say anything.
    TooFew,
}

impl Verdict {
    /// Whether a difference that matters was found.
    pub fn is_difference(self) -> bool {
        matches!(self, Self::Higher | Self::Lower)
    }
}

impl Candidate {
    /// Whether any metric or quantile differs.
    pub fn differs(&self) -> bool {
        let quantiles = self
            .metrics
            .iter()
            .flat_map(|metric| &metric.quantiles)
            .map(|quantile| quantile.verdict);
        self.metrics
            .iter()
            .map(|metric| metric.verdict)
            .chain(quantiles)
            .any(Verdict::is_difference)
    }

    /// A metric by its short name.
    pub fn metric(&self, name: &str) -> Option<&MetricComparison> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

impl Side {
    /// A figure by its name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name)?.value
    }
}

/// Compares runs with the first of them.
///
/// # Errors
/// [`AnalysisError::TooFewRuns`] for less than two, or what reading them gives.
pub fn compare(runs: &[&Run], options: ScanOptions) -> Result<Comparison> {
    let [first, others @ ..] = runs else {
        return Err(AnalysisError::TooFewRuns { given: 0 });
    };
    if others.is_empty() {
        return Err(AnalysisError::TooFewRuns { given: 1 });
    }
    let baseline = Loaded::read(first, options)?;
    let candidates = others.iter().map(|run| {
        Ok(against(
            &baseline,
            &Loaded::read(run, options)?,
            side(run, options)?,
        ))
    });
    Ok(Comparison {
        candidates: candidates.collect::<Result<_>>()?,
        baseline: side(first, options)?,
    })
}

fn side(run: &Run, options: ScanOptions) -> Result<Side> {
    let summary = Overview::read(run, options)?.summary();
    let engines = summary.run.sources.iter().map(|source| source.engine.clone());
    Ok(Side {
        run_id: run.id().to_owned(),
        engines: engines.collect(),
        figures: figures(&summary),
        warnings: summary.warnings.len(),
        notes: summary.notes,
    })
}

fn figures(summary: &Summary) -> Vec<Figure> {
    let total = |name: &str| summary.totals.get(name).map(|total| float(*total));
    let preemptions =
        total("preemptions_recompute").map(|count| count + total("preemptions_swap").unwrap_or(0.0));
    let figure = |name, unit, value| Figure { name, unit, value };
    vec![
        figure(
            "requests",
            "{request}",
            Some(float(summary.finished.values().sum())),
        ),
        figure("requests_per_s", "{request}/s", summary.throughput.requests_per_s),
        figure(
            "tokens_per_s",
            "{token}/s",
            summary.throughput.generation_tokens_per_s,
        ),
        figure(
            "prompt_tokens_per_s",
            "{token}/s",
            summary.throughput.prompt_tokens_per_s,
        ),
        figure("hit_rate", "1", summary.rates.prefix_cache_hit),
        figure("kv_usage", "1", summary.utilisation.kv_cache_usage_mean),
        figure("busy", "1", summary.utilisation.busy),
        figure("preemptions", "{count}", preemptions),
        figure("evictions", "{block}", total("kv_blocks_evicted")),
        figure("recomputed", "1", summary.rates.recomputed),
        figure("joules_per_token", "J", summary.throughput.joules_per_token),
    ]
}

/// Compares the latencies of a run with those of the baseline.
fn against(baseline: &Loaded, candidate: &Loaded, side: Side) -> Candidate {
    let pairs = baseline.pairs(candidate);
    let mut metrics: Vec<MetricComparison> = Vec::new();
    for (at, (name, column)) in LATENCIES.iter().enumerate() {
        let (a, b) = (baseline.values(at), candidate.values(at));
        if a.is_empty() || b.is_empty() {
            continue;
        }
        let paired = pairs.as_ref().map(|pairs| Loaded::paired_values(pairs, at));
        metrics.push(metric(name, column, &a, &b, paired.as_deref()));
    }
    judge(&mut metrics);
    Candidate {
        side,
        paired_requests: pairs.map(|pairs| pairs.len() as u64),
        metrics,
    }
}

fn metric(
    name: &'static str,
    column: &str,
    a: &[f64],
    b: &[f64],
    paired: Option<&[(f64, f64)]>,
) -> MetricComparison {
    let enough = a.len().min(b.len()) >= FEWEST_VALUES;
    let all_zero = a.iter().chain(b).all(|value| *value == 0.0);
    let shift = match paired.filter(|pairs| pairs.len() >= FEWEST_VALUES) {
        _ if !enough || all_zero => None,
        Some(pairs) => paired_shift(pairs),
        None => two_sample_shift(a, b),
    };
    let (sorted_a, sorted_b) = (sorted(a), sorted(b));
    let quantile = |q: f64| QuantileComparison {
        q,
        values: [at_quantile(&sorted_a, q), at_quantile(&sorted_b, q)].map(crate::num::rounded),
        ratio: quantile_ratio(q, (a, &sorted_a), (b, &sorted_b), paired),
        verdict: Verdict::TooFew,
    };
    MetricComparison {
        label: crate::Label::standard(column),
        name,
        counts: [a.len() as u64, b.len() as u64],
        means: [a, b].map(|values| ratio(values.iter().sum(), len(values.len()))),
        shift,
        verdict: if enough { Verdict::Noise } else { Verdict::TooFew },
        quantiles: COMPARED_QUANTILES.map(quantile).into(),
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn at_quantile(sorted: &[f64], q: f64) -> f64 {
    at_rank(sorted, rank(q, sorted.len() as u64))
}

fn at_rank(sorted: &[f64], rank: u64) -> f64 {
    sorted
        .get(crate::num::size(rank))
        .or(sorted.last())
        .copied()
        .unwrap_or(0.0)
}

/// The ratio of a quantile of two runs; each side comes in the order of arrival and sorted.
fn quantile_ratio(
    q: f64,
    a: (&[f64], &[f64]),
    b: (&[f64], &[f64]),
    paired: Option<&[(f64, f64)]>,
) -> Option<Shift> {
    let (log_a, log_b) = (log_quantile(q, a.0, a.1)?, log_quantile(q, b.0, b.1)?);
    let change = log_b.log - log_a.log;
    let apart = log_a.error.hypot(log_b.error);
    let error = match paired.filter(|pairs| pairs.len() as u64 >= needed(q)) {
        None => apart,
        Some(pairs) => {
            // Requests that only one run served are as in two samples.
            let share = (len(pairs.len()) / len(a.0.len().max(b.0.len()))).min(1.0);
            let together = paired_error(q, pairs, log_a, log_b);
            (share * together.powi(2) + (1.0 - share) * apart.powi(2)).sqrt()
        }
    };
    let reach = reach_of_batches() * error;
    let p = if error > 0.0 {
        two_sided_p(change / error)
    } else {
        f64::from(change == 0.0)
    };
    Some(Shift {
        ratio: change.exp(),
        low: (change - reach).exp(),
        high: (change + reach).exp(),
        p,
    })
}

/// A quantile of one run, on a logarithmic scale.
#[derive(Debug, Clone, Copy)]
struct LogQuantile {
    value: f64,
    log: f64,
    /// The standard error, were values independent.
    plain: f64,
    /// The standard error.
    error: f64,
    /// The order statistics around it.
    ends: (f64, f64),
}

/// A quantile's logarithm and its standard error: from the order statistics around it, for as many independent values
/// as the correlated ones are worth.
fn log_quantile(q: f64, values: &[f64], sorted: &[f64]) -> Option<LogQuantile> {
    let n = values.len() as u64;
    if n < needed(q) {
        return None;
    }
    let value = at_quantile(sorted, q);
    let below: Vec<f64> = values.iter().map(|other| f64::from(*other <= value)).collect();
    let inflation = (batch_variance(&below) / (q * (1.0 - q))).max(1.0).sqrt();
    let (low, high) = order_statistic_interval(q, n);
    // Where the sample is too small for an upper end, the largest value stands in for it.
    let ends = (
        at_rank(sorted, low.unwrap_or(0)),
        at_rank(sorted, high.unwrap_or(n)),
    );
    let (low, high, log) = (ends.0.max(0.5).ln(), ends.1.max(0.5).ln(), value.max(0.5).ln());
    let reach = (high - log).max(log - low).max((high - low) / 2.0);
    let plain = reach / z(0.5 + CONFIDENCE / 2.0);
    Some(LogQuantile {
        value,
        log,
        plain,
        error: inflation * plain,
        ends,
    })
}

/// The standard error of a quantile's change over pairs in the order of arrival.
///
/// A request that lies on the same side of both runs' quantiles moves both of them alike, and their difference not at all
/// (Bahadur's representation). Where values lie so sparsely that no pair changes sides, what is left is how much a pair
/// near the quantile differs by itself.
fn paired_error(q: f64, pairs: &[(f64, f64)], a: LogQuantile, b: LogQuantile) -> f64 {
    let n = len(pairs.len());
    // What a value on the wrong side moves a quantile by, times n.
    let weight = |side: LogQuantile| side.plain * (n / (q * (1.0 - q))).sqrt();
    let (of_a, of_b) = (weight(a), weight(b));
    let moved = |(x, y): &(f64, f64)| f64::from(*x <= a.value) * of_a - f64::from(*y <= b.value) * of_b;
    let moved: Vec<f64> = pairs.iter().map(moved).collect();
    let near = pairs.iter().filter(|(x, _)| (a.ends.0..=a.ends.1).contains(x));
    let logs: Vec<f64> = near.map(|(x, y)| y.max(0.5).ln() - x.max(0.5).ln()).collect();
    let mean = ratio(logs.iter().sum(), len(logs.len())).unwrap_or(0.0);
    let own = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
    let own = ratio(own, len(logs.len()) - 1.0).unwrap_or(0.0).max(0.0);
    let spacing = (of_a + of_b) / (2.0 * n);
    (batch_variance(&moved) / n + own.min(own.sqrt() * spacing)).sqrt()
}

/// Says which tests hold when all of a family are considered.
fn judge(metrics: &mut [MetricComparison]) {
    let alpha = FALSE_ALARMS / 2.0;
    let shifts: Vec<f64> = metrics
        .iter()
        .filter_map(|metric| Some(metric.shift?.p))
        .collect();
    let limit = holm(shifts, alpha);
    for metric in metrics.iter_mut() {
        if let Some(shift) = metric.shift {
            metric.verdict = verdict(&shift, limit);
        }
    }
    let all = metrics.iter().flat_map(|metric| &metric.quantiles);
    let limit = holm(
        all.filter_map(|quantile| Some(quantile.ratio?.p)).collect(),
        alpha,
    );
    for quantile in metrics.iter_mut().flat_map(|metric| &mut metric.quantiles) {
        if let Some(ratio) = quantile.ratio {
            quantile.verdict = verdict(&ratio, limit);
        }
    }
}

/// The largest p that Holm's method still takes for a difference; below 0 if none.
fn holm(mut ps: Vec<f64>, alpha: f64) -> f64 {
    ps.sort_by(f64::total_cmp);
    let count = ps.len();
    let held = ps
        .iter()
        .enumerate()
        .take_while(|(at, p)| **p <= alpha / len(count - at));
    held.last().map_or(-1.0, |(_, p)| *p)
}

fn verdict(shift: &Shift, limit: f64) -> Verdict {
    if shift.p > limit {
        let excludes = shift.low > 1.0 || shift.high < 1.0;
        return if excludes { Verdict::Unsure } else { Verdict::Noise };
    }
    match shift.ratio {
        ratio if (ratio - 1.0).abs() < NEGLIGIBLE => Verdict::Negligible,
        ratio if ratio > 1.0 => Verdict::Higher,
        _ => Verdict::Lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_without_nothing_is_no_noise() {
        let shift = |low, p| Shift {
            ratio: 1.1,
            low,
            high: 1.2,
            p,
        };
        assert_eq!(verdict(&shift(0.9, 0.2), 0.001), Verdict::Noise);
        assert_eq!(verdict(&shift(1.05, 0.01), 0.001), Verdict::Unsure);
        assert_eq!(verdict(&shift(1.05, 0.001), 0.001), Verdict::Higher);
        assert!(!Verdict::Unsure.is_difference());
    }

    #[test]
    fn holm_stops_at_the_first_that_fails() {
        // 0.01 <= 0.05 / 3, but 0.04 > 0.05 / 2: the third is not looked at.
        assert!((holm(vec![0.045, 0.01, 0.04], 0.05) - 0.01).abs() < 1e-12);
        assert!(holm(vec![0.9], 0.05) < 0.0 && holm(Vec::new(), 0.05) < 0.0);
    }
}
