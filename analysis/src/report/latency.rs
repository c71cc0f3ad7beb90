//! Plots of latencies: their density, their distribution, and how they went over time.

use super::plot::{Axis, Body, Colour, Heat, Lines, Made, Mark, Plot, Section, Series, Short, Xs};
use super::read::RunData;
use super::time::{Frame, lines, missing};
use crate::heatmap::HeatMap;
use crate::num::{float, signed};
use crate::render::number::duration;

/// Bars of a density.
const BARS: usize = 72;
/// Points of a cumulative distribution.
const POINTS: usize = 240;
/// Quantiles that are marked.
const MARKED: [f64; 3] = [0.5, 0.9, 0.99];
/// What is shorter than this counts as this: no latency of interest is, and a logarithmic axis has no zero.
const SHORTEST_NS: f64 = 1_000.0;
/// How much wider than that the bar is that holds it.
const SHORTEST_BAR: f64 = 1.25;

/// A latency that is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    id: &'static str,
    column: &'static str,
    title: &'static str,
    /// What its heat map counts, where rows don't hold it itself.
    heat: (&'static str, &'static str),
    section: Section,
    counted: &'static str,
}

const fn of_requests(id: &'static str, column: &'static str, title: &'static str) -> Shown {
    Shown {
        id,
        column,
        title,
        heat: (column, title),
        section: Section::Latency,
        counted: "requests",
    }
}

/// Latencies of requests, in the order in which they are shown.
const REQUESTS: [Shown; 5] = [
    of_requests("ttft", "time_to_first_token_ns", "Time to first token"),
    Shown {
        heat: (
            "inter_token_latency_max_ns",
            "Longest inter-token latency of a request",
        ),
        ..of_requests("itl", "inter_token_latency_ns", "Inter-token latency")
    },
    of_requests("tpot", "time_per_output_token_ns", "Time per output token"),
    of_requests("e2e", "e2e_latency_ns", "End-to-end latency"),
    of_requests("queue_time", "queue_time_ns", "Queue time"),
];

const STEP_TIME: Shown = Shown {
    id: "step_time",
    column: "step_time_ns",
    title: "Step time",
    heat: ("step_time_ns", "Step time"),
    section: Section::Steps,
    counted: "steps",
};

pub(super) fn plots(frame: &Frame<'_, '_>) -> Vec<Made> {
    REQUESTS
        .iter()
        .flat_map(|shown| each_way(frame, *shown))
        .collect()
}

/// The plots of a latency.
fn each_way(frame: &Frame<'_, '_>, shown: Shown) -> [Made; 3] {
    if is_zero(frame, shown) {
        let reason = format!("`{}` was 0 every time", shown.column);
        return ["density", "cdf", "heat"].map(|what| lacking(shown, what, &reason));
    }
    [density(frame, shown), cdf(frame, shown), over_time(frame, shown)]
}

/// Whether there are values, and all of them are 0: a logarithmic axis has no place for them.
fn is_zero(frame: &Frame<'_, '_>, shown: Shown) -> bool {
    let found = frame
        .runs
        .iter()
        .filter_map(|run| run.overview.distribution(shown.column));
    let mut longest = found
        .filter(|found| found.count > 0)
        .map(|found| found.max)
        .peekable();
    longest.peek().is_some() && longest.all(|max| max == Some(0))
}

pub(super) fn step_plots(frame: &Frame<'_, '_>) -> Vec<Made> {
    each_way(frame, STEP_TIME).into()
}

/// Heat maps of each of several runs: they can't be laid over each other.
pub(super) fn heat_maps_by_run(frame: &Frame<'_, '_>) -> Vec<Plot> {
    let shown = [REQUESTS[0], REQUESTS[3], STEP_TIME];
    let mut out = Vec::new();
    for shown in shown {
        for (place, run) in frame.runs.iter().enumerate() {
            if let Some(map) = run.heat_map(shown.heat.0) {
                let mut plot = heat(frame, run, shown, map);
                plot.id = format!("{}_heat_{}", shown.id, place + 1);
                plot.title = format!("{}, {}", shown.heat.1, run.name);
                out.push(plot);
            }
        }
    }
    out
}

