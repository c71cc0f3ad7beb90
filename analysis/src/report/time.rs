//! Plots over time.

use super::plot::{Axis, Body, Colour, Lines, Made, Missing, Plot, Section, Series, Xs};
use super::read::RunData;
use crate::num::{float, len, ratio, signed};
use crate::overview::Timeline;
use crate::render::number::duration;

/// The window of a hit rate, as a share of the run.
const WINDOW: f64 = 0.02;

/// The unit of the time axis, which fits the longest of the runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clock {
    pub(super) name: &'static str,
    pub(super) ns: f64,
    /// The longest run, in this unit.
    pub(super) span: f64,
}

impl Clock {
    pub(super) fn of(runs: &[RunData<'_>]) -> Self {
        let longest = runs.iter().map(RunData::span_ns).fold(0.0, f64::max);
        let units = [
            ("h", 3_600e9, 3.0),
            ("min", 60e9, 3.0),
            ("s", 1e9, 0.5),
            ("ms", 1e6, 0.0),
        ];
        let fits = units.into_iter().find(|(_, ns, least)| longest >= ns * least);
        let (name, ns, _) = fits.unwrap_or(("ms", 1e6, 0.0));
        Self {
            name,
            ns,
            span: longest / ns,
        }
    }

    pub(super) fn axis(self) -> Axis {
        Axis {
            max: (self.span > 0.0).then_some(self.span),
            ..Axis::new("time since start", self.name)
        }
    }

    /// The middles of a timeline's bins.
    pub(super) fn xs(self, run: &RunData<'_>, timeline: &Timeline) -> Xs {
        let step = signed(timeline.bin_ns) / self.ns;
        Xs::Grid {
            start: run.since_start(timeline.start_ns) / self.ns + step / 2.0,
            step,
        }
    }
}

/// What a plot over time is made of.
pub(super) struct Frame<'r, 'a> {
    pub(super) runs: &'r [RunData<'a>],
    pub(super) clock: Clock,
}

impl Frame<'_, '_> {
    fn is_one(&self) -> bool {
        self.runs.len() == 1
    }

    /// The name and the look of one of several quantities of a run: told apart by colour where there is one run, by
    /// dashes where the colours are the runs'.
    fn look(&self, run: usize, quantity: (&str, Colour), dash: u8) -> (String, Colour, u8) {
        if self.is_one() {
            return (quantity.0.to_owned(), quantity.1, 0);
        }
        let name = self.runs.get(run).map_or("", |run| &run.name);
        (format!("{name}: {}", quantity.0), Colour::of_run(run), dash)
    }

