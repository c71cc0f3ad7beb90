//! From a page's values to its bytes.

use super::native::Native;
use super::packing::width;
use super::page::Page;
use super::{delta, hybrid};
use parquet::basic::Encoding;

/// A page, encoded.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Rows of a data page, values of a dictionary.
    pub(super) rows: u32,
    pub(super) encoding: Encoding,
}

/// A page of values in an encoding that is no dictionary.
pub(super) fn values<T: Native>(page: &Page<T>, nullable: bool, encoding: Encoding) -> Body {
    body(page, nullable, encoding, |out| match encoding {
        Encoding::DELTA_BINARY_PACKED => delta::encode(&page.values, out),
        Encoding::BYTE_STREAM_SPLIT => split(&page.values, out),
        _ => plain(&page.values, out),
    })
}

/// A page of indices into a dictionary of so many values, as runs of an index each.
pub(super) fn indices<T: Native>(
    page: &Page<T>,
    nullable: bool,
    runs: &[(u32, usize)],
    values: usize,
) -> Body {
    // Never 0, which not every reader takes.
    let width = width(values.saturating_sub(1) as u64).max(1);
    body(page, nullable, Encoding::RLE_DICTIONARY, |out| {
        out.push(u8::try_from(width).unwrap_or(0));
        let runs = runs
            .iter()
            .map(|(number, len)| (*number, u32::try_from(*len).unwrap_or(u32::MAX)));
        hybrid::encode(runs, width, out);
    })
}

/// The page of a dictionary: values as they are.
pub(super) fn dictionary(bytes: Vec<u8>, values: usize) -> Body {
    Body {
        bytes,
        rows: u32::try_from(values).unwrap_or(u32::MAX),
        encoding: Encoding::PLAIN,
    }
}

/// Writes values as they are.
pub(super) fn plain<T: Native>(values: &[T], out: &mut Vec<u8>) {
    out.reserve(values.len() * T::WIDTH);
    for value in values {
        out.extend_from_slice(&value.bits().to_le_bytes()[..T::WIDTH]);
    }
}

/// Writes the lowest byte of every value, then the next one of every value, and so on.
fn split<T: Native>(values: &[T], out: &mut Vec<u8>) {
    out.reserve(values.len() * T::WIDTH);
    for byte in 0..T::WIDTH {
        let shift = byte * 8;
        out.extend(values.iter().map(|value| low_byte(value.bits() >> shift)));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest byte is what is asked for"
)]
const fn low_byte(bits: u64) -> u8 {
    bits as u8
}

/// A data page: levels, where values can be missing, then values.
fn body<T: Native>(
    page: &Page<T>,
    nullable: bool,
    encoding: Encoding,
    values: impl FnOnce(&mut Vec<u8>),
) -> Body {
    let mut bytes = Vec::new();
    if nullable {
        bytes.extend_from_slice(&[0; 4]);
        hybrid::encode(page.levels.iter().copied(), 1, &mut bytes);
        let len = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&len.to_le_bytes());
    }
    values(&mut bytes);
    Body {
        bytes,
        rows: u32::try_from(page.rows).unwrap_or(u32::MAX),
        encoding,
    }
}
