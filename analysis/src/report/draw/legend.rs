//! What colours and dashes stand for.

use super::super::plot::{Body, Plot, Series};
use super::canvas::{Anchor, Pen, Point, Shape, solid};
use super::colours::{LEVELS, heat as colour_of, of};
use super::figure::{SMALL, small};
use super::font::{room, shortened};
use super::{heat, lines};
use crate::render::number::grouped;

/// A line of entries.
const ROW: f64 = 16.0;
/// The sample before a name, and the room around it.
const SAMPLE: f64 = 18.0;
const GAP: f64 = 5.0;
const BETWEEN: f64 = 14.0;
/// A step of the ramp of a heat map.
const STEP: f64 = 4.0;

/// Puts the legend from `at` on, not beyond `right`; gives where it ends below. One curve of one run needs none.
pub(super) fn laid_out(plot: &Plot, at: Point, right: f64, shapes: &mut Vec<Shape>) -> f64 {
    match &plot.body {
        Body::Heat(body) => {
            let most = format!("{} {}", grouped(heat::highest(body)), body.counted);
            ramp(at, most, shapes);
            at.1 + ROW
        }
        Body::Lines(body) if !body.named => at.1,
        Body::Lines(body) => entries(&body.series, at, right, shapes),
    }
}

fn ramp((left, top): Point, most: String, shapes: &mut Vec<Shape>) {
    let baseline = top + SMALL;
    let least = "1".to_owned();
    let mut x = left + room(&least, SMALL) + GAP;
    shapes.push(small((left, baseline), Anchor::Start, least));
    for level in 0..LEVELS {
        let cell = [x, top + 2.0, x + STEP, baseline];
        shapes.push(Shape::Cells(vec![cell], colour_of(level)));
        x += STEP;
    }
    shapes.push(small((x + GAP, baseline), Anchor::Start, most));
}

fn entries(series: &[Series], (left, top): Point, right: f64, shapes: &mut Vec<Shape>) -> f64 {
    let (mut x, mut y) = (left, top);
    for one in series {
        let name = shortened(&one.name, SMALL, right - left - SAMPLE - GAP);
        let width = SAMPLE + GAP + room(&name, SMALL);
        if x > left && x + width > right {
            (x, y) = (left, y + ROW);
        }
        let colour = of(one.colour);
        let middle = y + ROW / 2.0;
        if one.filled {
            shapes.push(Shape::Cells(
                vec![[x, middle - 4.0, x + SAMPLE, middle + 4.0]],
                colour,
            ));
        } else {
            let pen = Pen {
                dash: lines::dash(one),
                ..solid(colour, 2.0)
            };
            shapes.push(Shape::Line(vec![(x, middle), (x + SAMPLE, middle)], pen));
        }
        let name_at = (x + SAMPLE + GAP, middle + SMALL * 0.36);
        shapes.push(small(name_at, Anchor::Start, name));
        x += width + BETWEEN;
    }
    y + ROW
}
