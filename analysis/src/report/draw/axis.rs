//! Where an axis begins and ends, where its ticks are, and what they say: the same rules as in the page's script.

use super::super::plot::{Axis, Body, Lines, Plot, Quantity, Short};
use crate::num::{float, index, len, rounded};
use crate::render::number::grouped;

const MIN: f64 = 60e9;
const HOUR: f64 = 3_600e9;
const DAY: f64 = 86_400e9;

/// A position: of a logarithmic axis the logarithm, which is not finite where there is none.
pub(super) fn place(axis: &Axis, value: f64) -> f64 {
    if axis.log { value.log10() } else { value }
}

fn value(axis: &Axis, place: f64) -> f64 {
    if axis.log { 10_f64.powf(place) } else { place }
}

/// The lowest and the highest position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Range {
    const NOTHING: Self = Self {
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
    };

    fn take(&mut self, place: f64) {
        if place.is_finite() {
            self.low = self.low.min(place);
            self.high = self.high.max(place);
        }
    }

    fn wider(self, share: f64) -> Self {
        let more = (self.high - self.low) * share;
        Self {
            low: self.low - more,
            high: self.high + more,
        }
    }

    /// Room around a single value, and something where there is none.
    fn some(self) -> Self {
        match (self.low.is_finite(), self.high > self.low) {
            (false, _) => Self { low: 0.0, high: 1.0 },
            (true, false) => Self {
                low: self.low - 0.5,
                high: self.low + 0.5,
            },
            (true, true) => self,
        }
    }
}

/// The ends of both axes.
pub(super) fn ranges(plot: &Plot) -> (Range, Range) {
    match &plot.body {
        Body::Heat(heat) => {
            let end = heat.start + heat.step * len(heat.columns);
            let x = Range {
                low: heat.start.min(0.0),
                high: end.max(plot.x.max.unwrap_or(end)),
            };
            let mut y = Range::NOTHING;
            heat.edges.iter().for_each(|edge| y.take(place(&plot.y, edge.0)));
            (x.some(), y.some())
        }
        Body::Lines(lines) => (horizontal(plot, lines), vertical(plot, lines)),
    }
}

fn horizontal(plot: &Plot, lines: &Lines) -> Range {
    let mut range = Range::NOTHING;
    for series in &lines.series {
        let known = series.y.iter().enumerate().filter(|(_, value)| value.is_some());
        let places = known.filter_map(|(at, _)| series.x.at(at));
        places.for_each(|x| range.take(place(&plot.x, x)));
    }
    lines
        .marks
        .iter()
        .for_each(|mark| range.take(place(&plot.x, mark.x)));
    if plot.over_time {
        range.low = 0.0;
        range.high = plot.x.max.unwrap_or(range.high);
    }
    let range = range.some();
    if plot.x.log { range.wider(0.02) } else { range }
}

fn vertical(plot: &Plot, lines: &Lines) -> Range {
    let mut range = Range::NOTHING;
    if lines.stacked {
        stacked_sums(lines).iter().for_each(|sum| range.take(*sum));
    } else {
        let values = lines
            .series
            .iter()
            .flat_map(|series| series.y.iter().chain(&series.high));
        values
            .flatten()
            .for_each(|value| range.take(place(&plot.y, value.0)));
    }
    if plot.y.log {
        let range = range.some();
        return Range {
            low: range.low - 0.05,
            high: range.high + 0.05,
        };
    }
    range.low = 0.0;
    range.high = plot.y.max.unwrap_or(range.high);
    if range.high <= 0.0 || !range.high.is_finite() {
        range.high = 1.0;
    }
    if plot.y.max.is_none() {
        range.high /= 1.0 - room_for_names(lines);
        // Some room above, up to the next tick.
        let step = linear_step(range.low, range.high, 6);
        range.high = (range.high / step - 1e-9).ceil() * step;
    }
    range
}

/// The share of the height that names of marks take above the curve of a plot of one.
fn room_for_names(lines: &Lines) -> f64 {
    const OF_A_NAME: f64 = 0.09;
    let names = if lines.series.len() > 1 {
        0
    } else {
        lines.marks.len()
    };
    (len(names) * OF_A_NAME).min(0.5)
}

/// The tops of stacked curves, place by place.
pub(super) fn stacked_sums(lines: &Lines) -> Vec<f64> {
    let mut sums = Vec::new();
    for series in &lines.series {
        sums.resize(sums.len().max(series.y.len()), 0.0);
        let both = sums.iter_mut().zip(&series.y);
        both.for_each(|(sum, value)| *sum += value.map_or(0.0, |value| value.0));
    }
    sums
}