fn colour(frame: &Frame<'_, '_>, run: usize) -> Colour {
    if frame.runs.len() == 1 {
        Colour::BLUE
    } else {
        Colour::of_run(run)
    }
}

/// Marks at the quantiles that the values support.
fn marks(frame: &Frame<'_, '_>, shown: Shown) -> Vec<Mark> {
    let mut out = Vec::new();
    for (place, run) in frame.runs.iter().enumerate() {
        let Some(found) = run.overview.distribution(shown.column) else {
            continue;
        };
        for q in MARKED {
            let supported = found.quantile(q).filter(|quantile| quantile.supported);
            if let Some(value) = supported.and_then(|quantile| quantile.value) {
                let label = format!("p{} {}", q * 100.0, duration(float(value)));
                out.push(Mark {
                    label,
                    colour: colour(frame, place),
                    x: float(value).max(SHORTEST_NS),
                });
            }
        }
    }
    out
}

fn plot(shown: Shown, what: &str, note: &str, y: Axis, body: Lines) -> Plot {
    Plot {
        id: format!("{}_{what}", shown.id),
        title: shown.title.to_owned(),
        note: note.to_owned(),
        section: shown.section,
        x: Axis::duration(&shown.title.to_lowercase()),
        y,
        over_time: false,
        body: Body::Lines(body),
    }
}

fn absent(shown: Shown, what: &str) -> Made {
    let reason = format!("no value of `{}` was recorded", shown.column);
    lacking(shown, what, &reason)
}

fn lacking(shown: Shown, what: &str, reason: &str) -> Made {
    Err(missing(
        &format!("{}_{what}", shown.id),
        shown.title,
        shown.section,
        reason,
    ))
}

fn density(frame: &Frame<'_, '_>, shown: Shown) -> Made {
    let mut series = Vec::new();
    for (place, run) in frame.runs.iter().enumerate() {
        let bars = run.overview.density(shown.column, BARS);
        let points = outline(&bars);
        if !points.is_empty() {
            let name = run.name.clone();
            series.push(
                Series::of_points(name, colour(frame, place), points)
                    .stepped()
                    .filled(),
            );
        }
    }
    if series.is_empty() {
        return absent(shown, "density");
    }
    let note = "density on a logarithmic axis";
    let axis = Axis::new("density", "share per decade");
    let body = Lines {
        marks: marks(frame, shown),
        ..lines(series)
    };
    Ok(plot(shown, "density", note, axis, body))
}

/// The outline of bars, as steps: empty ones between filled ones included.
fn outline(bars: &[crate::overview::DensityBin]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut end: Option<f64> = None;
    let mut carried = 0.0;
    for bar in bars {
        if bar.high <= SHORTEST_NS {
            carried += bar.share;
            continue;
        }
        let low = bar.low.max(SHORTEST_NS);
        if end.is_some_and(|end| low > end * 1.000_001) {
            points.push((end.unwrap_or(low), 0.0));
        }
        points.push((low, (bar.share + carried) / (bar.high / low).log10().max(1e-9)));
        carried = 0.0;
        end = Some(bar.high);
    }
    if carried > 0.0 {
        // All of it is shorter than what is told apart.
        let high = SHORTEST_NS * SHORTEST_BAR;
        points.push((SHORTEST_NS, carried / SHORTEST_BAR.log10()));
        end = Some(high);
    }
    points.extend(end.map(|end| (end, 0.0)));
    points
}

