//! Which encoding each column gets.
//!
//! The first rows of a run ([`FIRST_ROWS`]) are encoded in every way that their columns' types allow, and each column keeps
//! the way that was smallest. The second part, if there is one, chooses anew by more rows ([`MEASURED_ROWS`]), for the rest
//! of the run. Compression costs time again at every reading, so a
//! column is compressed only if that saves at least [`ZSTD_MUST_SAVE`] over the best way without it.
//!
//! | type | tried |
//! |---|---|
//! | integers, timestamps | dictionary, `DELTA_BINARY_PACKED`, `BYTE_STREAM_SPLIT` |
//! | floats | dictionary, `BYTE_STREAM_SPLIT`, `PLAIN` |
//! | text | dictionary, `DELTA_LENGTH_BYTE_ARRAY`, `DELTA_BYTE_ARRAY` |
//! | flags | `RLE` |
//!
//! Why not fixed rules: the same column is a dictionary in one run (prompt lengths of a benchmark) and noise in another
//! (prompt lengths of a service).

use crate::columns::Sizes;
use crate::options::ParquetOptions;
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

/// The share of a column's bytes that zstd has to save before it is used.
pub const ZSTD_MUST_SAVE: f64 = 0.10;

/// What a dictionary of numbers has to save, in bytes a value: looking every value up costs several times what any other
/// encoding does.
pub const DICTIONARY_MUST_SAVE: f64 = 0.1;

/// How many rows are measured, at most: the last ones of those that there are.
pub const MEASURED_ROWS: usize = 32_768;

/// Rows that take more memory than this are not measured beyond it: a sample with histograms takes kilobytes.
pub const MEASURED_BYTES: usize = 8 << 20;

/// A run's first choice rests on so many rows: whatever waits for it is work that is left if the run ends.
pub const FIRST_ROWS: usize = 8_192;

/// A run's first choice rests on so much memory, if that is reached first.
pub const FIRST_BYTES: usize = 1 << 20;

/// Rows of a page. Pages are decoded whole, and each starts the delta and the compressor anew.
pub const PAGE_ROWS: usize = 16_384;

/// The most ways in which one column is tried.
pub(crate) const CANDIDATES: usize = 3;

/// How one column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnEncoding {
    /// The encoding; `None` is a dictionary.
    pub encoding: Option<Encoding>,
    /// Whether pages are compressed.
    pub zstd: bool,
}

impl ColumnEncoding {
    /// The ways in which a column of a type can be written; the first is what an unmeasured column gets.
    pub fn candidates(ty: Type) -> [Option<Encoding>; 3] {
        match ty {
            Type::BOOLEAN => [Some(Encoding::RLE); 3],
            Type::FLOAT | Type::DOUBLE => [None, Some(Encoding::BYTE_STREAM_SPLIT), Some(Encoding::PLAIN)],
            Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => [
                None,
                Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
                Some(Encoding::DELTA_BYTE_ARRAY),
            ],
            _ => [
                None,
                Some(Encoding::DELTA_BINARY_PACKED),
                Some(Encoding::BYTE_STREAM_SPLIT),
            ],
        }
    }
}

/// The size of a column in one way of writing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSize {
    /// Bytes without compression.
    pub encoded: i64,
    /// Bytes with zstd.
    pub compressed: i64,
}

impl ColumnSize {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        encoded: 0,
        compressed: 0,
    };
}

/// How every column of a table is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    columns: Vec<(ColumnPath, ColumnEncoding)>,
    /// Rows that the choice rests on.
    rows: usize,
}

impl Plan {
    /// Every column in the given one of its [`candidates`](ColumnEncoding::candidates), compressed.
    pub fn uniform(columns: &SchemaDescriptor, candidate: usize) -> Self {
        let columns = columns.columns().iter().map(|column| {
            let ways = ColumnEncoding::candidates(column.physical_type());
            let encoding = ways[candidate.min(CANDIDATES - 1)];
            (column.path().clone(), ColumnEncoding { encoding, zstd: true })
        });
        Self {
            columns: columns.collect(),
            rows: 0,
        }
    }

    /// Measures every way of writing these rows and picks the smallest for each column.
    ///
    /// # Errors
    /// [`ParquetError`](crate::ParquetError) when the rows can't be encoded.
    pub fn measure(
        schema: &arrow_schema::SchemaRef,
        rows: &[arrow_array::RecordBatch],
        options: &ParquetOptions,
    ) -> Result<Self, crate::ParquetError> {
        crate::columns::choose(schema, rows, options, std::path::Path::new("measure"))
    }

    /// Picks for every column the smallest of its ways.
    pub(crate) fn pick(columns: &SchemaDescriptor, sizes: &[Sizes], rows: usize) -> Self {
        let picked = columns.columns().iter().enumerate().map(|(place, column)| {
            let ways = ColumnEncoding::candidates(column.physical_type());
            let sizes = (0..CANDIDATES).map(|candidate| sizes.get(place).map(|sizes| sizes[candidate]));
            let text = matches!(
                column.physical_type(),
                Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY
            );
            let look_ups = if text {
                0.0
            } else {
                DICTIONARY_MUST_SAVE * cost(rows)
            };
            (
                column.path().clone(),
                smallest(ways.into_iter().zip(sizes), look_ups),
            )
        });
        Self {
            columns: picked.collect(),
            rows,
        }
    }