/// Positions and texts of an axis' ticks, at most about `most`.
pub(super) fn ticks(axis: &Axis, range: Range, most: usize) -> Vec<(f64, String)> {
    let places = if axis.log {
        log_ticks(axis, range, most)
    } else {
        linear_ticks(range.low, range.high, most)
    };
    let tick = |at| (at, text(axis, Short(value(axis, at)).rounded()));
    places.into_iter().map(tick).collect()
}

fn linear_step(low: f64, high: f64, most: usize) -> f64 {
    let rough = (high - low) / len(most.max(1));
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|multiple| multiple * power);
    let fits = steps.into_iter().find(|step| *step >= rough * 0.999);
    fits.filter(|step| *step > 0.0 && step.is_finite()).unwrap_or(1.0)
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let step = linear_step(low, high, most);
    let first = (low / step - 1e-9).ceil();
    // More than asked for there can't be; a bound, should floats be at their end.
    let places = (0..=most as u64 + 1).map(|at| (first + float(at)) * step);
    places.take_while(|at| *at <= high + step * 1e-9).collect()
}

/// The multiples in every decade that there is.
fn decades(range: Range, multiples: &[f64]) -> Vec<f64> {
    let (first, last) = (range.low.floor() - 1.0, range.high.ceil());
    let count = rounded(last - first).min(64);
    let decades = (0..=count).map(|at| first + float(at));
    decades
        .flat_map(|decade| multiples.iter().map(move |multiple| decade + multiple.log10()))
        .collect()
}

/// Above a second, people count in minutes and hours.
fn times(range: Range, multiples: &[f64], longer: &[(f64, &[f64])]) -> Vec<f64> {
    let mut places = decades(range, multiples);
    places.retain(|place| *place < (MIN * 0.999).log10());
    for (unit, counts) in longer {
        places.extend(counts.iter().map(|count| (count * unit).log10()));
    }
    places
}

/// What ticks of a logarithmic axis can be, from many to few.
fn candidates(axis: &Axis, range: Range) -> Vec<Vec<f64>> {
    if axis.quantity != Quantity::Duration {
        let whole = decades(range, &[1.0]);
        let even = whole
            .iter()
            .copied()
            .filter(|place| rounded(place.abs()).is_multiple_of(2));
        let even = even.collect();
        return vec![
            decades(range, &[1.0, 2.0, 5.0]),
            decades(range, &[1.0, 3.0]),
            whole,
            even,
        ];
    }
    let few = |values: &[f64]| values.iter().map(|value: &f64| value.log10()).collect();
    vec![
        times(
            range,
            &[1.0, 2.0, 5.0],
            &[
                (MIN, &[1.0, 2.0, 5.0, 10.0, 20.0, 30.0]),
                (HOUR, &[1.0, 2.0, 5.0, 10.0]),
                (DAY, &[1.0, 2.0, 5.0, 10.0]),
            ],
        ),
        times(
            range,
            &[1.0, 3.0],
            &[
                (MIN, &[1.0, 3.0, 10.0, 30.0]),
                (HOUR, &[1.0, 3.0, 10.0]),
                (DAY, &[1.0, 3.0, 10.0]),
            ],
        ),
        times(
            range,
            &[1.0],
            &[(MIN, &[1.0, 10.0]), (HOUR, &[1.0, 10.0]), (DAY, &[3.0])],
        ),
        few(&[1e3, 1e5, 1e6, 1e8, 1e9, 10e9, 10.0 * MIN, 3.0 * HOUR]),
        few(&[1e3, 1e6, 1e9, MIN, HOUR]),
    ]
}

fn log_ticks(axis: &Axis, range: Range, most: usize) -> Vec<f64> {
    let mut best: Option<Vec<f64>> = None;
    for mut places in candidates(axis, range) {
        places.retain(|place| *place >= range.low - 1e-9 && *place <= range.high + 1e-9);
        if places.len() < 2 {
            break;
        }
        if places.len() <= most {
            return places;
        }
        best = Some(places);
    }
    match best {
        Some(places) => {
            let every = places.len().div_ceil(most.max(1));
            places.into_iter().step_by(every).collect()
        }
        // Less than a step of any candidate: whatever divides it.
        None => {
            let (low, high) = (10_f64.powf(range.low), 10_f64.powf(range.high));
            let places = linear_ticks(low, high, most.min(4)).into_iter();
            places.map(f64::log10).filter(|place| place.is_finite()).collect()
        }
    }
}

