//! From pages to a column chunk of a file.

use super::body::Body;
use crate::encoding::ColumnSize;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError as Cause;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use std::io::Write;

/// So many values in a byte are not worth a compressor's time.
const TINY_VALUES_A_BYTE: usize = 40;

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

impl Chunk {
    /// How large it is, with and without compression.
    pub(crate) fn size(&self) -> ColumnSize {
        let metadata = &self.close.metadata;
        ColumnSize {
            encoded: metadata.uncompressed_size(),
            compressed: metadata.compressed_size(),
        }
    }

    /// Puts the chunk into a row group, as its next column.
    pub(crate) fn append_to<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), Cause> {
        group.append_column(&self.bytes, self.close)
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The data pages of a chunk, as they stand in the file.
pub(super) struct Pages {
    sink: TrackedWrite<Vec<u8>>,
    zstd: Zstd,
    rows: usize,
    uncompressed: usize,
    stats: Vec<PageEncodingStats>,
}

/// Whether pages are compressed.
#[derive(Debug)]
enum Zstd {
    Off,
    On,
    /// As soon as they are worth it: until then they wait, and are small.
    Later {
        waiting: Vec<Body>,
        bytes: usize,
    },
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Pages {
    /// Begins a chunk; `exactly` compresses also what is too small to be worth it.
    pub(super) fn new(zstd: bool, exactly: bool) -> Self {
        let zstd = match (zstd, exactly) {
            (false, _) => Zstd::Off,
            (true, true) => Zstd::On,
            (true, false) => Zstd::Later {
                waiting: Vec::new(),
                bytes: 0,
            },
        };
        Self {
            sink: TrackedWrite::new(Vec::new()),
            zstd,
            rows: 0,
            uncompressed: 0,
            stats: Vec::new(),
        }
    }

    /// Adds a page.
    pub(super) fn push(&mut self, body: Body, codec: &mut Codec) -> Result<(), Cause> {
        self.rows += body.rows as usize;
        match &mut self.zstd {
            Zstd::Later { waiting, bytes } => {
                *bytes += body.bytes.len();
                waiting.push(body);
                if *bytes * TINY_VALUES_A_BYTE > self.rows {
                    self.compress_from_now_on(codec)?;
                }
                Ok(())
            }
            Zstd::On => self.put(body, Some(codec)),
            Zstd::Off => self.put(body, None),
        }
    }

    fn compress_from_now_on(&mut self, codec: &mut Codec) -> Result<(), Cause> {
        if let Zstd::Later { waiting, .. } = std::mem::replace(&mut self.zstd, Zstd::On) {
            for body in waiting {
                self.put(body, Some(codec))?;
            }
        }
        Ok(())
    }

    fn put(&mut self, body: Body, codec: Option<&mut Codec>) -> Result<(), Cause> {
        let encoding = body.encoding;
        let page = page(body, PageType::DATA_PAGE, codec)?;
        self.uncompressed += SerializedPageWriter::new(&mut self.sink)
            .write_page(page)?
            .uncompressed_size;
        match self.stats.iter_mut().find(|stats| stats.encoding == encoding) {
            Some(stats) => stats.count += 1,
            None => self.stats.push(stats(PageType::DATA_PAGE, encoding)),
        }
        Ok(())
    }

    /// Ends the chunk: its bytes, and what a footer tells of them.
    pub(super) fn close(
        mut self,
        descr: &ColumnDescPtr,
        dictionary: Option<Body>,
        statistics: Statistics,
        codec: &mut Codec,
    ) -> Result<Chunk, Cause> {
        let dictionary_bytes = dictionary.as_ref().map_or(0, |body| body.bytes.len());
        match &mut self.zstd {
            Zstd::Later { bytes, .. } if (*bytes + dictionary_bytes) * TINY_VALUES_A_BYTE > self.rows => {
                self.compress_from_now_on(codec)?;
            }
            Zstd::Later { waiting, .. } => {
                let waiting = std::mem::take(waiting);
                self.zstd = Zstd::Off;
                waiting.into_iter().try_for_each(|body| self.put(body, None))?;
            }
            Zstd::On | Zstd::Off => {}
        }
        let zstd = matches!(self.zstd, Zstd::On);
        let mut head = TrackedWrite::new(Vec::new());
        if let Some(body) = dictionary {
            self.stats
                .insert(0, stats(PageType::DICTIONARY_PAGE, body.encoding));
            let page = page(body, PageType::DICTIONARY_PAGE, zstd.then_some(&mut *codec))?;
            self.uncompressed += SerializedPageWriter::new(&mut head)
                .write_page(page)?
                .uncompressed_size;
        }
        self.metadata(head.into_inner()?, descr, statistics, zstd.then_some(codec.level))
    }

    fn metadata(
        self,
        head: Vec<u8>,
        descr: &ColumnDescPtr,
        statistics: Statistics,
        zstd: Option<ZstdLevel>,
    ) -> Result<Chunk, Cause> {
        let first_page = head.len();
        let mut bytes = head;
        bytes.append(&mut self.sink.into_inner()?);
        let bytes = Bytes::from(bytes);
        // Levels are in this one.
        let mut encodings = vec![Encoding::RLE];
        for stats in &self.stats {
            if !encodings.contains(&stats.encoding) {
                encodings.push(stats.encoding);
            }
        }
        let metadata = ColumnChunkMetaData::builder(descr.clone())
            .set_encodings(encodings)
            .set_page_encoding_stats(self.stats)
            .set_compression(zstd.map_or(Compression::UNCOMPRESSED, Compression::ZSTD))
            .set_num_values(signed(self.rows))
            .set_total_compressed_size(signed(bytes.len()))
            .set_total_uncompressed_size(signed(self.uncompressed))
            .set_data_page_offset(signed(first_page))
            .set_dictionary_page_offset((first_page > 0).then_some(0))
            .set_statistics(statistics);
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok(Chunk { bytes, close })
    }
}

fn stats(page_type: PageType, encoding: Encoding) -> PageEncodingStats {
    PageEncodingStats {
        page_type,
        encoding,
        count: 1,
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