    /// Marks a plan that rests on as much as is ever measured, if perhaps few rows: it is not made anew for more of them.
    pub(crate) fn lasting(mut self) -> Self {
        self.rows = self.rows.max(MEASURED_ROWS);
        self
    }

    /// The columns, in order, with how they are written.
    pub fn columns(&self) -> &[(ColumnPath, ColumnEncoding)] {
        &self.columns
    }

    /// Rows that the choice rests on; 0 when it was not measured.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The writer's properties.
    pub(crate) fn properties(
        &self,
        schema: &arrow_schema::Schema,
        options: &ParquetOptions,
    ) -> Result<WriterProperties, ParquetError> {
        let zstd = Compression::ZSTD(ZstdLevel::try_new(options.zstd_level())?);
        let mut builder = WriterProperties::builder()
            .set_created_by(concat!("kvlens version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(8_192)
            .set_dictionary_enabled(false);
        let leaves = ArrowSchemaConverter::new().convert(schema)?;
        for leaf in leaves.columns() {
            // Integers get theirs from `numbers`; nobody looks for the extremes of a histogram's parts.
            let integer = matches!(leaf.physical_type(), Type::INT32 | Type::INT64);
            if !integer && leaf.path().parts().len() == 1 {
                builder =
                    builder.set_column_statistics_enabled(leaf.path().clone(), EnabledStatistics::Chunk);
            }
        }
        for (path, column) in &self.columns {
            let compression = if column.zstd {
                zstd
            } else {
                Compression::UNCOMPRESSED
            };
            builder = builder.set_column_compression(path.clone(), compression);
            builder = match column.encoding {
                Some(encoding) if !is_dictionary(schema, path) => {
                    builder.set_column_encoding(path.clone(), encoding)
                }
                _ => builder.set_column_dictionary_enabled(path.clone(), true),
            };
        }
        let mut properties = builder.build();
        add_encoded_arrow_schema_to_metadata(schema, &mut properties);
        Ok(properties)
    }
}

/// Whether readers make a dictionary of a column, as the Arrow schema in the file tells them to: Arrow C++ (pyarrow) can do
/// that from dictionary pages and plain ones only.
fn is_dictionary(schema: &arrow_schema::Schema, path: &ColumnPath) -> bool {
    let [name] = path.parts() else { return false };
    schema
        .field_with_name(name)
        .is_ok_and(|field| matches!(field.data_type(), arrow_schema::DataType::Dictionary(..)))
}

/// Picks the smallest way, with `look_ups` bytes on top of a dictionary.
fn smallest(
    ways: impl Iterator<Item = (Option<Encoding>, Option<ColumnSize>)>,
    look_ups: f64,
) -> ColumnEncoding {
    let mut best = ColumnEncoding {
        encoding: None,
        zstd: true,
    };
    let mut least = f64::INFINITY;
    for (encoding, size) in ways {
        let Some(size) = size else { continue };
        let extra = if encoding.is_none() { look_ups } else { 0.0 };
        for (zstd, cost) in [
            (false, extra + cost(size.encoded)),
            (true, extra + cost(size.compressed) / (1.0 - ZSTD_MUST_SAVE)),
        ] {
            if cost < least {
                least = cost;
                best = ColumnEncoding { encoding, zstd };
            }
        }
    }
    best
}

fn cost<N: TryInto<u32>>(amount: N) -> f64 {
    // A column chunk of the measured rows is far below 4 GiB; one that is not is as bad as can be.
    f64::from(amount.try_into().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_must_earn_its_cost() {
        let way = |encoded, compressed| {
            let size = ColumnSize { encoded, compressed };
            smallest(
                [(Some(Encoding::DELTA_BINARY_PACKED), Some(size))].into_iter(),
                0.0,
            )
        };
        assert!(!way(100, 95).zstd);
        assert!(way(100, 80).zstd);
    }

    #[test]
    fn a_dictionary_must_earn_its_look_ups() {
        let size = |bytes| {
            Some(ColumnSize {
                encoded: bytes,
                compressed: bytes,
            })
        };
        let ways = || [(None, size(50)), (Some(Encoding::DELTA_BINARY_PACKED), size(55))].into_iter();
        assert_eq!(smallest(ways(), 4.0).encoding, None);
        assert_eq!(
            smallest(ways(), 6.0).encoding,
            Some(Encoding::DELTA_BINARY_PACKED)
        );
    }

    #[test]
    fn the_smallest_way_wins() {
        let size = |encoded, compressed| Some(ColumnSize { encoded, compressed });
        let ways = [
            (None, size(50, 49)),
            (Some(Encoding::DELTA_BINARY_PACKED), size(40, 40)),
            (Some(Encoding::BYTE_STREAM_SPLIT), size(80, 39)),
        ];
        let best = smallest(ways.into_iter(), 0.0);
        assert_eq!(
            best,
            ColumnEncoding {
                encoding: Some(Encoding::DELTA_BINARY_PACKED),
                zstd: false
            }
        );
    }
}
