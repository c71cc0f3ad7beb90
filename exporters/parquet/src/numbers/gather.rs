//! A column's chunks, gathered into pages.

use super::native::Native;
use super::runs;
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

/// The pages of a column.
#[derive(Debug)]
pub(super) struct Pages<T>(Vec<Page<T>>);

impl<T: Native> Page<T> {
    fn new() -> Self {
        Self {
            values: Vec::with_capacity(PAGE_ROWS),
            rows: 0,
            levels: Vec::new(),
        }
    }

    fn level(&mut self, level: u32, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        match self.levels.last_mut() {
            Some((last, run)) if *last == level => *run += len,
            _ if len > 0 => self.levels.push((level, len)),
            _ => {}
        }
    }

    fn append(&mut self, values: &[T], nulls: Option<&NullBuffer>) {
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
}

impl<T: Native> Pages<T> {
    /// Gathers chunks of values, each with the bits that say which are there.
    pub(super) fn gather<'a>(chunks: impl Iterator<Item = (&'a [T], Option<&'a NullBuffer>)>) -> Self {
        let mut pages: Vec<Page<T>> = Vec::new();
        for (values, nulls) in chunks {
            let mut at = 0;
            while at < values.len() {
                let full = pages.last().is_none_or(|page| page.rows >= PAGE_ROWS);
                if full {
                    pages.push(Page::new());
                }
                let Some(page) = pages.last_mut() else { break };
                let len = (PAGE_ROWS - page.rows).min(values.len() - at);
                let nulls = nulls.map(|nulls| nulls.slice(at, len));
                page.append(values.get(at..at + len).unwrap_or(&[]), nulls.as_ref());
                at += len;
            }
        }
        Self(pages)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Page<T>> {
        self.0.iter()
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.iter().map(|page| page.rows).sum()
    }

    /// How many values there are.
    pub(super) fn values(&self) -> usize {
        self.iter().map(|page| page.values.len()).sum()
    }

    /// How many runs of equal values there are.
    pub(super) fn runs(&self) -> usize {
        self.iter().map(|page| runs::count(&page.values)).sum()
    }
}