    /// A plot of what was held, as mean with its extremes.
    fn gauges(&self, names: &[(&str, &str, Colour)], scale: impl Fn(&RunData<'_>) -> f64) -> Vec<Series> {
        let mut out = Vec::new();
        for (place, run) in self.runs.iter().enumerate() {
            let by = scale(run);
            let scaled = |values: &[Option<f64>]| {
                values
                    .iter()
                    .map(|value| value.map(|value| value * by))
                    .collect::<Vec<_>>()
            };
            for (dash, (column, name, colour)) in (0_u8..).zip(names) {
                let Some(gauge) = run.fine.gauge(column) else {
                    continue;
                };
                let (name, colour, dash) = self.look(place, (name, *colour), dash);
                let xs = self.clock.xs(run, &run.fine);
                let series = Series::new(name, colour, xs, scaled(&gauge.mean)).dashed(dash);
                out.push(series.banded(scaled(&gauge.low), scaled(&gauge.high)));
            }
        }
        out
    }

    /// A plot of what was counted, as a rate.
    fn rates(&self, names: &[(&str, &str, Colour)], per_ns: f64) -> Vec<Series> {
        let mut out = Vec::new();
        for (place, run) in self.runs.iter().enumerate() {
            for (dash, (column, name, colour)) in (0_u8..).zip(names) {
                let Some(rate) = run.rate(column, per_ns) else {
                    continue;
                };
                let (name, colour, dash) = self.look(place, (name, *colour), dash);
                let xs = self.clock.xs(run, &run.coarse);
                out.push(Series::new(name, colour, xs, rate).dashed(dash));
            }
        }
        out
    }

    fn made(&self, id: &str, title: &str, about: (Section, &str, Axis), lines: Lines) -> Plot {
        Plot {
            id: id.to_owned(),
            title: title.to_owned(),
            note: about.1.to_owned(),
            section: about.0,
            x: self.clock.axis(),
            y: about.2,
            over_time: true,
            body: Body::Lines(lines),
        }
    }
}

/// Curves with nothing around them.
pub(super) fn lines(series: Vec<Series>) -> Lines {
    Lines {
        series,
        stacked: false,
        marks: Vec::new(),
        named: false,
    }
}

fn stack(series: Vec<Series>) -> Lines {
    let bare = |series: Series| Series {
        low: Vec::new(),
        high: Vec::new(),
        ..series
    };
    Lines {
        series: series.into_iter().map(|series| bare(series).filled()).collect(),
        stacked: true,
        marks: Vec::new(),
        named: false,
    }
}

/// A plot's absence.
pub(super) fn missing(id: &str, title: &str, section: Section, reason: &str) -> Missing {
    Missing {
        id: id.to_owned(),
        title: title.to_owned(),
        reason: reason.to_owned(),
        section,
    }
}

const NO_STEPS: &str = "the run holds neither steps nor samples that tell it";

pub(super) fn plots(frame: &Frame<'_, '_>) -> Vec<Made> {
    vec![
        blocks(frame),
        queue(frame),
        throughput(frame, "prompt_throughput", "Prompt tokens", "prompt_tokens"),
        throughput(
            frame,
            "generation_throughput",
            "Generated tokens",
            "generation_tokens",
        ),
        hit_rate(frame),
        preemptions(frame),
    ]
}

fn blocks(frame: &Frame<'_, '_>) -> Made {
    const PARTS: [(&str, &str, Colour); 3] = [
        ("kv_blocks_used", "used", Colour::BLUE),
        ("kv_blocks_cached", "cached", Colour::SKY),
        ("kv_blocks_free", "free", Colour::GREY),
    ];
    let (id, title) = ("kv_blocks", "KV blocks");
    let absent = || missing(id, title, Section::Time, NO_STEPS);
    if frame.is_one() {
        let series = frame.gauges(&PARTS, |_| 1.0);
        let note = "used: pinned by live requests; cached: evictable, holds a reusable prefix; free: holds nothing reusable";
        let axis = Axis::new("pool", "blocks");
        return if series.is_empty() {
            Err(absent())
        } else {
            Ok(frame.made(id, title, (Section::Time, note, axis), stack(series)))
        };
    }
    let share = |run: &RunData<'_>| {
        let total = run.summary.blocks.map_or(0, |blocks| blocks.total);
        ratio(1.0, float(total)).unwrap_or(f64::NAN)
    };
    let series = frame.gauges(&PARTS[..2], share);
    let note = "shares of each run's pool, used and cached; the band is from the lowest to the highest value";
    let axis = Axis::share("share of the KV blocks").whole();
    if series.is_empty() {
        return Err(absent());
    }
    Ok(frame.made(id, title, (Section::Time, note, axis), lines(series)))
}

fn queue(frame: &Frame<'_, '_>) -> Made {
    const PARTS: [(&str, &str, Colour); 3] = [
        ("requests_running", "running", Colour::BLUE),
        ("requests_waiting", "waiting", Colour::ORANGE),
        ("requests_swapped", "swapped", Colour::RED),
    ];
    let (id, title) = ("queue", "Requests in the engine");
    let mut series = frame.gauges(&PARTS, |_| 1.0);
    if series.is_empty() {
        return Err(missing(id, title, Section::Time, NO_STEPS));
    }
    series.retain(|series| !series.name.ends_with("swapped") || !series.is_nothing());
    let note = "time-weighted means; the band is from the lowest to the highest value of a bin";
    let axis = Axis::new("in the engine", "requests");
    Ok(frame.made(id, title, (Section::Time, note, axis), lines(series)))
}

fn throughput(frame: &Frame<'_, '_>, id: &str, title: &str, column: &str) -> Made {
    let colour = if column == "prompt_tokens" {
        Colour::ORANGE
    } else {
        Colour::GREEN
    };
    let name = title.to_lowercase();
    let series = frame.rates(&[(column, &name, colour)], 1e9);
    if series.is_empty() {
        return Err(missing(id, title, Section::Time, NO_STEPS));
    }
    let note = if column == "prompt_tokens" {
        "counted when a prompt has been computed, what the cache held included"
    } else {
        "counted in the step that made them"
    };
    let axis = Axis::new(&name, "tokens/s");
    Ok(frame.made(id, title, (Section::Time, note, axis), lines(series)))
}

