//! A column of text out of a short list. It is always a dictionary: readers make one of it, and some can do that from
//! dictionary pages only.

use super::body::{self, Body};
use super::page::Page;
use super::runs;
use arrow_array::{Array, StringArray};
use parquet::data_type::ByteArray;
use parquet::file::statistics::Statistics;

/// A column chunk's text.
#[derive(Debug)]
pub(super) struct Texts {
    /// Numbers of the list.
    pub(super) page: Page<i32>,
    list: Vec<String>,
    /// Whether a text occurs; as long as the list.
    used: Vec<bool>,
    missing: usize,
    /// Scratch.
    numbers: Vec<(u32, usize)>,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self {
            page: Page::new(),
            list: Vec::new(),
            used: Vec::new(),
            missing: 0,
            numbers: Vec::new(),
        }
    }

    /// Takes in an array's list; says which number each of its texts has, or `None` when they have their own.
    pub(super) fn learn(&mut self, list: &StringArray) -> Option<Vec<i32>> {
        let same = list.len() == self.list.len()
            && self
                .list
                .iter()
                .zip(list)
                .all(|(own, text)| Some(own.as_str()) == text);
        if same {
            return None;
        }
        let numbers: Vec<i32> = list
            .iter()
            .map(|text| self.number(text.unwrap_or_default()))
            .collect();
        let own = (0..).zip(&numbers).all(|(own, number): (i32, _)| own == *number);
        (!own).then_some(numbers)
    }

    fn number(&mut self, text: &str) -> i32 {
        let known = self.list.iter().position(|own| own == text);
        let number = known.unwrap_or_else(|| {
            self.list.push(text.to_owned());
            self.used.push(false);
            self.list.len() - 1
        });
        i32::try_from(number).unwrap_or(i32::MAX)
    }

    /// Encodes the rows that wait as a page.
    pub(super) fn take_page(&mut self, nullable: bool) -> Body {
        self.missing += self.page.missing();
        self.numbers.clear();
        let (numbers, used) = (&mut self.numbers, &mut self.used);
        runs::each(&self.page.values, |key, len| {
            if let Some(used) = usize::try_from(key).ok().and_then(|key| used.get_mut(key)) {
                *used = true;
            }
            numbers.push((key.cast_unsigned(), len));
        });
        let body = body::indices(&self.page, nullable, numbers, self.list.len());
        self.page.clear();
        body
    }

    /// The list.
    pub(super) fn dictionary(&self) -> Body {
        let mut bytes = Vec::new();
        for text in &self.list {
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        body::dictionary(bytes, self.list.len())
    }

    /// The smallest and the largest text that occurs, and how many are missing.
    pub(super) fn statistics(&self) -> Statistics {
        let texts = || self.list.iter().zip(&self.used).filter(|(_, used)| **used);
        let bytes = |text: Option<(&String, &bool)>| text.map(|(text, _)| ByteArray::from(text.as_str()));
        Statistics::byte_array(
            bytes(texts().min()),
            bytes(texts().max()),
            None,
            Some(self.missing as u64),
            false,
        )
    }
}
