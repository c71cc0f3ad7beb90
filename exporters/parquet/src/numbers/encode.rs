//! From a column's values to the bodies of its pages.

use super::dictionary::Dictionary;
use super::gather::{Page, Pages};
use super::native::Native;
use super::packing::width;
use super::{delta, hybrid, runs};
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int32Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::{DataType, TimeUnit};
use parquet::basic::Encoding;

/// A column whose runs are this long on average is tried as a dictionary of its values, whatever was measured: that is by
/// far the fastest.
const LONG_RUNS: usize = 8;

/// It stays one if so many values take no more than a byte.
const VALUES_A_BYTE: usize = 10;

/// So many values in a byte are not worth a compressor's time.
const TINY_VALUES_A_BYTE: usize = 40;

/// Whether columns of this type are encoded here.
pub(crate) fn is_ours(data_type: &DataType) -> bool {
    match data_type {
        DataType::UInt32 | DataType::UInt64 | DataType::Timestamp(TimeUnit::Nanosecond, _) => true,
        DataType::Dictionary(keys, values) => **keys == DataType::Int32 && **values == DataType::Utf8,
        _ => false,
    }
}

/// The values of a column, ready to be encoded.
#[derive(Debug)]
pub(crate) struct Column {
    kind: Kind,
    nullable: bool,
}

#[derive(Debug)]
enum Kind {
    U32(Pages<u32>),
    U64(Pages<u64>),
    I64(Pages<i64>),
    /// Text out of a short list: the numbers, and the list.
    Text(Pages<i32>, StringArray),
}

/// A column's pages, encoded.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    pub(super) dictionary: Option<Body>,
    pub(super) pages: Vec<Body>,
}

/// A page, encoded.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Rows of a data page, values of a dictionary.
    pub(super) rows: u32,
    pub(super) encoding: Encoding,
}

impl Column {
    /// Gathers a column of [our types](is_ours); `None` for another one, or a list of text that changes on the way.
    pub(crate) fn gather<'a>(
        chunks: impl Iterator<Item = &'a ArrayRef> + Clone,
        nullable: bool,
    ) -> Option<Self> {
        let first = chunks.clone().next()?;
        let kind = match first.data_type() {
            DataType::UInt32 => Kind::U32(primitives::<UInt32Type>(chunks)),
            DataType::UInt64 => Kind::U64(primitives::<UInt64Type>(chunks)),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Kind::I64(primitives::<TimestampNanosecondType>(chunks))
            }
            DataType::Dictionary(..) => {
                let list = first.as_any_dictionary_opt()?.values().as_string_opt::<i32>()?;
                let arrays = chunks.map(|chunk| chunk.as_dictionary_opt::<Int32Type>());
                let arrays: Vec<_> = arrays.collect::<Option<_>>()?;
                let known = |values: &ArrayRef| values.as_string_opt::<i32>() == Some(list);
                if list.null_count() > 0 || !arrays.iter().all(|array| known(array.values())) {
                    return None;
                }
                let keys = arrays
                    .iter()
                    .map(|array| (array.keys().values().as_ref(), array.keys().nulls()));
                Kind::Text(Pages::gather(keys), list.clone())
            }
            _ => return None,
        };
        Some(Self { kind, nullable })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        match &self.kind {
            Kind::U32(pages) => pages.rows(),
            Kind::U64(pages) => pages.rows(),
            Kind::I64(pages) => pages.rows(),
            Kind::Text(pages, _) => pages.rows(),
        }
    }

    /// The smallest and the largest text that occurs, and how many are missing; `None` for numbers.
    pub(super) fn text_extremes(&self) -> Option<([Option<&str>; 2], u64)> {
        let Kind::Text(pages, list) = &self.kind else {
            return None;
        };
        let mut used = vec![false; list.len()];
        for page in pages.iter() {
            runs::each(&page.values, |key, _| {
                if let Some(used) = usize::try_from(key).ok().and_then(|key| used.get_mut(key)) {
                    *used = true;
                }
            });
        }
        let texts = || {
            list.iter()
                .zip(&used)
                .filter(|(_, used)| **used)
                .filter_map(|(text, _)| text)
        };
        let missing = (pages.rows() - pages.values()) as u64;
        Some(([texts().min(), texts().max()], missing))
    }

    /// Encodes the column; `None` is a dictionary.
    ///
    /// A column of long runs becomes a dictionary all the same, unless `exactly` is asked for.
    pub(crate) fn encode(&self, encoding: Option<Encoding>, exactly: bool) -> Bodies {
        match &self.kind {
            Kind::U32(pages) => numbers(pages, self.nullable, encoding, exactly),
            Kind::U64(pages) => numbers(pages, self.nullable, encoding, exactly),
            Kind::I64(pages) => numbers(pages, self.nullable, encoding, exactly),
            Kind::Text(pages, list) => texts(pages, list, self.nullable),
        }
    }
}

