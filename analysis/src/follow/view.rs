//! Figures of a window, ready to draw.

use super::live::{Live, Selection};
use super::track::{BINS, Bin, Count, Engine, Gauge, Spread, Track, WIDTHS_NS};
use crate::num::{float, ratio, signed};
use crate::overview::Merged;

/// Which time is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last nanoseconds before the last row.
    Recent(u64),
    /// The whole run.
    Whole,
}

/// The last reading of each gauge, over all engines selected.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Gauges {
    /// Requests in the running batch.
    pub running: Option<f64>,
    /// Requests queued.
    pub waiting: Option<f64>,
    /// KV blocks that requests can use.
    pub blocks_total: Option<f64>,
    /// Those pinned by live requests.
    pub blocks_used: Option<f64>,
    /// Those that hold a reusable prefix and can be evicted.
    pub blocks_cached: Option<f64>,
    /// Those that hold nothing reusable.
    pub blocks_free: Option<f64>,
}

/// What happened per second in the window, and shares of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// Engine steps per second.
    pub steps: f64,
    /// Tokens sampled per second.
    pub generation_tokens: f64,
    /// Prompt tokens of admitted requests per second.
    pub prompt_tokens: f64,
    /// Requests finished per second.
    pub finished: f64,
    /// Preemptions in the window.
    pub preemptions: u64,
    /// Prefix-cache hits over look-ups in the window.
    pub hit_rate: Option<f64>,
    /// The same over the whole run.
    pub hit_rate_of_run: Option<f64>,
    /// Preemptions of the whole run.
    pub preemptions_of_run: u64,
    /// Requests finished in the whole run.
    pub finished_of_run: u64,
    /// Tokens sampled in the whole run.
    pub generation_tokens_of_run: u64,
}

/// One value per column, from old to new.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// Requests in the running batch, on average.
    pub running: Vec<Option<f64>>,
    /// Requests queued, on average.
    pub waiting: Vec<Option<f64>>,
    /// Share of the KV blocks that is pinned, on average.
    pub used: Vec<Option<f64>>,
    /// Share of the KV blocks that is pinned or cached.
    pub used_or_cached: Vec<Option<f64>>,
    /// Tokens sampled per second.
    pub generation_tokens: Vec<Option<f64>>,
    /// Prompt tokens of admitted requests per second.
    pub prompt_tokens: Vec<Option<f64>>,
    /// Prefix-cache hits over look-ups.
    pub hit_rate: Vec<Option<f64>>,
    /// Preemptions per column.
    pub preemptions: Vec<Option<f64>>,
}

/// Quantiles of a latency, in nanoseconds; `None` where so few values say nothing about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quantiles {
    /// How many values there are.
    pub count: u64,
    /// The median.
    pub p50: Option<u64>,
    /// The 90th percentile.
    pub p90: Option<u64>,
    /// The 99th percentile.
    pub p99: Option<u64>,
    /// The largest value; `None` where the source keeps none.
    pub max: Option<u64>,
}

/// A latency in the window and over the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// What it is, such as `time to first token`.
    pub name: &'static str,
    /// In the window.
    pub recent: Quantiles,
    /// Over the whole run.
    pub whole: Quantiles,
}

/// The figures of a window.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct View {
    /// When the window begins and ends.
    pub span_ns: (i64, i64),
    /// The gauges now.
    pub now: Gauges,
    /// Rates in the window.
    pub rates: Rates,
    /// The window by columns.
    pub series: Series,
    /// Latencies that are known.
    pub latencies: Vec<Latency>,
}

/// A latency's name, and the places where it may be found, the best one first.
const LATENCIES: [(&str, [Spread; 2]); 4] = [
    (
        "time to first token",
        [Spread::RequestFirstToken, Spread::SampledFirstToken],
    ),
    (
        "inter token latency",
        [Spread::SampledInterToken, Spread::SampledInterToken],
    ),
    ("e2e latency", [Spread::RequestEndToEnd, Spread::SampledEndToEnd]),
    ("queue time", [Spread::RequestQueue, Spread::SampledQueue]),
];
/// In the place of inter-token latencies, where no source has them.
const PER_TOKEN: (&str, [Spread; 2]) = (
    "time per output token",
    [Spread::RequestPerToken, Spread::RequestPerToken],
);

