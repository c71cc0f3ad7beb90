//! Shapes painted as PNG.

use super::canvas::{Anchor, Pen, Point, Shape, Text};
use super::colours::{PAPER, Rgb};
use super::font::Font;
use super::{PNG_SCALE, Size};
use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};
use ttf_parser::OutlineBuilder;

/// A drawing as a PNG file; the error says what there is none for.
pub(super) fn painted(shapes: &[Shape], size: Size) -> Result<Vec<u8>, &'static str> {
    let font = Font::new().ok_or("the font that comes with kvlens can't be read")?;
    let scale = u32::from(PNG_SCALE);
    let (width, height) = (u32::from(size.width) * scale, u32::from(size.height) * scale);
    let pixels = Pixmap::new(width, height).ok_or("there is no memory for so many pixels")?;
    let mut painter = Painter {
        pixels,
        font,
        scale: Transform::from_scale(f32::from(PNG_SCALE), f32::from(PNG_SCALE)),
    };
    let Rgb(red, green, blue) = PAPER;
    painter
        .pixels
        .fill(tiny_skia::Color::from_rgba8(red, green, blue, u8::MAX));
    shapes.iter().for_each(|shape| painter.shape(shape));
    painter
        .pixels
        .encode_png()
        .map_err(|_| "the picture can't be encoded")
}

struct Painter {
    pixels: Pixmap,
    font: Font,
    scale: Transform,
}

impl Painter {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Line(points, pen) => {
                if let Some(path) = path(points, false) {
                    self.stroke(&path, *pen, LineCap::Butt);
                }
            }
            Shape::Area(points, colour, opacity) => {
                if let Some(path) = path(points, true) {
                    self.fill(&path, &paint(*colour, *opacity));
                }
            }
            Shape::Cells(cells, colour) => {
                // Without soft edges: else the paper would shine through between them.
                let mut paint = paint(*colour, 1.0);
                paint.anti_alias = false;
                let rects = cells.iter().filter_map(|[left, top, right, bottom]| {
                    Rect::from_ltrb(single(*left), single(*top), single(*right), single(*bottom))
                });
                let scale = self.scale;
                rects.for_each(|rect| self.pixels.fill_rect(rect, &paint, scale, None));
            }
            Shape::Dot((x, y), radius, colour) => {
                if let Some(path) = PathBuilder::from_circle(single(*x), single(*y), single(*radius)) {
                    self.fill(&path, &paint(*colour, 1.0));
                }
            }
            Shape::Text(text) => self.text(text),
        }
    }

    fn fill(&mut self, path: &Path, paint: &Paint<'_>) {
        self.pixels
            .fill_path(path, paint, FillRule::Winding, self.scale, None);
    }

    fn stroke(&mut self, path: &Path, pen: Pen, line_cap: LineCap) {
        let dash = pen.dash.map(|(dash, gap)| vec![single(dash), single(gap)]);
        let stroke = Stroke {
            width: single(pen.width),
            line_cap,
            line_join: LineJoin::Round,
            dash: dash.and_then(|dash| StrokeDash::new(dash, 0.0)),
            ..Stroke::default()
        };
        let paint = paint(pen.colour, pen.opacity);
        self.pixels.stroke_path(path, &paint, &stroke, self.scale, None);
    }

    fn text(&mut self, text: &Text) {
        let width = self.font.width(&text.words, text.size);
        let left = match text.anchor {
            Anchor::Start => text.at.0,
            Anchor::Middle => text.at.0 - width / 2.0,
            Anchor::End => text.at.0 - width,
        };
        let mut letters = Letters {
            path: PathBuilder::new(),
            scale: single(self.font.scale(text.size)),
            left: 0.0,
            baseline: single(text.at.1),
        };
        for (glyph, at) in self.font.letters(&text.words, text.size) {
            letters.left = single(left + at);
            self.font.outline(glyph, &mut letters);
        }
        let Some(path) = letters.path.finish() else { return };
        if text.haloed {
            let halo = Pen {
                colour: PAPER,
                width: 3.0,
                dash: None,
                opacity: 1.0,
            };
            self.stroke(&path, halo, LineCap::Round);
        }
        self.fill(&path, &paint(text.colour, 1.0));
    }
}

fn paint(Rgb(red, green, blue): Rgb, opacity: f64) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, u8::MAX);
    if let tiny_skia::Shader::SolidColor(colour) = &mut paint.shader {
        colour.apply_opacity(single(opacity));
    }
    paint
}

fn path(points: &[Point], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    let mut points = points.iter();
    let first = points.next()?;
    path.move_to(single(first.0), single(first.1));
    points.for_each(|(x, y)| path.line_to(single(*x), single(*y)));
    if closed {
        path.close();
    }
    path.finish()
}

/// Outlines of letters, which stand upright in a font and hang from the top in a picture.
struct Letters {
    path: PathBuilder,
    scale: f32,
    left: f32,
    baseline: f32,
}

impl Letters {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.left + x * self.scale, self.baseline - y * self.scale)
    }
}

impl OutlineBuilder for Letters {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "places on a picture of some thousand pixels"
)]
fn single(value: f64) -> f32 {
    value as f32
}
