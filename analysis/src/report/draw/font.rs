//! The font: how wide texts are, and the outlines of letters.

use crate::num::float;
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Roboto (Apache License 2.0, Copyright 2015 Google Inc.) with the letters that plots need; `scripts/font.sh` makes it.
const BYTES: &[u8] = include_bytes!("../assets/roboto-subset.ttf");

/// The fonts that an SVG asks for: those that are about as wide.
pub(super) const FAMILY: &str = "Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif";
/// How much wider than ours the font of an SVG may turn out.
const SLACK: f64 = 1.08;

/// The font that comes with the library.
pub(super) struct Font {
    face: Face<'static>,
}

impl Font {
    /// `None` if the file that came with the library can't be read.
    pub(super) fn new() -> Option<Self> {
        let face = Face::parse(BYTES, 0).ok()?;
        Some(Self { face })
    }

    /// The letters of a text: what they are, and where each begins at a size.
    pub(super) fn letters(&self, text: &str, size: f64) -> impl Iterator<Item = (GlyphId, f64)> {
        let scale = self.scale(size);
        text.chars().scan(0.0, move |at, letter| {
            let glyph = self.face.glyph_index(letter).unwrap_or_default();
            let begins = *at;
            *at += f64::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
            Some((glyph, begins))
        })
    }

    pub(super) fn width(&self, text: &str, size: f64) -> f64 {
        let advance = |letter| {
            let glyph = self.face.glyph_index(letter).unwrap_or_default();
            u64::from(self.face.glyph_hor_advance(glyph).unwrap_or(0))
        };
        float(text.chars().map(advance).sum()) * self.scale(size)
    }

    /// Pixels for a unit of the outlines.
    pub(super) fn scale(&self, size: f64) -> f64 {
        size / f64::from(self.face.units_per_em())
    }

    pub(super) fn outline(&self, glyph: GlyphId, builder: &mut dyn OutlineBuilder) {
        // A letter without an outline is a space.
        let _ = self.face.outline_glyph(glyph, builder);
    }
}

/// How much room a text takes, in whatever font without serifs.
pub(super) fn room(text: &str, size: f64) -> f64 {
    Font::new().map_or(0.0, |font| font.width(text, size) * SLACK)
}

/// A text that fits, with its end left out where it does not.
pub(super) fn shortened(text: &str, size: f64, fits: f64) -> String {
    if room(text, size) <= fits {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let text = kept.iter().chain(['…'].iter()).collect::<String>();
        if room(&text, size) <= fits {
            return text;
        }
    }
    "…".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shortened("short", 11.0, 100.0), "short");
        let cut = shortened(&"long".repeat(50), 11.0, 100.0);
        let width = room(&cut, 11.0);
        assert!(cut.ends_with('…') && width <= 100.0 && width > 80.0, "{cut}");
        assert_eq!(shortened("nothing fits", 11.0, 0.0), "…");
    }

    #[test]
    fn it_has_the_letters_that_plots_use() {
        let font = Font::new().unwrap();
        for letter in "azAZ09 %µéß().,:;/-–…±≤≥−×λЖ".chars() {
            assert!(font.face.glyph_index(letter).is_some(), "{letter}");
        }
        assert!(font.face.glyph_index('漢').is_none());
    }

    #[test]
    fn widths_follow_the_text_and_the_size() {
        let font = Font::new().unwrap();
        assert!((font.width("mm", 20.0) - 4.0 * font.width("m", 10.0)).abs() < 1e-9);
        assert!(font.width("iiii", 10.0) < font.width("mmmm", 10.0));
        let last = font.letters("abc", 10.0).last().unwrap().1;
        assert!((last - font.width("ab", 10.0)).abs() < 1e-9);
    }
}
