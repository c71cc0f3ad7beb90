//! Shapes written as SVG.

use super::Size;
use super::canvas::{Anchor, Pen, Point, Shape, Text};
use super::colours::{PAPER, Rgb};
use super::font::FAMILY;
use crate::render::html::escape;
use std::fmt::Write as _;

/// A drawing as an SVG file.
pub(super) fn written(shapes: &[Shape], size: Size) -> String {
    let Size { width, height } = size;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"{}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
        escape(FAMILY),
        hex(PAPER)
    );
    for shape in shapes {
        // Writing to a string can't fail.
        let _ = match shape {
            Shape::Line(points, pen) => line(&mut out, points, *pen),
            Shape::Area(points, colour, opacity) => writeln!(
                out,
                "<path d=\"{}Z\" fill=\"{}\" fill-opacity=\"{opacity}\"/>",
                path(points),
                hex(*colour)
            ),
            Shape::Cells(cells, colour) => {
                let cells: String = cells.iter().map(cell).collect();
                writeln!(
                    out,
                    "<path d=\"{cells}\" fill=\"{}\" shape-rendering=\"crispEdges\"/>",
                    hex(*colour)
                )
            }
            Shape::Dot((x, y), radius, colour) => writeln!(
                out,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{radius}\" fill=\"{}\"/>",
                short(*x),
                short(*y),
                hex(*colour)
            ),
            Shape::Text(text) => words(&mut out, text),
        };
    }
    out.push_str("</svg>\n");
    out
}

fn line(out: &mut String, points: &[Point], pen: Pen) -> std::fmt::Result {
    write!(
        out,
        "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"",
        path(points),
        hex(pen.colour),
        pen.width
    )?;
    if let Some((dash, gap)) = pen.dash {
        write!(out, " stroke-dasharray=\"{dash} {gap}\"")?;
    }
    if pen.opacity < 1.0 {
        write!(out, " stroke-opacity=\"{}\"", pen.opacity)?;
    }
    out.push_str("/>\n");
    Ok(())
}

fn words(out: &mut String, text: &Text) -> std::fmt::Result {
    let anchor = match text.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let halo = if text.haloed {
        format!(
            " stroke=\"{}\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
            hex(PAPER)
        )
    } else {
        String::new()
    };
    writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" font-size=\"{}\" fill=\"{}\"{halo}>{}</text>",
        short(text.at.0),
        short(text.at.1),
        text.size,
        hex(text.colour),
        escape(&text.words)
    )
}

fn path(points: &[Point]) -> String {
    let mut out = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        out.push_str(if at == 0 { "M" } else { "L" });
        let _ = write!(out, "{} {}", short(*x), short(*y));
    }
    out
}

fn cell([left, top, right, bottom]: &[f64; 4]) -> String {
    format!(
        "M{} {}H{}V{}H{}Z",
        short(*left),
        short(*top),
        short(*right),
        short(*bottom),
        short(*left)
    )
}

/// To a hundredth of a pixel.
fn short(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn hex(Rgb(red, green, blue): Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
