//! The bytes of a CSV file turned into batches, wherever they are cut.

use super::column::Column;
use super::head::Head;
use crate::error::DamageCause;
use crate::scan::parquet::BATCH_ROWS;
use crate::scan::unit::{Each, Read};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use csv_core::ReadRecordResult;
use std::sync::Arc;

/// Fields and bytes of a record for which there is room at first.
const ROOM: usize = 1024;

/// Takes the bytes of a CSV file piece by piece.
#[derive(Debug)]
pub(crate) struct Decoder {
    schema: SchemaRef,
    /// One per column of the file; those that are not wanted are not kept.
    columns: Vec<(String, Option<Column>)>,
    rows: usize,
    /// Whether the record is the header.
    in_header: bool,
    records: Records,
}

impl Decoder {
    /// Makes one for the columns of a file that are wanted.
    pub(crate) fn new(head: Head, wants: impl Fn(&str) -> bool) -> Self {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for field in head.fields {
            let column = wants(field.name()).then(|| Column::new(field.data_type()));
            columns.push((field.name().clone(), column));
            if wants(field.name()) {
                fields.push(field);
            }
        }
        Self {
            schema: Arc::new(Schema::new(fields)),
            columns,
            rows: 0,
            in_header: true,
            records: Records::new(),
        }
    }

    /// Hands over the rows that end in these bytes, in batches; all but those of the last batch.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], each: &mut Each<'_>) -> Read {
        while !bytes.is_empty() {
            if !self.records.read(&mut bytes) {
                break;
            }
            if let Err(cause) = self.record() {
                return Ok(Err(cause));
            }
            if self.rows >= BATCH_ROWS
                && let Err(cause) = self.flush(each)?
            {
                return Ok(Err(cause));
            }
        }
        Ok(Ok(()))
    }

    /// Takes what is there after the last line's end as a record, and hands over the rest of the rows.
    pub(crate) fn finish(&mut self, each: &mut Each<'_>) -> Read {
        if self.records.read(&mut &[][..])
            && let Err(cause) = self.record()
        {
            return Ok(Err(cause));
        }
        self.flush(each)
    }

    /// Hands over the rows that were not yet.
    pub(crate) fn flush(&mut self, each: &mut Each<'_>) -> Read {
        if self.rows == 0 {
            return Ok(Ok(()));
        }
        let columns = self.columns.iter_mut().filter_map(|(_, column)| column.as_mut());
        let arrays = columns.map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        match RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options) {
            Ok(batch) => each(&batch).map(Ok),
            Err(cause) => Ok(Err(cause.into())),
        }
    }

    /// Appends the record that was read to the columns.
    fn record(&mut self) -> Result<(), DamageCause> {
        let line = self.records.line;
        let fields = self.records.take();
        if std::mem::take(&mut self.in_header) {
            return Ok(());
        }
        if fields.ends.len() != self.columns.len() {
            return Err(DamageCause::CsvFields {
                line,
                found: fields.ends.len(),
                expected: self.columns.len(),
            });
        }
        for ((name, column), field) in self.columns.iter_mut().zip(fields.iter()) {
            let Some(column) = column else { continue };
            if !column.push(field) {
                return Err(DamageCause::CsvValue {
                    line,
                    column: name.clone(),
                    found: String::from_utf8_lossy(field).into_owned(),
                });
            }
        }
        self.rows += 1;
        Ok(())
    }
}

/// Takes records out of bytes.
#[derive(Debug)]
pub(super) struct Records {
    core: csv_core::Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    ended: usize,
    /// The line on which the record began that was read last, from 1.
    line: u64,
}

/// The fields of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied();
        starts
            .zip(ends)
            .map(|(start, end)| self.bytes.get(start..end).unwrap_or_default())
    }
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            core: csv_core::Reader::new(),
            bytes: vec![0; ROOM],
            ends: vec![0; ROOM],
            filled: 0,
            ended: 0,
            line: 1,
        }
    }

    /// Reads on to the end of a record; false where the bytes end before. No bytes stand for the end of the file.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> bool {
        loop {
            if self.filled == 0 && self.ended == 0 {
                self.line = self.core.line();
            }
            let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
            let ends = self.ends.get_mut(self.ended..).unwrap_or_default();
            let (result, read, written, ended) = self.core.read_record(bytes, room, ends);
            *bytes = bytes.get(read..).unwrap_or_default();
            self.filled += written;
            self.ended += ended;
            match result {
                ReadRecordResult::Record => return true,
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return false,
            }
        }
    }

    /// The record that was read; the next one takes its place.
    pub(super) fn take(&mut self) -> Fields<'_> {
        let (filled, ended) = (std::mem::take(&mut self.filled), std::mem::take(&mut self.ended));
        Fields {
            bytes: self.bytes.get(..filled).unwrap_or_default(),
            ends: self.ends.get(..ended).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_schema::{DataType, Field};

    fn decoder() -> Decoder {
        let field = |name: &str, ty| Field::new(name, ty, true);
        let fields = vec![
            field("n", DataType::Int64),
            field("dropped", DataType::Int64),
            field("text", DataType::Utf8),
        ];
        Decoder::new(Head { fields }, |name| name != "dropped")
    }

    fn rows(batch: &RecordBatch) -> Vec<(Option<i64>, Option<String>)> {
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        let texts = batch.column(1).as_string::<i32>();
        let pairs = numbers.iter().zip(texts);
        pairs.map(|(n, text)| (n, text.map(str::to_owned))).collect()
    }

    #[test]
    fn bytes_may_be_cut_anywhere() {
        let long = "x".repeat(3 * ROOM);
        let text = format!("n,dropped,text\n1,7,\"a,\n\"\"b\"\"\"\n,,\r\n-3,,{long}");
        let expected = [
            (Some(1), Some("a,\n\"b\"".to_owned())),
            (None, None),
            (Some(-3), Some(long)),
        ];
        for size in [1, 2, 5, 17, text.len()] {
            let mut decoder = decoder();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                let mut each = |batch: &RecordBatch| {
                    found.extend(rows(batch));
                    Ok(())
                };
                decoder.feed(piece, &mut each).unwrap().unwrap();
                decoder.flush(&mut each).unwrap().unwrap();
            }
            let mut each = |batch: &RecordBatch| {
                found.extend(rows(batch));
                Ok(())
            };
            decoder.finish(&mut each).unwrap().unwrap();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let told = |text: &str| {
            let read = decoder().feed(text.as_bytes(), &mut |_| Ok(()));
            read.unwrap().unwrap_err().to_string()
        };
        assert_eq!(
            told("n,dropped,text\n1,2,a\n1,2\n"),
            "line 3 has 2 fields where the header has 3"
        );
        assert_eq!(
            told("n,dropped,text\n1,2,a\nx,2,a\n"),
            "line 3: `x` can't be a value of column `n`"
        );
    }

    #[test]
    fn rows_are_counted_where_no_column_is_wanted() {
        let fields = vec![Field::new("n", DataType::Int64, true)];
        let mut decoder = Decoder::new(Head { fields }, |_| false);
        let mut count = 0;
        let mut each = |batch: &RecordBatch| {
            count += batch.num_rows();
            Ok(())
        };
        decoder.feed(b"n\n1\n2\n", &mut each).unwrap().unwrap();
        decoder.finish(&mut each).unwrap().unwrap();
        assert_eq!(count, 2);
    }
}
