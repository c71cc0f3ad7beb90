//! Distributions of a run, for tables and for plots.

use super::{Overview, requests};
use crate::metrics::Label;
use crate::num::float;
use crate::stats::quantiles::of_values;
use crate::stats::{QuantileEstimate, Values};
use std::collections::BTreeMap;

/// The quantiles of every distribution.
pub const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// What a distribution rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// A value from each row: quantiles are exact up to [`KEPT_VALUES`](crate::stats::KEPT_VALUES) rows.
    Rows,
    /// The buckets of a histogram: quantiles are known to within a bucket.
    Buckets,
    /// Count, sum and maximum alone: the format keeps no buckets.
    Totals,
}

/// A distribution over the whole run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Distribution {
    /// What it is of.
    pub label: Label,
    /// What it rests on.
    pub basis: Basis,
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// The smallest.
    pub min: Option<u64>,
    /// The largest.
    pub max: Option<u64>,
    /// The quantiles.
    pub quantiles: Vec<QuantileEstimate>,
}

impl Distribution {
    /// A quantile.
    pub fn quantile(&self, q: f64) -> Option<&QuantileEstimate> {
        self.quantiles.iter().find(|found| (found.q - q).abs() < 1e-9)
    }
}

/// A point of a cumulative distribution.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct CdfPoint {
    /// The value.
    pub value: u64,
    /// The share of values up to and including it.
    pub share: f64,
}

/// A bar of a density.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct DensityBin {
    /// The bar's lower end.
    pub low: f64,
    /// The bar's upper end.
    pub high: f64,
    /// The share of values in it.
    pub share: f64,
}

enum Found<'a> {
    Values(&'a Values),
    Merged(&'a super::merged::Merged),
}

impl Overview<'_> {
    /// Every distribution there is: from rows where a table has them, else from histograms.
    pub fn distributions(&self) -> Vec<Distribution> {
        let mut names: Vec<String> = requests::LATENCIES.map(str::to_owned).into();
        names.push("step_time_ns".to_owned());
        if let Some(samples) = &self.samples {
            names.extend(samples.columns.histograms.iter().cloned());
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names.iter().filter_map(|name| self.distribution(name)).collect()
    }

    /// One distribution.
    pub fn distribution(&self, name: &str) -> Option<Distribution> {
        let label = Label::of(self.run, name);
        Some(match self.found(name)? {
            Found::Values(values) => Distribution {
                label,
                basis: if values.is_exact() {
                    Basis::Rows
                } else {
                    Basis::Buckets
                },
                count: values.count(),
                mean: values.mean(),
                min: values.min(),
                max: values.max(),
                quantiles: of_values(values, &QUANTILES),
            },
            Found::Merged(merged) => {
                let quantiles = merged.quantiles(&QUANTILES);
                Distribution {
                    label,
                    basis: if quantiles.is_empty() {
                        Basis::Totals
                    } else {
                        Basis::Buckets
                    },
                    count: merged.count(),
                    mean: merged.mean(),
                    min: merged.min(),
                    max: merged.max(),
                    quantiles,
                }
            }
        })
    }

    /// A cumulative distribution in at most about `points` points, evenly spaced in share and closer at the upper end.
    pub fn cdf(&self, name: &str, points: usize) -> Vec<CdfPoint> {
        let filled = self.filled(name);
        let total: u64 = filled.iter().map(|(_, _, count)| count).sum();
        let mut out: Vec<CdfPoint> = Vec::new();
        let mut below = 0;
        for (_, high, count) in filled {
            below += count;
            let share = float(below) / float(total.max(1));
            let last = out.last().map_or(0.0, |point| point.share);
            // The step shrinks with what is left above, so that the tail keeps its shape.
            let step = (1.0 - last).min(0.5) * 4.0 / crate::num::len(points.max(4));
            if share - last >= step || below == total {
                out.push(CdfPoint { value: high, share });
            }
        }
        out
    }

    /// A density in bars of equal width on a logarithmic axis.
    pub fn density(&self, name: &str, bins: usize) -> Vec<DensityBin> {
        let filled = self.filled(name);
        let (Some(first), Some(last)) = (filled.first(), filled.last()) else {
            return Vec::new();
        };
        let (low, high) = (float(first.0.max(1)).ln(), float(last.1.max(2)).ln() + 1e-9);
        let bins = crate::num::len(bins.max(1));
        let width = ((high - low) / bins).max(1e-9);
        let total: u64 = filled.iter().map(|(_, _, count)| count).sum();
        let mut shares: BTreeMap<usize, f64> = BTreeMap::new();
        for (from, to, count) in &filled {
            // A wide bucket is spread over the bars that it covers.
            let (from, to) = (
                float((*from).max(1)).ln(),
                float(to.saturating_add(1).max(2)).ln(),
            );
            let (a, b) = (((from - low) / width).max(0.0), ((to - low) / width).min(bins));
            let mut at = crate::num::index(a);
            while crate::num::len(at) < b {
                let covered = b.min(crate::num::len(at) + 1.0) - a.max(crate::num::len(at));
                let share = float(*count) / float(total) * covered / (b - a).max(1e-12);
                *shares.entry(at).or_default() += share;
                at += 1;
            }
        }
        let bar = |(at, share): (usize, f64)| {
            let start = low + width * crate::num::len(at);
            DensityBin {
                low: start.exp(),
                high: (start + width).exp(),
                share,
            }
        };
        shares.into_iter().map(bar).collect()
    }

    fn filled(&self, name: &str) -> Vec<(u64, u64, u64)> {
        match self.found(name) {
            Some(Found::Values(values)) => values.filled(),
            Some(Found::Merged(merged)) => merged.filled(),
            None => Vec::new(),
        }
    }

    fn found(&self, name: &str) -> Option<Found<'_>> {
        if let Some(values) = self.requests.as_ref().and_then(|requests| requests.latency(name)) {
            return Some(Found::Values(values));
        }
        let lanes = self.steps.iter().flat_map(|steps| steps.lanes.values());
        // Several engines' step times are told from the histogram, which holds them all.
        let mut lanes = lanes.filter(|lane| name == "step_time_ns" && lane.step_time.count() > 0);
        match (lanes.next(), lanes.next()) {
            (Some(lane), None) => Some(Found::Values(&lane.step_time)),
            _ => Some(Found::Merged(self.samples.as_ref()?.histogram(name)?)),
        }
    }
}
