//! Plots as single files, for papers and slides: laid out once as a list of shapes, which SVG and PNG are written from.

mod axis;
mod canvas;
mod colours;
mod figure;
mod font;
mod heat;
mod legend;
mod lines;
mod png;
mod svg;

use super::plot::Plot;

/// The size of a drawing in pixels of a screen, of which there are 96 to the inch: 180 mm wide, as a paper's page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    width: u16,
    height: u16,
}

impl Size {
    /// The default: 680 x 380.
    pub const DEFAULT: Self = Self {
        width: 680,
        height: 380,
    };
    /// The least of width and height, below which nothing is legible.
    pub const LEAST: u16 = 200;
    /// The most of width and height.
    pub const MOST: u16 = 4_000;

    /// A size, if it is one that can be drawn: both from [`LEAST`](Self::LEAST) to [`MOST`](Self::MOST).
    ///
    /// ```
    /// use kvlens_analysis::report::Size;
    /// assert_eq!(Size::new(680, 380), Some(Size::DEFAULT));
    /// assert_eq!(Size::new(680, 10), None);
    /// ```
    pub fn new(width: u16, height: u16) -> Option<Self> {
        let fits = |side| (Self::LEAST..=Self::MOST).contains(&side);
        (fits(width) && fits(height)).then_some(Self { width, height })
    }
}

impl Default for Size {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Pixels of a PNG for one of a screen: 288 to the inch, as printing needs.
pub const PNG_SCALE: u16 = 3;

impl Plot {
    /// Draws it as SVG on white. Text stays text, in a font without serifs.
    pub fn svg(&self, size: Size) -> String {
        svg::written(&figure::laid_out(self, size), size)
    }

    /// Draws it as PNG on white, with [`PNG_SCALE`] times the pixels of `size`.
    ///
    /// # Errors
    /// [`AnalysisError::Drawing`](crate::AnalysisError::Drawing) if the picture can't be made.
    pub fn png(&self, size: Size) -> crate::error::Result<Vec<u8>> {
        png::painted(&figure::laid_out(self, size), size).map_err(|problem| {
            crate::error::AnalysisError::Drawing {
                id: self.id.clone(),
                problem,
            }
        })
    }
}