impl Live {
    /// Sums the window up in as many columns as are asked for, or fewer where figures are not kept as finely.
    pub fn view(&self, selection: &Selection, window: Window, columns: usize) -> View {
        let (start, end) = self.span().unwrap_or((0, 0));
        let from = match window {
            Window::Recent(ns) => end.saturating_sub(i64::try_from(ns).unwrap_or(i64::MAX)),
            Window::Whole => start,
        };
        let width = width_for(end.saturating_sub(from.max(start)));
        // A bin that began before the window is not of it.
        let from = if from > start {
            from.div_euclid(width).saturating_add(1).saturating_mul(width)
        } else {
            from
        };
        let span = (from, end.max(from.saturating_add(1)));
        let chosen = self.chosen(selection, width);
        let most = usize::try_from(span.1.saturating_sub(span.0) / width).unwrap_or(BINS);
        let columns = columns.min(most).clamp(1, BINS);
        let (rates, series) = (chosen.rates(span, start), chosen.series(span, columns));
        View {
            span_ns: span,
            now: chosen.now(),
            rates,
            series,
            latencies: chosen.latencies(span),
        }
    }

    fn chosen(&self, selection: &Selection, width_ns: i64) -> Chosen<'_> {
        let of_source = |name: &str| match selection {
            Selection::All => true,
            Selection::Source(wanted) | Selection::Engine(wanted, _) => name == wanted,
        };
        let engines = self
            .engines
            .iter()
            .filter(|((source, index), _)| match selection {
                Selection::Engine(_, wanted) => of_source(source) && index == wanted,
                _ => of_source(source),
            });
        let engines: Vec<&Engine> = engines.map(|(_, engine)| engine).collect();
        let sources = self.sources.iter().filter(|(name, _)| of_source(name));
        let sources: Vec<&Engine> = sources.map(|(_, source)| source).collect();
        Chosen {
            figures: if self.steps > 0 {
                engines.clone()
            } else {
                sources.clone()
            },
            spreads: engines.into_iter().chain(sources).collect(),
            width_ns,
        }
    }
}

/// The engines that are looked at.
struct Chosen<'a> {
    /// Those whose gauges and counts are added up.
    figures: Vec<&'a Engine>,
    /// Those whose latencies are.
    spreads: Vec<&'a Engine>,
    /// The width of the bins that are looked at.
    width_ns: i64,
}

/// The bins of a track that lie in a window.
fn within(track: &Track, (from, to): (i64, i64)) -> impl Iterator<Item = (i64, &Bin)> {
    let width = track.width_ns;
    let starts = (track.first..).map(move |number| number.saturating_mul(width));
    let bins = starts.zip(&track.bins);
    bins.filter(move |(start, _)| *start <= to && start.saturating_add(width) > from)
}

/// The finest bins that reach as far back as that.
fn width_for(length_ns: i64) -> i64 {
    let most = i64::try_from(BINS).unwrap_or(i64::MAX);
    let fits = |width: &&i64| length_ns / **width < most - 1;
    let [.., coarsest] = WIDTHS_NS;
    WIDTHS_NS.iter().find(fits).copied().unwrap_or(coarsest)
}

