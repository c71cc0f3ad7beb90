//! A column of integers: each page in the encoding that was measured, or as a dictionary while values seldom change.

use super::body::{self, Body};
use super::dictionary::Dictionary;
use super::native::Native;
use super::page::Page;
use super::runs;
use parquet::basic::Encoding;
use parquet::file::statistics::Statistics;

/// A page whose runs are this long on average is tried as a dictionary of its values, whatever was measured: that is by
/// far the fastest.
const LONG_RUNS: usize = 8;

/// It stays one if so many values take no more than a byte.
const VALUES_A_BYTE: usize = 10;

/// A column chunk's integers.
#[derive(Debug)]
pub(super) struct Integers<T> {
    pub(super) page: Page<T>,
    /// Measured; `None` is a dictionary.
    encoding: Option<Encoding>,
    /// Whether the encoding is taken as it is, to measure it.
    exactly: bool,
    dictionary: Dictionary<T>,
    /// What the pages say that are indices into the dictionary.
    indexed: Indexed,
    extremes: Option<(T, T)>,
    missing: usize,
    /// Scratch.
    numbers: Vec<(u32, usize)>,
}

#[derive(Debug, Default)]
struct Indexed {
    values: usize,
    bytes: usize,
    /// No page is, from here on: one was not worth it.
    over: bool,
}

impl<T: Native> Integers<T> {
    pub(super) fn new(encoding: Option<Encoding>, exactly: bool) -> Self {
        Self {
            page: Page::new(),
            encoding,
            exactly,
            dictionary: Dictionary::new(),
            indexed: Indexed::default(),
            extremes: None,
            missing: 0,
            numbers: Vec::new(),
        }
    }

    /// Encodes the rows that wait as a page.
    pub(super) fn take_page(&mut self, nullable: bool) -> Body {
        self.look();
        let body = if self.page.values.is_empty() {
            // Nothing but levels.
            body::values(&self.page, nullable, Encoding::PLAIN)
        } else {
            match self.encoding {
                None => self.indices(nullable),
                Some(encoding) => self
                    .worthwhile_indices(nullable)
                    .unwrap_or_else(|| body::values(&self.page, nullable, encoding)),
            }
        };
        self.page.clear();
        body
    }

    /// The dictionary, if a page has indices into it.
    pub(super) fn dictionary(&self) -> Option<Body> {
        (self.indexed.values > 0).then(|| {
            let mut bytes = Vec::new();
            body::plain(self.dictionary.values(), &mut bytes);
            body::dictionary(bytes, self.dictionary.values().len())
        })
    }

    pub(super) fn statistics(&self) -> Statistics {
        T::statistics(self.extremes, self.missing as u64)
    }

    fn look(&mut self) {
        self.missing += self.page.missing();
        let Some(&first) = self.page.values.first() else {
            return;
        };
        let fold = |(least, most): (T, T), value: &T| (least.min(*value), most.max(*value));
        let start = self.extremes.unwrap_or((first, first));
        self.extremes = Some(self.page.values.iter().fold(start, fold));
    }

    /// The page as indices, if few values take as little as that.
    fn worthwhile_indices(&mut self, nullable: bool) -> Option<Body> {
        let values = self.page.values.len();
        if self.exactly || self.indexed.over {
            return None;
        }
        if runs::count(&self.page.values) * LONG_RUNS <= values {
            let body = self.indices(nullable);
            let bytes = self.indexed.bytes + self.dictionary.values().len() * T::WIDTH;
            if bytes * VALUES_A_BYTE <= self.indexed.values {
                return Some(body);
            }
            self.indexed.bytes -= body.bytes.len();
            self.indexed.values -= values;
        }
        self.indexed.over = true;
        None
    }

    fn indices(&mut self, nullable: bool) -> Body {
        self.numbers.clear();
        let (numbers, dictionary) = (&mut self.numbers, &mut self.dictionary);
        runs::each(&self.page.values, |value, len| {
            numbers.push((dictionary.number(value), len));
        });
        let body = body::indices(&self.page, nullable, numbers, dictionary.values().len());
        self.indexed.values += self.page.values.len();
        self.indexed.bytes += body.bytes.len();
        body
    }
}