fn hit_rate(frame: &Frame<'_, '_>) -> Made {
    let (id, title) = ("hit_rate", "Prefix-cache hit rate");
    let mut series = Vec::new();
    let mut window_ns = 0.0_f64;
    for (place, run) in frame.runs.iter().enumerate() {
        let names = ("prefix_cache_hits", "prefix_cache_queries");
        let pair = run.coarse.counter(names.0).zip(run.coarse.counter(names.1));
        let Some((hits, queries)) = pair else { continue };
        let bins = crate::num::index((len(run.coarse.bins) * WINDOW).ceil()).max(1);
        window_ns = window_ns.max(len(bins) * signed(run.coarse.bin_ns));
        let rate = rolling(&hits.counts, bins)
            .zip(rolling(&queries.counts, bins))
            .map(|(hits, queries)| ratio(hits, queries))
            .collect();
        let (name, colour, dash) = frame.look(place, ("hit rate", Colour::BLUE), 0);
        let xs = frame.clock.xs(run, &run.coarse);
        series.push(Series::new(name, colour, xs, rate).dashed(dash));
    }
    if series.is_empty() || series.iter().all(|series| series.y.iter().all(Option::is_none)) {
        return Err(missing(
            id,
            title,
            Section::Time,
            "no look-up in the prefix cache was recorded",
        ));
    }
    let note = format!(
        "hits / tokens looked up at first admission, over a window of {}",
        duration(window_ns)
    );
    let axis = Axis::share("hit rate").whole();
    Ok(frame.made(id, title, (Section::Time, &note, axis), lines(series)))
}

/// Sums over a window that ends with each bin.
fn rolling(counts: &[u64], bins: usize) -> impl Iterator<Item = f64> + '_ {
    (0..counts.len()).map(move |end| {
        let window = counts.get((end + 1).saturating_sub(bins)..=end).unwrap_or(&[]);
        float(window.iter().sum())
    })
}

fn preemptions(frame: &Frame<'_, '_>) -> Made {
    let (id, title) = ("preemptions", "Preemptions");
    let parts = [
        ("preemptions_recompute", "by recompute", Colour::RED),
        ("preemptions_swap", "by swap", Colour::ORANGE),
    ];
    let series = frame.rates(&parts, 60e9);
    if series.is_empty() {
        return Err(missing(id, title, Section::Time, NO_STEPS));
    }
    let note = "requests that gave their blocks back before they were done";
    let axis = Axis::new("preemptions", "1/min");
    Ok(frame.made(id, title, (Section::Time, note, axis), lines(series)))
}

pub(super) fn step_plots(frame: &Frame<'_, '_>) -> Vec<Made> {
    vec![step_tokens(frame), busy(frame)]
}

fn step_tokens(frame: &Frame<'_, '_>) -> Made {
    let (id, title) = ("step_tokens", "Tokens computed in steps");
    let parts = [
        ("prefill_tokens", "prefill", Colour::ORANGE),
        ("decode_tokens", "decode", Colour::GREEN),
    ];
    let series = frame.rates(&parts, 1e9);
    if series.is_empty() {
        return Err(missing(id, title, Section::Steps, "the run holds no steps"));
    }
    let lines = if frame.is_one() {
        stack(series)
    } else {
        lines(series)
    };
    let note = "what steps were made of: prompt tokens computed, and tokens of decoding requests";
    let axis = Axis::new("tokens computed", "tokens/s");
    Ok(frame.made(id, title, (Section::Steps, note, axis), lines))
}

fn busy(frame: &Frame<'_, '_>) -> Made {
    let (id, title) = ("busy", "Time in steps");
    let parts = [
        ("step_time_ns", "in steps", Colour::BLUE),
        ("device_time_ns", "on the device", Colour::GREEN),
    ];
    let mut series = frame.rates(&parts, 1.0);
    if series.is_empty() {
        return Err(missing(id, title, Section::Steps, "the run holds no steps"));
    }
    // Several engines side by side work for more than all of the time.
    for value in series.iter_mut().flat_map(|series| &mut series.y).flatten() {
        value.0 = value.0.min(1.0);
    }
    let note = "the rest is time between steps, with or without requests";
    let axis = Axis::share("share of time").whole();
    Ok(frame.made(id, title, (Section::Steps, note, axis), lines(series)))
}

pub(super) fn turnover(frame: &Frame<'_, '_>) -> Made {
    let (id, title) = ("block_turnover", "Blocks handed out and evicted");
    let parts = [
        ("kv_blocks_allocated", "handed out", Colour::BLUE),
        ("kv_blocks_evicted", "evicted", Colour::RED),
    ];
    let series = frame.rates(&parts, 1e9);
    if series.is_empty() {
        return Err(missing(id, title, Section::Cache, NO_STEPS));
    }
    let note = "evicted: a block whose reusable content was thrown away to be handed out again";
    let axis = Axis::new("turnover", "blocks/s");
    Ok(frame.made(id, title, (Section::Cache, note, axis), lines(series)))
}