fn cdf(frame: &Frame<'_, '_>, shown: Shown) -> Made {
    let mut series = Vec::new();
    for (place, run) in frame.runs.iter().enumerate() {
        let points = run.overview.cdf(shown.column, POINTS);
        let points = points
            .iter()
            .map(|point| (float(point.value).max(SHORTEST_NS), point.share));
        let points: Vec<_> = points.collect();
        if !points.is_empty() {
            series.push(Series::of_points(run.name.clone(), colour(frame, place), points).stepped());
        }
    }
    if series.is_empty() {
        return absent(shown, "cdf");
    }
    let note = format!("share of {} that took at most so long", what_is_counted(shown));
    let body = Lines {
        marks: marks(frame, shown),
        ..lines(series)
    };
    let axis = Axis::share(&format!("share of {}", what_is_counted(shown))).whole();
    Ok(plot(shown, "cdf", &note, axis, body))
}

fn what_is_counted(shown: Shown) -> &'static str {
    if shown.id == "itl" {
        "tokens"
    } else {
        shown.counted
    }
}

fn over_time(frame: &Frame<'_, '_>, shown: Shown) -> Made {
    if let [run] = frame.runs {
        return match run.heat_map(shown.heat.0) {
            Some(map) => Ok(heat(frame, run, shown, map)),
            None => absent(shown, "heat"),
        };
    }
    let mut series = Vec::new();
    for (place, run) in frame.runs.iter().enumerate() {
        let Some(map) = run.heat_map(shown.heat.0) else {
            continue;
        };
        for (dash, q) in (0_u8..).zip([0.5, 0.99]) {
            let middle = |row: (u64, u64)| {
                (float(row.0.max(1)) * float(row.1.max(1)))
                    .sqrt()
                    .max(SHORTEST_NS)
            };
            let values = map.quantile(q).into_iter().map(|row| row.map(middle)).collect();
            let step = signed(map.column_ns) / frame.clock.ns;
            let start = run.since_start(map.start_ns) / frame.clock.ns + step / 2.0;
            let name = format!("{}: p{}", run.name, q * 100.0);
            let xs = Xs::Grid { start, step };
            series.push(Series::new(name, Colour::of_run(place), xs, values).dashed(dash));
        }
    }
    if series.is_empty() {
        return absent(shown, "heat");
    }
    let note = format!(
        "p50 and p99 of the {} of each time, by when they began",
        shown.counted
    );
    let axis = Axis::duration(&shown.heat.1.to_lowercase());
    Ok(Plot {
        x: frame.clock.axis(),
        over_time: true,
        title: format!("{} over time", shown.heat.1),
        ..plot(shown, "heat", &note, axis, lines(series))
    })
}

fn heat(frame: &Frame<'_, '_>, run: &RunData<'_>, shown: Shown, map: &HeatMap) -> Plot {
    let edges = map.rows.iter().map(|(low, _)| *low);
    let edges = edges.chain(map.rows.last().map(|(_, high)| high.saturating_add(1)));
    let floor = map
        .rows
        .iter()
        .take_while(|(_, high)| float(*high) < SHORTEST_NS)
        .count();
    let mut cells = Vec::new();
    for (column, counts) in map.counts.iter().enumerate() {
        let below: u64 = counts.iter().take(floor + 1).sum();
        let rest = counts.iter().skip(floor + 1).copied();
        let rows = std::iter::once(below).chain(rest).enumerate();
        cells.extend(
            rows.filter(|(_, count)| *count > 0)
                .map(|(row, count)| (column, row, count)),
        );
    }
    let step = signed(map.column_ns) / frame.clock.ns;
    let heat = Heat {
        start: run.since_start(map.start_ns) / frame.clock.ns,
        step,
        columns: map.counts.len(),
        edges: edges.skip(floor).map(|edge| Short(float(edge.max(1)))).collect(),
        cells,
        counted: shown.counted,
    };
    let note = format!(
        "how many {} by when they began, {} at a time",
        shown.counted,
        duration(signed(map.column_ns))
    );
    Plot {
        x: frame.clock.axis(),
        over_time: true,
        title: format!("{} over time", shown.heat.1),
        body: Body::Heat(heat),
        ..plot(
            shown,
            "heat",
            &note,
            Axis::duration(&shown.heat.1.to_lowercase()),
            lines(Vec::new()),
        )
    }
}