impl Chosen<'_> {
    fn track<'a>(&self, engine: &'a Engine) -> Option<&'a Track> {
        engine.tracks.iter().find(|track| track.width_ns == self.width_ns)
    }

    fn gauge(&self, gauge: Gauge) -> Option<f64> {
        let values = self
            .figures
            .iter()
            .filter_map(|engine| engine.last[gauge as usize]);
        values.map(|(_, value)| value).reduce(|sum, value| sum + value)
    }

    fn now(&self) -> Gauges {
        Gauges {
            running: self.gauge(Gauge::Running),
            waiting: self.gauge(Gauge::Waiting),
            blocks_total: self.gauge(Gauge::BlocksTotal),
            blocks_used: self.gauge(Gauge::BlocksUsed),
            blocks_cached: self.gauge(Gauge::BlocksCached),
            blocks_free: self.gauge(Gauge::BlocksFree),
        }
    }

    fn total(&self, count: Count) -> u64 {
        let totals = self.figures.iter().map(|engine| engine.totals[count as usize]);
        totals.fold(0, u64::saturating_add)
    }

    fn in_window(&self, span: (i64, i64), count: Count) -> u64 {
        let tracks = self.figures.iter().filter_map(|engine| self.track(engine));
        tracks
            .flat_map(|track| within(track, span))
            .map(|(_, bin)| bin.counts[count as usize])
            .fold(0, u64::saturating_add)
    }

    fn rates(&self, span: (i64, i64), start: i64) -> Rates {
        // A run that is younger than the window is not slower for that.
        let seconds = signed(span.1.saturating_sub(span.0.max(start))).max(1.0) / 1e9;
        let per_second = |count| float(self.in_window(span, count)) / seconds;
        let rate = |hits, queries| ratio(float(hits), float(queries));
        Rates {
            steps: per_second(Count::Steps),
            generation_tokens: per_second(Count::GenerationTokens),
            prompt_tokens: per_second(Count::PromptTokens),
            finished: per_second(Count::Finished),
            preemptions: self.in_window(span, Count::Preemptions),
            hit_rate: rate(
                self.in_window(span, Count::Hits),
                self.in_window(span, Count::Queries),
            ),
            hit_rate_of_run: rate(self.total(Count::Hits), self.total(Count::Queries)),
            preemptions_of_run: self.total(Count::Preemptions),
            finished_of_run: self.total(Count::Finished),
            generation_tokens_of_run: self.total(Count::GenerationTokens),
        }
    }

    fn series(&self, span: (i64, i64), columns: usize) -> Series {
        let grids: Vec<Grid> = self
            .figures
            .iter()
            .filter_map(|engine| Some(Grid::of(engine, self.track(engine)?, span, columns)))
            .collect();
        let sum = |of: &dyn Fn(&Column) -> Option<f64>| -> Vec<Option<f64>> {
            (0..columns)
                .map(|at| {
                    let values = grids.iter().filter_map(|grid| grid.0.get(at).and_then(of));
                    values.reduce(|sum, value| sum + value)
                })
                .collect()
        };
        let gauge = |gauge: Gauge| sum(&|column| column.gauges[gauge as usize]);
        let count = |count: Count| sum(&|column| column.seen.then(|| float(column.counts[count as usize])));
        let rate = |what: Count| -> Vec<Option<f64>> {
            sum(&|column| {
                (column.seen && column.seconds > 0.0)
                    .then(|| float(column.counts[what as usize]) / column.seconds)
            })
        };
        let (used, cached, total) = (
            gauge(Gauge::BlocksUsed),
            gauge(Gauge::BlocksCached),
            gauge(Gauge::BlocksTotal),
        );
        let share = |part: Option<f64>, whole: Option<f64>| {
            part.zip(whole).and_then(|(part, whole)| ratio(part, whole))
        };
        let shares = used.iter().zip(&total).map(|(used, total)| share(*used, *total));
        let both = used.iter().zip(&cached).zip(&total);
        let both = both.map(|((used, cached), total)| share(used.zip(*cached).map(|(a, b)| a + b), *total));
        let (hits, queries) = (count(Count::Hits), count(Count::Queries));
        Series {
            running: gauge(Gauge::Running),
            waiting: gauge(Gauge::Waiting),
            used: shares.collect(),
            used_or_cached: both.collect(),
            generation_tokens: rate(Count::GenerationTokens),
            prompt_tokens: rate(Count::PromptTokens),
            hit_rate: hits
                .iter()
                .zip(&queries)
                .map(|(hits, queries)| share(*hits, *queries))
                .collect(),
            preemptions: count(Count::Preemptions),
        }
    }

    fn latencies(&self, span: (i64, i64)) -> Vec<Latency> {
        let mut out = Vec::new();
        for (at, known) in LATENCIES.into_iter().enumerate() {
            let found = self.latency(known, span);
            out.extend(found.or_else(|| (at == 1).then(|| self.latency(PER_TOKEN, span)).flatten()));
        }
        out
    }

    fn latency(&self, (name, kinds): (&'static str, [Spread; 2]), span: (i64, i64)) -> Option<Latency> {
        for kind in kinds {
            let mut whole = Merged::default();
            let mut recent = Merged::default();
            for engine in &self.spreads {
                let all = engine.spreads.iter().filter(|(known, _)| *known == kind);
                all.for_each(|(_, values)| whole.merge(values.clone()));
                let bins = self
                    .track(engine)
                    .into_iter()
                    .flat_map(|track| within(track, span));
                let some = bins
                    .flat_map(|(_, bin)| &bin.spreads)
                    .filter(|(known, _)| *known == kind);
                some.for_each(|(_, values)| recent.merge(values.clone()));
            }
            if whole.count() > 0 {
                let (recent, whole) = (Quantiles::of(&recent), Quantiles::of(&whole));
                return Some(Latency { name, recent, whole });
            }
        }
        None
    }
}

