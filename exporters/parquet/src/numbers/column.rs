//! A column chunk under construction: arrays in, pages out.

use super::body::Body;
use super::chunk::{Chunk, Codec, Pages};
use super::integers::Integers;
use super::native::Native;
use super::page::Page;
use super::texts::Texts;
use crate::encoding::ColumnEncoding;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use parquet::errors::ParquetError as Cause;
use parquet::schema::types::ColumnDescPtr;

/// A column of our types ([`is_ours`]), encoded page by page as rows come.
#[derive(Debug)]
pub(crate) struct OpenColumn {
    kind: Kind,
    nullable: bool,
    pages: Pages,
}

#[derive(Debug)]
enum Kind {
    U32(Integers<u32>),
    U64(Integers<u64>),
    I64(Integers<i64>),
    Text(Texts),
}

/// Whether columns of this type are encoded here.
fn is_ours(data_type: &DataType) -> bool {
    match data_type {
        DataType::UInt32 | DataType::UInt64 | DataType::Timestamp(TimeUnit::Nanosecond, _) => true,
        DataType::Dictionary(keys, values) => **keys == DataType::Int32 && **values == DataType::Utf8,
        _ => false,
    }
}

impl OpenColumn {
    /// Begins a column chunk; `None` for a type that is not ours ([`is_ours`]).
    ///
    /// A column of long runs becomes a dictionary whatever was measured, unless its way is to be taken `exactly`.
    pub(crate) fn new(
        data_type: &DataType,
        nullable: bool,
        way: ColumnEncoding,
        exactly: bool,
    ) -> Option<Self> {
        let kind = match data_type {
            DataType::UInt32 => Kind::U32(Integers::new(way.encoding, exactly)),
            DataType::UInt64 => Kind::U64(Integers::new(way.encoding, exactly)),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Kind::I64(Integers::new(way.encoding, exactly)),
            _ if is_ours(data_type) => Kind::Text(Texts::new()),
            _ => return None,
        };
        let pages = Pages::new(way.zstd, exactly);
        Some(Self {
            kind,
            nullable,
            pages,
        })
    }

    /// Adds rows; pages that become full are encoded.
    pub(crate) fn append(&mut self, array: &ArrayRef, codec: &mut Codec) -> Result<(), Cause> {
        let Self {
            kind,
            nullable,
            pages,
        } = self;
        let unfit = || Cause::General(format!("a column turned into one of {}", array.data_type()));
        let nulls = array.nulls();
        match kind {
            Kind::U32(own) => {
                let array = array.as_primitive_opt::<UInt32Type>().ok_or_else(unfit)?;
                fill(
                    own,
                    array.values(),
                    nulls,
                    |body| pages.push(body, codec),
                    *nullable,
                )
            }
            Kind::U64(own) => {
                let array = array.as_primitive_opt::<UInt64Type>().ok_or_else(unfit)?;
                fill(
                    own,
                    array.values(),
                    nulls,
                    |body| pages.push(body, codec),
                    *nullable,
                )
            }
            Kind::I64(own) => {
                let array = array.as_primitive_opt::<TimestampNanosecondType>();
                let array = array.ok_or_else(unfit)?;
                fill(
                    own,
                    array.values(),
                    nulls,
                    |body| pages.push(body, codec),
                    *nullable,
                )
            }
            Kind::Text(own) => {
                let array = array.as_dictionary_opt::<Int32Type>().ok_or_else(unfit)?;
                let list = array.values().as_string_opt::<i32>().ok_or_else(unfit)?;
                let keys: &[i32] = array.keys().values();
                // An entry of the list may itself be missing.
                let nulls = array.logical_nulls();
                let learned = own.learn(list).map(|numbers| renumber(keys, &numbers));
                let keys = learned.as_deref().unwrap_or(keys);
                fill(
                    own,
                    keys,
                    nulls.as_ref(),
                    |body| pages.push(body, codec),
                    *nullable,
                )
            }
        }
    }

    /// Encodes what waits and ends the chunk.
    pub(crate) fn close(self, descr: &ColumnDescPtr, codec: &mut Codec) -> Result<Chunk, Cause> {
        let Self {
            kind,
            nullable,
            mut pages,
        } = self;
        let (dictionary, statistics) = match kind {
            Kind::U32(mut own) => {
                last_page(&mut own, &mut pages, nullable, codec)?;
                (own.dictionary(), own.statistics())
            }
            Kind::U64(mut own) => {
                last_page(&mut own, &mut pages, nullable, codec)?;
                (own.dictionary(), own.statistics())
            }
            Kind::I64(mut own) => {
                last_page(&mut own, &mut pages, nullable, codec)?;
                (own.dictionary(), own.statistics())
            }
            Kind::Text(mut own) => {
                last_page(&mut own, &mut pages, nullable, codec)?;
                (Some(own.dictionary()), own.statistics())
            }
        };
        pages.close(descr, dictionary, statistics, codec)
    }
}

/// Values that wait for their page to be full.
trait Waiting {
    type Value: Native;
    fn page(&mut self) -> &mut Page<Self::Value>;
    fn encode(&mut self, nullable: bool) -> Body;
}

impl<T: Native> Waiting for Integers<T> {
    type Value = T;

    fn page(&mut self) -> &mut Page<T> {
        &mut self.page
    }

    fn encode(&mut self, nullable: bool) -> Body {
        self.take_page(nullable)
    }
}

impl Waiting for Texts {
    type Value = i32;

    fn page(&mut self) -> &mut Page<i32> {
        &mut self.page
    }

    fn encode(&mut self, nullable: bool) -> Body {
        self.take_page(nullable)
    }
}

/// Adds rows to the page that waits, and calls back whenever it is full.
fn fill<W: Waiting>(
    waiting: &mut W,
    values: &[W::Value],
    nulls: Option<&NullBuffer>,
    mut full: impl FnMut(Body) -> Result<(), Cause>,
    nullable: bool,
) -> Result<(), Cause> {
    let mut at = 0;
    while at < values.len() {
        let page = waiting.page();
        let len = page.room().min(values.len() - at);
        let nulls = nulls.map(|nulls| nulls.slice(at, len));
        page.append(values.get(at..at + len).unwrap_or(&[]), nulls.as_ref());
        at += len;
        if page.room() == 0 {
            full(waiting.encode(nullable))?;
        }
    }
    Ok(())
}

fn last_page<W: Waiting>(
    waiting: &mut W,
    pages: &mut Pages,
    nullable: bool,
    codec: &mut Codec,
) -> Result<(), Cause> {
    if waiting.page().rows > 0 {
        pages.push(waiting.encode(nullable), codec)?;
    }
    Ok(())
}

fn renumber(keys: &[i32], numbers: &[i32]) -> Vec<i32> {
    let number = |key: &i32| usize::try_from(*key).ok().and_then(|key| numbers.get(key));
    // A key that is missing may be anything.
    keys.iter().map(|key| number(key).copied().unwrap_or(0)).collect()
}
