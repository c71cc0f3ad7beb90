//! What a plot shows, apart from how it is drawn: the page and the single files are drawn from the same description.

use serde::{Serialize, Serializer};

/// How the values of an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Quantity {
    /// Nanoseconds, written with a unit that fits.
    Duration,
    /// Shares of one, written in per cent.
    Share,
    /// Numbers; their unit stands in the axis' name.
    Number,
}

/// An axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Axis {
    /// What it shows.
    pub name: String,
    /// The unit of [`Quantity::Number`]; empty where the values carry their own.
    pub unit: String,
    /// How its values are written.
    pub quantity: Quantity,
    /// Whether it is logarithmic; values are then above 0.
    pub log: bool,
    /// Where it ends, where that should not follow from the data.
    pub max: Option<f64>,
}

impl Axis {
    pub(super) fn new(name: &str, unit: &str) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            quantity: Quantity::Number,
            log: false,
            max: None,
        }
    }

    pub(super) fn duration(name: &str) -> Self {
        Self {
            quantity: Quantity::Duration,
            log: true,
            ..Self::new(name, "")
        }
    }

    pub(super) fn share(name: &str) -> Self {
        Self {
            quantity: Quantity::Share,
            ..Self::new(name, "")
        }
    }

    pub(super) fn whole(self) -> Self {
        Self {
            max: Some(1.0),
            ..self
        }
    }

    pub(super) fn log(self) -> Self {
        Self { log: true, ..self }
    }

    /// The name with its unit.
    pub fn title(&self) -> String {
        match (self.unit.is_empty(), self.log) {
            (true, false) => self.name.clone(),
            (true, true) => format!("{} (log)", self.name),
            (false, false) => format!("{} ({})", self.name, self.unit),
            (false, true) => format!("{} ({}, log)", self.name, self.unit),
        }
    }
}

/// A colour of the palette, which is told apart with every kind of colour blindness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Colour(pub usize);

impl Colour {
    pub(super) const BLUE: Self = Self(0);
    pub(super) const ORANGE: Self = Self(1);
    pub(super) const GREEN: Self = Self(2);
    pub(super) const RED: Self = Self(3);
    pub(super) const SKY: Self = Self(5);
    pub(super) const GREY: Self = Self(7);

    /// The colour of a run among several.
    pub(super) fn of_run(run: usize) -> Self {
        Self(run % 8)
    }
}

/// How the values of a series are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Shape {
    /// By straight lines.
    Line,
    /// Each holds until the next.
    Step,
}

/// Where the values of a series stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Xs {
    /// At equal distances.
    Grid {
        /// The first.
        start: f64,
        /// The distance.
        step: f64,
    },
    /// At these places.
    At(Vec<Short>),
}

impl Xs {
    /// The place of a value.
    pub fn at(&self, place: usize) -> Option<f64> {
        match self {
            Self::Grid { start, step } => Some(start + step * crate::num::len(place)),
            Self::At(places) => places.get(place).map(|x| x.0),
        }
    }
}

/// A number that is written with six significant digits: a plot shows no more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Short(pub f64);

impl Short {
    /// The number as written.
    pub fn rounded(self) -> f64 {
        if self.0 == 0.0 || !self.0.is_finite() {
            return self.0;
        }
        let digits = (5.0 - self.0.abs().log10().floor()).clamp(-15.0, 20.0);
        let scale = 10_f64.powf(digits.abs());
        if digits < 0.0 {
            (self.0 / scale).round() * scale
        } else {
            (self.0 * scale).round() / scale
        }
    }
}

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.rounded();
        if value.fract() == 0.0 && value.abs() < 1e15 {
            // Without the `.0`.
            return serializer.serialize_i64(crate::num::whole(value));
        }
        serializer.serialize_f64(value)
    }
}

/// A curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// 0 is solid, 1 dashed, 2 dotted.
    pub dash: u8,
    /// How its values are joined.
    pub shape: Shape,
    /// Whether the area under it is filled.
    pub filled: bool,
    /// Where its values stand.
    pub x: Xs,
    /// Its values; `None` where nothing is known.
    pub y: Vec<Option<Short>>,
    /// Lower ends of a band around it; empty where there is none.
    pub low: Vec<Option<Short>>,
    /// Upper ends of the band.
    pub high: Vec<Option<Short>>,
}