impl Quantiles {
    fn of(values: &Merged) -> Self {
        let mut out = Self {
            count: values.count(),
            max: values.max(),
            ..Self::default()
        };
        for found in values.quantiles(&[0.5, 0.9, 0.99]) {
            let value = found.value.filter(|_| found.supported);
            match found.q {
                q if q > 0.95 => out.p99 = value,
                q if q > 0.7 => out.p90 = value,
                _ => out.p50 = value,
            }
        }
        out
    }
}

/// A column of a chart.
#[derive(Debug, Clone, Default)]
struct Column {
    gauges: [Option<f64>; super::track::GAUGES],
    counts: [u64; super::track::COUNTS],
    /// The time that the column covers.
    seconds: f64,
    /// Whether the run had begun by then, and the time is over.
    seen: bool,
}

/// An engine's bins, brought to the columns of a chart.
struct Grid(Vec<Column>);

impl Grid {
    fn of(engine: &Engine, track: &Track, span: (i64, i64), columns: usize) -> Self {
        let (from, to) = span;
        let length = to.saturating_sub(from).max(1);
        let count = i64::try_from(columns).unwrap_or(1);
        let mut out = vec![Column::default(); columns];
        let mut sums = vec![[(0.0, 0_u64); super::track::GAUGES]; columns];
        for (start, bin) in within(track, span) {
            // The run's first bin begins before the run.
            let offset = start.saturating_sub(from).clamp(0, length - 1);
            let at =
                usize::try_from(i128::from(offset) * i128::from(count) / i128::from(length)).unwrap_or(0);
            let (Some(column), Some(sums)) = (out.get_mut(at), sums.get_mut(at)) else {
                continue;
            };
            for (sum, (value, readings)) in sums.iter_mut().zip(&bin.gauges) {
                *sum = (sum.0 + value, sum.1 + u64::from(*readings));
            }
            // Of a bin that is not over yet, what was counted says little: it is drawn when it is.
            let end = start.saturating_add(track.width_ns);
            if end <= to {
                for (sum, count) in column.counts.iter_mut().zip(&bin.counts) {
                    *sum = sum.saturating_add(*count);
                }
                column.seconds += signed(end.saturating_sub(start.max(from))) / 1e9;
            }
        }
        hold(&mut out, &sums);
        let over = to.div_euclid(track.width_ns).saturating_mul(track.width_ns);
        let width = signed(length) / float(columns.max(1) as u64);
        for (at, column) in out.iter_mut().enumerate() {
            let start = signed(from) + width * float(at as u64);
            column.seen = start + width >= signed(engine.start_ns) && start < signed(over);
            if column.seconds <= 0.0 {
                column.seconds = width / 1e9;
            }
        }
        Self(out)
    }
}

/// Turns sums into means; a gauge holds until it is read again.
fn hold(columns: &mut [Column], sums: &[[(f64, u64); super::track::GAUGES]]) {
    let mut held = [None; super::track::GAUGES];
    for (column, sums) in columns.iter_mut().zip(sums) {
        for ((held, (sum, readings)), gauge) in held.iter_mut().zip(sums).zip(&mut column.gauges) {
            *held = ratio(*sum, float(*readings)).or(*held);
            *gauge = *held;
        }
    }
}
