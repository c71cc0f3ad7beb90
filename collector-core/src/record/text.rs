//! Short text without a heap.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

const CAPACITY: usize = 47;

/// Up to 47 bytes of UTF-8 in 48: an identifier that an engine hands over without allocating.
///
/// Longer text keeps its beginning and ends in `~` and eight hexadecimal digits of a hash of the whole, so that two
/// long identifiers with one beginning stay apart.
///
/// ```
/// use kvlens_core::record::Text;
/// assert_eq!(Text::new("cmpl-42").as_str(), "cmpl-42");
/// let long = Text::new(&"x".repeat(100));
/// assert_eq!(long.as_str().len(), 47);
/// assert_ne!(long, Text::new(&"x".repeat(101)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text {
    len: u8,
    bytes: [u8; CAPACITY],
}

impl Text {
    /// No text.
    pub const EMPTY: Self = Self {
        len: 0,
        bytes: [0; CAPACITY],
    };

    /// The longest text that is kept whole, in bytes.
    pub const CAPACITY: usize = CAPACITY;

    /// Copies text; what is too long is shortened as the type's documentation says.
    pub fn new(text: &str) -> Self {
        if text.len() <= CAPACITY {
            return Self::copy(text);
        }
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(text);
        let mut end = CAPACITY - 9;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::copy(&format!("{}~{:08x}", &text[..end], hash & 0xffff_ffff))
    }

    /// Writes a number in decimal.
    pub fn number(mut value: u64) -> Self {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        let mut text = Self::EMPTY;
        let len = digits.len() - at;
        text.bytes[..len].copy_from_slice(&digits[at..]);
        text.len = u8::try_from(len).unwrap_or(0);
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.len).min(CAPACITY)];
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    fn copy(text: &str) -> Self {
        let mut out = Self::EMPTY;
        out.bytes[..text.len()].copy_from_slice(text.as_bytes());
        out.len = u8::try_from(text.len()).unwrap_or(0);
        out
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for n in [0, 9, 10, 12_031, u64::MAX] {
            assert_eq!(Text::number(n).as_str(), n.to_string());
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = Text::new(&"ä".repeat(40));
        assert!(text.as_str().starts_with('ä') && text.as_str().contains('~'));
    }
}
