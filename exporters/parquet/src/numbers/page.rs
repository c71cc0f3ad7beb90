//! The rows of the page that comes next.

use super::native::Native;
use crate::encoding::PAGE_ROWS;
use arrow_buffer::NullBuffer;

/// The level of a value that is there, in a column where values can be missing.
const THERE: u32 = 1;
/// The level of a missing one.
const MISSING: u32 = 0;

/// The rows of a page.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// The values that are there.
    pub(super) values: Vec<T>,
    /// Rows, missing values among them.
    pub(super) rows: usize,
    /// Which values are there, as runs of levels.
    pub(super) levels: Vec<(u32, u32)>,
}

impl<T: Native> Page<T> {
    /// Makes an empty page.
    pub(super) fn new() -> Self {
        Self {
            values: Vec::new(),
            rows: 0,
            levels: Vec::new(),
        }
    }

    /// How many more rows it takes.
    pub(super) fn room(&self) -> usize {
        PAGE_ROWS.saturating_sub(self.rows)
    }

    /// How many values are missing.
    pub(super) fn missing(&self) -> usize {
        self.rows - self.values.len()
    }

    /// Empties it, for the next rows.
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.levels.clear();
        self.rows = 0;
    }

    /// Adds rows, with the bits that say which are there.
    pub(super) fn append(&mut self, values: &[T], nulls: Option<&NullBuffer>) {
        self.rows += values.len();
        let Some(nulls) = nulls else {
            self.level(THERE, values.len());
            self.values.extend_from_slice(values);
            return;
        };
        let mut at = 0;
        for (from, to) in nulls.valid_slices() {
            self.level(MISSING, from - at);
            self.level(THERE, to - from);
            self.values.extend_from_slice(values.get(from..to).unwrap_or(&[]));
            at = to;
        }
        self.level(MISSING, values.len() - at);
    }

    fn level(&mut self, level: u32, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        match self.levels.last_mut() {
            Some((last, run)) if *last == level => *run += len,
            _ if len > 0 => self.levels.push((level, len)),
            _ => {}
        }
    }
}
