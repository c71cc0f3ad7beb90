//! Lays a plot out: title, legend, axes, and what is drawn between them.

use super::super::plot::{Axis, Body, Plot};
use super::axis::{self, Range, place};
use super::canvas::{Anchor, Point, Shape, Text, solid};
use super::colours::{FAINT, LINE, TEXT};
use super::font::{room, shortened};
use super::{Size, heat, legend, lines};

const MARGIN: f64 = 12.0;
const TITLE: f64 = 14.0;
/// The size of all text but the title.
pub(super) const SMALL: f64 = 11.0;
/// Room that a tick needs at least: below each other, beside each other, and that of a logarithmic axis.
const TICK_HEIGHT: f64 = 40.0;
const TICK_WIDTH: f64 = 72.0;
const LOG_TICK_WIDTH: f64 = 56.0;

/// The area between the axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area<'p> {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
    plot: &'p Plot,
    x: Range,
    y: Range,
}

impl Area<'_> {
    /// Where a value of the horizontal axis stands; values beyond its ends stand there.
    pub(super) fn x(&self, value: f64) -> Option<f64> {
        let share = share(&self.plot.x, self.x, value)?;
        Some(self.left + share * (self.right - self.left))
    }

    /// Where a value of the vertical axis stands.
    pub(super) fn y(&self, value: f64) -> Option<f64> {
        let share = share(&self.plot.y, self.y, value)?;
        Some(self.bottom - share * (self.bottom - self.top))
    }

    /// Where a pair of values stands.
    pub(super) fn point(&self, x: f64, y: f64) -> Option<Point> {
        Some((self.x(x)?, self.y(y)?))
    }
}

fn share(axis: &Axis, range: Range, value: f64) -> Option<f64> {
    let share = (place(axis, value) - range.low) / (range.high - range.low);
    share.is_finite().then(|| share.clamp(0.0, 1.0))
}

/// A plot as shapes on a drawing of this size.
pub(super) fn laid_out(plot: &Plot, size: Size) -> Vec<Shape> {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let title = shortened(&plot.title, TITLE, width - 2.0 * MARGIN);
    let mut shapes = vec![label((MARGIN, MARGIN + TITLE - 2.0), Anchor::Start, title)];
    let below = legend::laid_out(plot, (MARGIN, MARGIN + TITLE + 8.0), width - MARGIN, &mut shapes);
    let (x, y) = axis::ranges(plot);
    let mut area = Area {
        left: MARGIN,
        top: below + SMALL + 14.0,
        right: width - MARGIN,
        bottom: height - MARGIN - 2.0 * SMALL - 12.0,
        plot,
        x,
        y,
    };
    shapes.push(small((MARGIN, area.top - 11.0), Anchor::Start, plot.y.title()));
    vertical_axis(&mut area, &mut shapes);
    horizontal_axis(&area, width, &mut shapes);
    let middle = f64::midpoint(area.left, area.right);
    shapes.push(small((middle, height - MARGIN), Anchor::Middle, plot.x.title()));
    match &plot.body {
        Body::Lines(body) => lines::laid_out(body, &area, &mut shapes),
        Body::Heat(body) => heat::laid_out(body, &area, &mut shapes),
    }
    // The line that everything stands on covers what is drawn.
    let base = vec![(area.left, area.bottom), (area.right, area.bottom)];
    shapes.push(Shape::Line(base, solid(FAINT, 1.0)));
    shapes
}

/// Ticks and lines across; moves the area to the right of the ticks' texts.
fn vertical_axis(area: &mut Area<'_>, shapes: &mut Vec<Shape>) {
    let most = axis::most(area.bottom - area.top, TICK_HEIGHT);
    let ticks = axis::ticks(&area.plot.y, area.y, most);
    let widest = ticks
        .iter()
        .map(|(_, text)| room(text, SMALL))
        .fold(0.0, f64::max);
    area.left += widest + 7.0;
    for (tick, text) in ticks {
        let share = (tick - area.y.low) / (area.y.high - area.y.low);
        let y = area.bottom - share * (area.bottom - area.top);
        let across = vec![(area.left, y), (area.right, y)];
        shapes.push(Shape::Line(across, solid(LINE, 1.0)));
        shapes.push(small((area.left - 6.0, y + SMALL * 0.35), Anchor::End, text));
    }
}

/// Ticks, lines across and texts, as far as these don't touch.
fn horizontal_axis(area: &Area<'_>, width: f64, shapes: &mut Vec<Shape>) {
    let each = if area.plot.x.log {
        LOG_TICK_WIDTH
    } else {
        TICK_WIDTH
    };
    let most = axis::most(area.right - area.left, each);
    let mut free = 0.0;
    for (tick, text) in axis::ticks(&area.plot.x, area.x, most) {
        let share = (tick - area.x.low) / (area.x.high - area.x.low);
        let x = area.left + share * (area.right - area.left);
        let line = vec![(x, area.top), (x, area.bottom + 4.0)];
        shapes.push(Shape::Line(line, solid(LINE, 0.6)));
        let half = room(&text, SMALL) / 2.0;
        let middle = x.min(width - 2.0 - half);
        if middle - half < free {
            continue;
        }
        free = middle + half + 6.0;
        shapes.push(small((middle, area.bottom + SMALL + 6.0), Anchor::Middle, text));
    }
}

fn label(at: Point, anchor: Anchor, words: String) -> Shape {
    Shape::Text(Text {
        at,
        anchor,
        size: TITLE,
        colour: TEXT,
        words,
        haloed: false,
    })
}

/// Text of axes and legend.
pub(super) fn small(at: Point, anchor: Anchor, text: String) -> Shape {
    Shape::Text(Text {
        at,
        anchor,
        size: SMALL,
        colour: FAINT,
        words: text,
        haloed: false,
    })
}
