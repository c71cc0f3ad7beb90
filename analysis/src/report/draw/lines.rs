//! Curves, bands, stacked areas and marks.

use super::super::plot::{Lines, Mark, Series, Shape as Joined, Short};
use super::axis::stacked_sums;
use super::canvas::{Anchor, Pen, Point, Shape, Text, solid};
use super::colours::{TEXT, of};
use super::figure::{Area, SMALL};
use super::font::room;

/// Dashes of curves.
const DASHES: [Option<(f64, f64)>; 3] = [None, Some((6.0, 4.0)), Some((2.0, 3.0))];
const GREY: usize = 7;

pub(super) fn laid_out(lines: &Lines, area: &Area<'_>, shapes: &mut Vec<Shape>) {
    if lines.stacked {
        stacked(lines, area, shapes);
    } else {
        for series in &lines.series {
            band(series, area, shapes);
            curve(series, area, shapes);
        }
    }
    marks(lines, area, shapes);
}

/// The curve's dashes.
pub(super) fn dash(series: &Series) -> Option<(f64, f64)> {
    DASHES.get(usize::from(series.dash)).copied().flatten()
}

/// How opaque the area under a curve is.
fn opacity(series: &Series, stacked: bool) -> f64 {
    match (stacked, series.colour.0 == GREY) {
        (true, true) => 0.22,
        (true, false) => 0.72,
        (false, _) => 0.18,
    }
}

/// Every curve's area from the sum of those before it to its own.
fn stacked(lines: &Lines, area: &Area<'_>, shapes: &mut Vec<Shape>) {
    let mut below = vec![0.0; stacked_sums(lines).len()];
    for series in &lines.series {
        let mut above = below.clone();
        let both = above.iter_mut().zip(&series.y);
        both.for_each(|(sum, value)| *sum += value.map_or(0.0, |value| value.0));
        let trace = |sums: &[f64]| -> Vec<Point> {
            let points = sums.iter().enumerate();
            points
                .filter_map(|(at, sum)| area.point(series.x.at(at)?, *sum))
                .collect()
        };
        let top = joined(trace(&above), series.shape);
        let bottom = joined(trace(&below), series.shape);
        let outline = top.iter().chain(bottom.iter().rev()).copied().collect();
        let colour = of(series.colour);
        shapes.push(Shape::Area(outline, colour, opacity(series, true)));
        shapes.push(Shape::Line(top, solid(colour, 1.0)));
        below = above;
    }
}

/// The pieces of a curve between its gaps.
fn pieces(series: &Series, values: &[Option<Short>], area: &Area<'_>) -> Vec<Vec<Point>> {
    let mut pieces = vec![Vec::new()];
    for (at, value) in values.iter().enumerate() {
        let point = value.zip(series.x.at(at)).and_then(|(y, x)| area.point(x, y.0));
        match (point, pieces.last_mut()) {
            (Some(point), Some(piece)) => piece.push(point),
            _ => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
        .into_iter()
        .map(|piece| joined(piece, series.shape))
        .collect()
}

/// With the corners of a curve whose values hold until the next.
fn joined(points: Vec<Point>, shape: Joined) -> Vec<Point> {
    if shape == Joined::Line {
        return points;
    }
    let mut out: Vec<Point> = Vec::with_capacity(points.len() * 2);
    for point in points {
        if let Some(before) = out.last() {
            out.push((point.0, before.1));
        }
        out.push(point);
    }
    out
}

fn curve(series: &Series, area: &Area<'_>, shapes: &mut Vec<Shape>) {
    let colour = of(series.colour);
    for piece in pieces(series, &series.y, area) {
        let (Some(first), Some(last)) = (piece.first().copied(), piece.last().copied()) else {
            continue;
        };
        if series.filled {
            let ends = [(last.0, area.bottom), (first.0, area.bottom)];
            let outline = piece.iter().copied().chain(ends).collect();
            shapes.push(Shape::Area(outline, colour, opacity(series, false)));
        }
        if piece.len() == 1 {
            shapes.push(Shape::Dot(first, 2.2, colour));
            continue;
        }
        let pen = Pen {
            dash: dash(series),
            ..solid(colour, 1.6)
        };
        shapes.push(Shape::Line(piece, pen));
    }
}

/// From the lowest to the highest, behind the curve.
fn band(series: &Series, area: &Area<'_>, shapes: &mut Vec<Shape>) {
    // Where one end is unknown, both are.
    let known = |(low, high): (&Option<Short>, &Option<Short>)| Some((*low.as_ref()?, *high.as_ref()?));
    let ends: Vec<_> = series.low.iter().zip(&series.high).map(known).collect();
    let side = |pick: fn((Short, Short)) -> Short| {
        let values: Vec<_> = ends.iter().map(|ends| ends.map(pick)).collect();
        pieces(series, &values, area)
    };
    for (mut outline, low) in side(|ends| ends.1).into_iter().zip(side(|ends| ends.0)) {
        outline.extend(low.into_iter().rev());
        shapes.push(Shape::Area(outline, of(series.colour), 0.18));
    }
}

/// Lines down at places, named where there is one curve: else the legend says whose they are.
fn marks(lines: &Lines, area: &Area<'_>, shapes: &mut Vec<Shape>) {
    let several = lines.series.len() > 1;
    let placed: Vec<(&Mark, f64)> = lines
        .marks
        .iter()
        .filter_map(|mark| Some((mark, area.x(mark.x)?)))
        .collect();
    for (mark, x) in &placed {
        let pen = Pen {
            colour: if several { of(mark.colour) } else { TEXT },
            width: 1.0,
            dash: Some((3.0, 3.0)),
            opacity: 0.75,
        };
        shapes.push(Shape::Line(vec![(*x, area.top), (*x, area.bottom)], pen));
    }
    if several {
        return;
    }
    let mut baseline = area.top + SMALL + 1.0;
    for (mark, x) in placed {
        let width = room(&mark.label, SMALL);
        let to_left = x + 5.0 + width > area.right;
        shapes.push(Shape::Text(Text {
            at: (if to_left { x - 5.0 } else { x + 5.0 }, baseline),
            anchor: if to_left { Anchor::End } else { Anchor::Start },
            size: SMALL,
            colour: TEXT,
            words: mark.label.clone(),
            haloed: true,
        }));
        // One below the other, so that close marks don't hide each other's names.
        baseline += SMALL + 4.0;
    }
}