/// What a tick says.
fn text(axis: &Axis, value: f64) -> String {
    match axis.quantity {
        Quantity::Share => format!("{} %", Short(value * 100.0).rounded()),
        Quantity::Number => compact(value),
        Quantity::Duration => {
            let units = [
                ("d", DAY),
                ("h", HOUR),
                ("min", MIN),
                ("s", 1e9),
                ("ms", 1e6),
                ("µs", 1e3),
            ];
            let fits = units.into_iter().find(|(_, size)| value >= size * 0.999);
            fits.map_or_else(
                || format!("{value} ns"),
                |(unit, size)| format!("{} {unit}", compact(Short(value / size).rounded())),
            )
        }
    }
}

fn compact(value: f64) -> String {
    let size = value.abs();
    let units = [("G", 1e9, 1e9), ("M", 1e6, 1e6), ("k", 1e3, 1e4)];
    if let Some((unit, scale, _)) = units.into_iter().find(|(_, _, from)| size >= *from) {
        return format!("{}{unit}", Short(value / scale).rounded());
    }
    if size >= 1e3 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", grouped(rounded(size)));
    }
    format!("{value}")
}

/// How many ticks fit on a length where each needs so much.
pub(super) fn most(length: f64, each: f64) -> usize {
    index(length / each).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::{Axis, Colour, Mark, Section, Series};

    #[test]
    fn names_of_marks_have_room_above_a_curve() {
        let mark = |x: f64| Mark {
            label: "p50 1 s".to_owned(),
            colour: Colour::BLUE,
            x,
        };
        let plot = Plot {
            id: String::new(),
            title: String::new(),
            note: String::new(),
            section: Section::Latency,
            x: Axis::new("", ""),
            y: Axis::new("", ""),
            over_time: false,
            body: Body::Lines(Lines {
                series: vec![Series::of_points("", Colour::BLUE, [(1.0, 2.0), (2.0, 10.0)])],
                stacked: false,
                marks: vec![mark(1.0), mark(1.2), mark(1.4)],
                named: false,
            }),
        };
        assert!(ranges(&plot).1.high > 10.0 / 0.75, "{:?}", ranges(&plot).1.high);
    }

    fn texts(axis: &Axis, low: f64, high: f64, most: usize) -> Vec<String> {
        let range = Range { low, high };
        ticks(axis, range, most)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let number = Axis::new("queue", "requests");
        assert_eq!(texts(&number, 0.0, 10.0, 5), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(texts(&number, 0.0, 0.3, 3), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(texts(&number, 0.0, 30_000.0, 3), ["0", "10k", "20k", "30k"]);
        assert_eq!(texts(&number, 0.0, 4_000.0, 2), ["0", "2,000", "4,000"]);
        assert_eq!(
            texts(&Axis::share("hits"), 0.0, 1.0, 4),
            ["0 %", "25 %", "50 %", "75 %", "100 %"]
        );
        assert_eq!(texts(&number, 3.0, 3.0, 4).len(), 1);
    }

    #[test]
    fn times_are_counted_as_people_do() {
        let time = Axis::duration("TTFT");
        let (ms, minutes) = (6.0, (20.0 * MIN).log10());
        assert_eq!(
            texts(&time, ms, 9.0, 8),
            ["1 ms", "3 ms", "10 ms", "30 ms", "100 ms", "300 ms", "1 s"]
        );
        assert_eq!(
            texts(&time, 9.0, minutes, 9),
            ["1 s", "3 s", "10 s", "30 s", "1 min", "3 min", "10 min"]
        );
        assert_eq!(texts(&time, 3.0, 12.0, 5), ["1 µs", "1 ms", "1 s", "1 min"]);
    }

    #[test]
    fn no_range_gives_endless_ticks() {
        for (low, high) in [(0.0, f64::MAX), (0.0, 0.0), (-1e300, 1e300), (5.0, 5.0 + 1e-15)] {
            for axis in [
                Axis::new("a", "b"),
                Axis::new("a", "b").log(),
                Axis::duration("a"),
            ] {
                assert!(
                    ticks(&axis, Range { low, high }, 8).len() <= 40,
                    "{low} to {high}"
                );
            }
        }
    }
}
