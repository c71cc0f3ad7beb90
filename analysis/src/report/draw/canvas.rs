//! What a drawing is made of.

use super::colours::Rgb;

/// A place, in pixels from the left and from the top.
pub(super) type Point = (f64, f64);

/// Which part of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    /// Where its baseline is.
    pub(super) at: Point,
    pub(super) anchor: Anchor,
    pub(super) size: f64,
    pub(super) colour: Rgb,
    pub(super) words: String,
    /// Whether there is paper around the letters, because it stands on curves.
    pub(super) haloed: bool,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pen {
    pub(super) colour: Rgb,
    pub(super) width: f64,
    /// Lengths of dash and gap; none is solid.
    pub(super) dash: Option<(f64, f64)>,
    pub(super) opacity: f64,
}

/// A shape of a drawing; later ones cover earlier ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// A line through points.
    Line(Vec<Point>, Pen),
    /// A filled polygon.
    Area(Vec<Point>, Rgb, f64),
    /// Rectangles of one colour: left, top, right, bottom.
    Cells(Vec<[f64; 4]>, Rgb),
    /// A dot: its middle and its radius.
    Dot(Point, f64, Rgb),
    /// Text.
    Text(Text),
}

/// A solid line.
pub(super) fn solid(colour: Rgb, width: f64) -> Pen {
    Pen {
        colour,
        width,
        dash: None,
        opacity: 1.0,
    }
}
