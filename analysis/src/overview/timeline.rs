//! Gauges and counters over time, ready to plot.

use super::bins::Bins;
use super::{Overview, steps};
use crate::metrics::Label;
use crate::num::{float, signed};
use crate::stats::Trend;
use kvlens_core::metric::Unit;

/// A run over time, in bins of equal width.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Timeline {
    /// When the first bin begins, in UTC nanoseconds since 1970.
    pub start_ns: i64,
    /// The width of a bin.
    pub bin_ns: i64,
    /// How many bins.
    pub bins: usize,
    /// What was held.
    pub gauges: Vec<GaugeSeries>,
    /// What was counted.
    pub counters: Vec<CounterSeries>,
}

/// A gauge over time, summed over engines; averaged, if it is of a kind that can't be summed: a ratio, a temperature, a
/// frequency.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct GaugeSeries {
    /// What it is.
    pub label: Label,
    /// Time-weighted means; `None` where nothing is known.
    pub mean: Vec<Option<f64>>,
    /// The smallest value of each bin.
    pub low: Vec<Option<f64>>,
    /// The largest value of each bin.
    pub high: Vec<Option<f64>>,
}

/// A counter over time.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct CounterSeries {
    /// What is counted.
    pub label: Label,
    /// How much, in each bin.
    pub counts: Vec<u64>,
}

impl Timeline {
    /// A gauge.
    pub fn gauge(&self, name: &str) -> Option<&GaugeSeries> {
        self.gauges.iter().find(|series| series.label.name == name)
    }

    /// A counter.
    pub fn counter(&self, name: &str) -> Option<&CounterSeries> {
        self.counters.iter().find(|series| series.label.name == name)
    }

    /// The middle of each bin, in seconds from the start.
    pub fn seconds(&self) -> Vec<f64> {
        let middle = |bin: usize| (crate::num::len(bin) + 0.5) * signed(self.bin_ns) / 1e9;
        (0..self.bins).map(middle).collect()
    }

    /// A counter's rate per second.
    pub fn per_second(&self, name: &str) -> Option<Vec<f64>> {
        let series = self.counter(name)?;
        let seconds = signed(self.bin_ns) / 1e9;
        Some(
            series
                .counts
                .iter()
                .map(|count| float(*count) / seconds)
                .collect(),
        )
    }

    /// One counter over another; `None` in bins where the second stands still.
    pub fn ratio(&self, part: &str, whole: &str) -> Option<Vec<Option<f64>>> {
        let (part, whole) = (self.counter(part)?, self.counter(whole)?);
        let pairs = part.counts.iter().zip(&whole.counts);
        Some(
            pairs
                .map(|(part, whole)| crate::num::ratio(float(*part), float(*whole)))
                .collect(),
        )
    }
}

impl GaugeSeries {
    /// The points that a trend is made of: seconds and mean.
    pub(crate) fn points(&self, seconds: &[f64]) -> Vec<(f64, f64)> {
        let pairs = seconds.iter().zip(&self.mean);
        pairs.filter_map(|(at, mean)| Some((*at, (*mean)?))).collect()
    }

    /// How it moved.
    pub fn trend(&self, seconds: &[f64]) -> Option<Trend> {
        crate::stats::trend(&self.points(seconds))
    }
}

