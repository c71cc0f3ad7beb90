//! Heat maps: the more there is in a cell, the darker, on a logarithmic scale.

use super::super::plot::Heat;
use super::canvas::Shape;
use super::colours::{LEVELS, heat as colour_of};
use super::figure::Area;
use crate::num::{float, len, rounded};
use std::collections::BTreeMap;

pub(super) fn laid_out(heat: &Heat, area: &Area<'_>, shapes: &mut Vec<Shape>) {
    let most = float(highest(heat).max(2)).ln();
    let mut cells: BTreeMap<u8, Vec<[f64; 4]>> = BTreeMap::new();
    for (column, row, count) in &heat.cells {
        let ends = |at| area.x(heat.start + heat.step * len(at));
        let edge = |at: usize| heat.edges.get(at).and_then(|edge| area.y(edge.0));
        let sides = (ends(*column), ends(column + 1), edge(*row), edge(row + 1));
        let (Some(left), Some(right), Some(bottom), Some(top)) = sides else {
            continue;
        };
        let share = float(*count).ln() / most;
        let level = rounded(share.clamp(0.0, 1.0) * f64::from(LEVELS - 1));
        let level = u8::try_from(level).unwrap_or(0);
        cells.entry(level).or_default().push([left, top, right, bottom]);
    }
    let levels = cells.into_iter();
    shapes.extend(levels.map(|(level, cells)| Shape::Cells(cells, colour_of(level))));
}

/// The count of the fullest cell.
pub(super) fn highest(heat: &Heat) -> u64 {
    heat.cells.iter().map(|(_, _, count)| *count).max().unwrap_or(0)
}