impl Series {
    pub(super) fn new(name: impl Into<String>, colour: Colour, x: Xs, y: Vec<Option<f64>>) -> Self {
        Self {
            name: name.into(),
            colour,
            dash: 0,
            shape: Shape::Line,
            filled: false,
            x,
            y: short(y),
            low: Vec::new(),
            high: Vec::new(),
        }
    }

    pub(super) fn of_points(
        name: impl Into<String>,
        colour: Colour,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let (x, y): (Vec<_>, Vec<_>) = points.into_iter().map(|(x, y)| (Short(x), Some(y))).unzip();
        Self::new(name, colour, Xs::At(x), y)
    }

    pub(super) fn dashed(self, dash: u8) -> Self {
        Self { dash, ..self }
    }

    pub(super) fn stepped(self) -> Self {
        Self {
            shape: Shape::Step,
            ..self
        }
    }

    pub(super) fn filled(self) -> Self {
        Self { filled: true, ..self }
    }

    pub(super) fn banded(self, low: Vec<Option<f64>>, high: Vec<Option<f64>>) -> Self {
        Self {
            low: short(low),
            high: short(high),
            ..self
        }
    }

    /// Whether it is nothing but zeros and gaps.
    pub(super) fn is_nothing(&self) -> bool {
        self.y.iter().flatten().all(|value| value.0 == 0.0)
            && self.high.iter().flatten().all(|value| value.0 == 0.0)
    }
}

fn short(values: Vec<Option<f64>>) -> Vec<Option<Short>> {
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite()).map(Short);
    values.into_iter().map(finite).collect()
}

/// A line across a plot at a place of the horizontal axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Mark {
    /// What is there.
    pub label: String,
    /// Its colour.
    pub colour: Colour,
    /// Where.
    pub x: f64,
}

/// Curves over one pair of axes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Lines {
    /// The curves.
    pub series: Vec<Series>,
    /// Whether they are laid on top of each other.
    pub stacked: bool,
    /// Lines across.
    pub marks: Vec<Mark>,
    /// Whether the curves have to be told apart: there are several, or one of several runs.
    pub named: bool,
}

/// Counts in a grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Heat {
    /// Where the first column begins, in the unit of the horizontal axis.
    pub start: f64,
    /// The width of a column.
    pub step: f64,
    /// How many columns.
    pub columns: usize,
    /// The ends of the rows, one more than there are rows.
    pub edges: Vec<Short>,
    /// Column, row and count of every cell that holds something.
    pub cells: Vec<(usize, usize, u64)>,
    /// What is counted.
    pub counted: &'static str,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Body {
    /// Curves.
    Lines(Lines),
    /// A heat map.
    Heat(Heat),
}

/// Where a plot stands in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Section {
    /// What was held and counted over time.
    Time,
    /// Latencies of requests.
    Latency,
    /// Steps of the engine.
    Steps,
    /// The KV cache.
    Cache,
}

/// A plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plot {
    /// Its name, for `--png` and `--svg`.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// Where it stands.
    pub section: Section,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// Whether the horizontal axis is the run's time, which plots share.
    pub over_time: bool,
    /// What is drawn.
    pub body: Body,
}

/// A plot that a run has no data for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Missing {
    /// Its name.
    pub id: String,
    /// What it would show.
    pub title: String,
    /// Why it is not there.
    pub reason: String,
    /// Where it would stand.
    pub section: Section,
}

/// A plot, or why there is none.
pub(super) type Made = Result<Plot, Missing>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.123_456_789, 1_234_567.8, -3.0, 0.0, 1e-9, 123_456_789_012.0].map(Short);
        let json = serde_json::to_string(&texts).unwrap_or_default();
        assert_eq!(json, "[0.123457,1234570,-3,0,1e-9,123457000000]");
    }

    #[test]
    fn titles_name_the_unit() {
        assert_eq!(Axis::new("queue", "requests").title(), "queue (requests)");
        assert_eq!(Axis::duration("TTFT").title(), "TTFT (log)");
        assert_eq!(Axis::new("size", "blocks").log().title(), "size (blocks, log)");
    }
}