impl Overview<'_> {
    /// The run over time in at most so many bins (and [`MAX_BINS`](super::MAX_BINS)), at least half of them in use for
    /// a run of some length.
    pub fn timeline(&self, bins: usize) -> Timeline {
        let from_steps = self
            .steps
            .iter()
            .flat_map(|steps| steps.lanes.values())
            .map(|lane| &lane.bins);
        let from_samples = self
            .samples
            .iter()
            .flat_map(|samples| samples.sources.values())
            .map(|source| &source.bins);
        let (from_steps, from_samples): (Vec<_>, Vec<_>) = (from_steps.collect(), from_samples.collect());
        let mut all = aligned(&[from_steps.as_slice(), from_samples.as_slice()].concat(), bins);
        let samples = all.split_off(from_steps.len());
        let mut out = Timeline::default();
        if let Some(first) = all.first().or(samples.first()) {
            (out.start_ns, out.bin_ns, out.bins) = (first.start_ns(), first.width_ns(), first.len());
        }
        self.add(&mut out, &all, &steps::GAUGES, &steps::COUNTERS);
        if let Some(columns) = self.samples.as_ref().map(|samples| &samples.columns) {
            self.add(&mut out, &samples, &columns.gauges, &columns.counters);
        }
        out
    }

    /// Adds series that are not there yet.
    fn add<S: AsRef<str>>(&self, out: &mut Timeline, sets: &[Bins], gauges: &[S], counters: &[S]) {
        for (place, name) in gauges.iter().enumerate().filter(|_| !sets.is_empty()) {
            let label = Label::of(self.run, name.as_ref());
            let at = |wanted: &str| gauges.iter().position(|known| known.as_ref() == wanted);
            let series = match (name.as_ref(), at("kv_blocks_used"), at("kv_blocks_total")) {
                ("kv_cache_usage", Some(used), Some(total)) if sets.len() > 1 => {
                    usage(label, sets, used, total).unwrap_or_else(|label| gauge(label, sets, place))
                }
                _ => gauge(label, sets, place),
            };
            if out.gauge(name.as_ref()).is_none() && series.mean.iter().any(Option::is_some) {
                out.gauges.push(series);
            }
        }
        for (place, name) in counters.iter().enumerate().filter(|_| !sets.is_empty()) {
            let mut counts = vec![0_u64; out.bins];
            for bins in sets.iter().filter_map(|set| set.counters.get(place)) {
                counts
                    .iter_mut()
                    .zip(bins)
                    .for_each(|(count, more)| *count = count.saturating_add(*more));
            }
            let is_known = self.total(name.as_ref()).is_some();
            if out.counter(name.as_ref()).is_none() && is_known {
                out.counters.push(CounterSeries {
                    label: Label::of(self.run, name.as_ref()),
                    counts,
                });
            }
        }
    }
}

/// Usage over several pools: used blocks of all over all blocks, since an average would count a small pool like a large
/// one. The label comes back where blocks are not known.
fn usage(label: Label, sets: &[Bins], used: usize, total: usize) -> Result<GaugeSeries, Label> {
    let blocks = Label::new("", Unit::Blocks, "");
    let (used, total) = (gauge(blocks.clone(), sets, used), gauge(blocks, sets, total));
    let share = |part: &[Option<f64>]| -> Vec<Option<f64>> {
        let pairs = part.iter().zip(&total.mean);
        pairs
            .map(|(part, whole)| crate::num::ratio((*part)?, (*whole)?))
            .collect()
    };
    let out = GaugeSeries {
        label,
        mean: share(&used.mean),
        low: share(&used.low),
        high: share(&used.high),
    };
    if out.mean.iter().any(Option::is_some) {
        Ok(out)
    } else {
        Err(out.label)
    }
}

fn gauge(label: Label, sets: &[Bins], place: usize) -> GaugeSeries {
    let is_level = matches!(label.core_unit(), Unit::Ratio | Unit::Celsius | Unit::Megahertz);
    let bins = sets.first().map_or(0, Bins::len);
    let mut out = GaugeSeries {
        label,
        mean: Vec::new(),
        low: Vec::new(),
        high: Vec::new(),
    };
    for bin in 0..bins {
        let found = sets.iter().filter_map(|set| set.gauges.get(place)?.get(bin));
        let found: Vec<_> = found
            .filter_map(|bin| Some((bin.mean()?, bin.low, bin.high)))
            .collect();
        let by = if is_level {
            crate::num::len(found.len().max(1))
        } else {
            1.0
        };
        let sum = |of: fn(&(f64, f64, f64)) -> f64| {
            (!found.is_empty()).then(|| found.iter().map(of).sum::<f64>() / by)
        };
        out.mean.push(sum(|bin| bin.0));
        out.low.push(sum(|bin| bin.1));
        out.high.push(sum(|bin| bin.2));
    }
    out
}

/// Brings sets of bins to the same bins, of which there are at most so many.
fn aligned(sets: &[&Bins], at_most: usize) -> Vec<Bins> {
    let filled = || sets.iter().filter(|set| set.len() > 0);
    let mut frame = Bins::new(0, 0);
    for set in filled() {
        let mut empty = Bins::clone(set);
        (empty.gauges, empty.counters) = (Vec::new(), Vec::new());
        frame.merge(empty);
    }
    let frame = frame.at_most(at_most);
    let align = |set: &&Bins| {
        let mut out = Bins::new(set.gauges.len(), set.counters.len());
        out.frame(&frame);
        out.merge(Bins::clone(set));
        out
    };
    sets.iter().map(align).collect()
}
