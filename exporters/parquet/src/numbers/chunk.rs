//! From page bodies to a column chunk of a file.

use super::encode::{Body, Column};
use crate::encoding::{ColumnEncoding, ColumnSize};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError as Cause;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use std::io::Write;

/// A compressor that is used for many pages.
pub(crate) struct Codec {
    zstd: zstd::bulk::Compressor<'static>,
    level: ZstdLevel,
}

impl Codec {
    /// Makes a compressor of a zstd level.
    pub(crate) fn new(level: i32) -> Result<Self, Cause> {
        Ok(Self {
            zstd: zstd::bulk::Compressor::new(level)?,
            level: ZstdLevel::try_new(level)?,
        })
    }

    fn compress(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Cause> {
        Ok(self.zstd.compress(bytes)?)
    }
}

/// A column chunk, encoded, as it stands in a file.
#[derive(Debug)]
pub(crate) struct Chunk {
    bytes: Bytes,
    close: ColumnCloseResult,
}

impl Column {
    /// How large the column is in one way of writing it, with and without compression.
    pub(crate) fn size(&self, encoding: Option<Encoding>, codec: &mut Codec) -> Result<ColumnSize, Cause> {
        let bodies = self.encode(encoding, true);
        let (mut encoded, mut compressed) = (0, 0);
        for bytes in bodies.iter() {
            encoded += bytes.len();
            compressed += codec.compress(bytes)?.len();
        }
        Ok(ColumnSize {
            encoded: signed(encoded as u64),
            compressed: signed(compressed as u64),
        })
    }

    /// Writes the column as a chunk; `numbers` are the statistics of a column of numbers.
    pub(crate) fn write(
        &self,
        descr: &ColumnDescPtr,
        way: ColumnEncoding,
        numbers: Option<Statistics>,
        codec: &mut Codec,
    ) -> Result<Chunk, Cause> {
        let bodies = self.encode(way.encoding, false);
        let mut writer = Writer {
            sink: TrackedWrite::new(Vec::new()),
            zstd: (way.zstd && !bodies.is_tiny(self.rows())).then_some(codec),
            uncompressed: 0,
            first_page: None,
            stats: Vec::new(),
        };
        if let Some(dictionary) = bodies.dictionary {
            writer.write(dictionary, PageType::DICTIONARY_PAGE)?;
        }
        for page in bodies.pages {
            writer.write(page, PageType::DATA_PAGE)?;
        }
        writer.close(
            descr,
            self.rows() as u64,
            numbers.or_else(|| self.text_statistics()),
        )
    }

    fn text_statistics(&self) -> Option<Statistics> {
        let (extremes, missing) = self.text_extremes()?;
        let [min, max] = extremes.map(|text| text.map(ByteArray::from));
        Some(Statistics::byte_array(min, max, None, Some(missing), false))
    }
}

impl Chunk {
    /// Puts the chunk into a row group, as its next column.
    pub(crate) fn append_to<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), Cause> {
        group.append_column(&self.bytes, self.close)
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The pages of a chunk, as they are put down one after the other.
struct Writer<'a> {
    sink: TrackedWrite<Vec<u8>>,
    zstd: Option<&'a mut Codec>,
    uncompressed: usize,
    /// Where the first data page begins.
    first_page: Option<usize>,
    stats: Vec<PageEncodingStats>,
}

impl Writer<'_> {
    fn write(&mut self, body: Body, page_type: PageType) -> Result<(), Cause> {
        if page_type == PageType::DATA_PAGE {
            self.first_page.get_or_insert(self.sink.bytes_written());
        }
        let encoding = body.encoding;
        let page = page(body, page_type, self.zstd.as_deref_mut())?;
        self.uncompressed += SerializedPageWriter::new(&mut self.sink)
            .write_page(page)?
            .uncompressed_size;
        let same =
            |stats: &&mut PageEncodingStats| stats.page_type == page_type && stats.encoding == encoding;
        match self.stats.iter_mut().find(same) {
            Some(stats) => stats.count += 1,
            None => self.stats.push(PageEncodingStats {
                page_type,
                encoding,
                count: 1,
            }),
        }
        Ok(())
    }

    /// What was put down, and what a footer tells of it.
    fn close(self, descr: &ColumnDescPtr, rows: u64, statistics: Option<Statistics>) -> Result<Chunk, Cause> {
        let compression = self
            .zstd
            .map_or(Compression::UNCOMPRESSED, |codec| Compression::ZSTD(codec.level));
        let bytes = Bytes::from(self.sink.into_inner()?);
        let dictionary = self
            .stats
            .iter()
            .any(|stats| stats.page_type == PageType::DICTIONARY_PAGE);
        // Levels are in this one.
        let mut encodings = vec![Encoding::RLE];
        for stats in &self.stats {
            if !encodings.contains(&stats.encoding) {
                encodings.push(stats.encoding);
            }
        }
        let mut metadata = ColumnChunkMetaData::builder(descr.clone())
            .set_encodings(encodings)
            .set_page_encoding_stats(self.stats)
            .set_compression(compression)
            .set_num_values(signed(rows))
            .set_total_compressed_size(signed(bytes.len() as u64))
            .set_total_uncompressed_size(signed(self.uncompressed as u64))
            .set_data_page_offset(signed(self.first_page.unwrap_or(0) as u64))
            .set_dictionary_page_offset(dictionary.then_some(0));
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok(Chunk { bytes, close })
    }
}

fn page(body: Body, page_type: PageType, zstd: Option<&mut Codec>) -> Result<CompressedPage, Cause> {
    let (num_values, encoding, uncompressed) = (body.rows, body.encoding, body.bytes.len());
    let buf = Bytes::from(match zstd {
        Some(codec) => codec.compress(&body.bytes)?,
        None => body.bytes,
    });
    let page = if page_type == PageType::DICTIONARY_PAGE {
        Page::DictionaryPage {
            buf,
            num_values,
            encoding,
            is_sorted: false,
        }
    } else {
        Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    };
    Ok(CompressedPage::new(page, uncompressed))
}