impl Bodies {
    /// How many bytes there are.
    fn len(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// Whether compression can't be worth its time, for so many rows.
    pub(super) fn is_tiny(&self, rows: usize) -> bool {
        self.len() * TINY_VALUES_A_BYTE <= rows
    }

    /// The bytes of all pages and of the dictionary.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.dictionary
            .iter()
            .chain(&self.pages)
            .map(|body| body.bytes.as_slice())
    }
}

fn primitives<'a, P: ArrowPrimitiveType<Native: Native>>(
    chunks: impl Iterator<Item = &'a ArrayRef>,
) -> Pages<P::Native> {
    let arrays = chunks.filter_map(|chunk| chunk.as_primitive_opt::<P>());
    Pages::gather(arrays.map(|array| (array.values().as_ref(), array.nulls())))
}

fn numbers<T: Native>(pages: &Pages<T>, nullable: bool, encoding: Option<Encoding>, exactly: bool) -> Bodies {
    let values = pages.values();
    if values == 0 {
        // Nothing but levels; a dictionary of nothing would be one page more.
        let plain = |page: &Page<T>| body(page, nullable, Encoding::PLAIN, |_| {});
        return Bodies {
            pages: pages.iter().map(plain).collect(),
            dictionary: None,
        };
    }
    if !exactly && pages.runs() * LONG_RUNS <= values {
        let bodies = dictionary(pages, nullable);
        if bodies.len() * VALUES_A_BYTE <= values {
            return bodies;
        }
    }
    match encoding {
        Some(encoding) => {
            let pages = pages
                .iter()
                .map(|page| body(page, nullable, encoding, |out| encode(page, encoding, out)));
            Bodies {
                pages: pages.collect(),
                dictionary: None,
            }
        }
        None => dictionary(pages, nullable),
    }
}

fn encode<T: Native>(page: &Page<T>, encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::DELTA_BINARY_PACKED => delta::encode(&page.values, out),
        Encoding::BYTE_STREAM_SPLIT => split(&page.values, out),
        _ => plain(&page.values, out),
    }
}

/// Writes values as they are.
fn plain<T: Native>(values: &[T], out: &mut Vec<u8>) {
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

fn dictionary<T: Native>(pages: &Pages<T>, nullable: bool) -> Bodies {
    let mut distinct = Dictionary::new();
    let mut numbers = Vec::new();
    let encoded = pages.iter().map(|page| {
        numbers.clear();
        runs::each(&page.values, |value, len| {
            numbers.push((distinct.number(value), len));
        });
        let width = index_width(distinct.values().len());
        indices(page, nullable, numbers.iter().copied(), width)
    });
    let encoded = encoded.collect();
    let mut bytes = Vec::new();
    plain(distinct.values(), &mut bytes);
    Bodies {
        dictionary: Some(dictionary_page(bytes, distinct.values().len())),
        pages: encoded,
    }
}

/// Text out of a list is always a dictionary: readers make one of it, and some can do that from dictionary pages only.
fn texts(pages: &Pages<i32>, list: &StringArray, nullable: bool) -> Bodies {
    let width = index_width(list.len());
    let mut numbers = Vec::new();
    let encoded = pages.iter().map(|page| {
        numbers.clear();
        runs::each(&page.values, |key, len| numbers.push((key.cast_unsigned(), len)));
        indices(page, nullable, numbers.iter().copied(), width)
    });
    let encoded = encoded.collect();
    let mut bytes = Vec::new();
    for text in list.iter().flatten() {
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Bodies {
        dictionary: Some(dictionary_page(bytes, list.len())),
        pages: encoded,
    }
}

fn dictionary_page(bytes: Vec<u8>, values: usize) -> Body {
    Body {
        bytes,
        rows: u32::try_from(values).unwrap_or(u32::MAX),
        encoding: Encoding::PLAIN,
    }
}

/// How wide a dictionary's indices are; never 0, which not every reader takes.
fn index_width(values: usize) -> u32 {
    width(values.saturating_sub(1) as u64).max(1)
}

fn indices<T: Native>(
    page: &Page<T>,
    nullable: bool,
    runs: impl Iterator<Item = (u32, usize)>,
    width: u32,
) -> Body {
    body(page, nullable, Encoding::RLE_DICTIONARY, |out| {
        out.push(u8::try_from(width).unwrap_or(0));
        let runs = runs.map(|(number, len)| (number, u32::try_from(len).unwrap_or(u32::MAX)));
        hybrid::encode(runs, width, out);
    })
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
