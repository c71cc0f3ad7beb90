//! What the tests share: reading a run back in every format, and an oracle that knows no Arrow.

#![allow(dead_code, reason = "each test binary uses a part")]

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_ipc::reader::FileReader;
use arrow_schema::DataType;
use kvlens_core::record::{
    AccessRow, BlockRow, ColumnDesc, ColumnType, ColumnVisitor, RequestRow, Row, StepRow, Table,
};
use kvlens_core::run::{RunSchema, SourceIndex};
use kvlens_core::{Batch, ClockAnchor};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The sealed Parquet parts of a table, in order.
pub(crate) fn parts(run: &Path, table: Table) -> Vec<PathBuf> {
    let listing = fs::read_dir(run.join(table.name())).unwrap();
    let mut parts: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
    parts.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("part-"));
    // `part-00001-tail` holds the rows that came after `part-00001`.
    parts.sort_by_key(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace(".parquet", "")
    });
    parts
}

pub(crate) fn read_parquet(run: &Path, table: Table) -> Vec<RecordBatch> {
    let read = |path: PathBuf| {
        let file = File::open(&path).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap()
            .map(Result::unwrap)
    };
    parts(run, table).into_iter().flat_map(read).collect()
}

pub(crate) fn read_arrow(run: &Path, table: Table) -> Vec<RecordBatch> {
    let file = File::open(run.join(format!("{}.arrow", table.name()))).unwrap();
    FileReader::try_new(file, None)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Every value as text, `None` where it is null; row by row.
pub(crate) fn rendered(batches: &[RecordBatch]) -> Vec<Vec<Option<String>>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            rows.push(
                batch
                    .columns()
                    .iter()
                    .map(|column| render(column.as_ref(), row))
                    .collect(),
            );
        }
    }
    rows
}

fn render(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Timestamp(..) => column
            .as_any()
            .downcast_ref::<TimestampNanosecondArray>()
            .unwrap()
            .value(row)
            .to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Dictionary(..) => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let names: &StringArray = dictionary.values().as_string();
            names
                .value(usize::try_from(dictionary.keys().value(row)).unwrap())
                .to_owned()
        }
        other => panic!("no row table has {other}"),
    })
}

/// What the rows of a batch must look like, made without the code under test.
pub(crate) fn expected(schema: &RunSchema, batch: &Batch) -> Vec<Vec<Option<String>>> {
    match batch {
        Batch::Steps(source, rows) => expected_rows::<StepRow>(schema, *source, rows),
        Batch::Requests(source, rows) => expected_rows::<RequestRow>(schema, *source, rows),
        Batch::Blocks(source, rows) => expected_rows::<BlockRow>(schema, *source, rows),
        Batch::Accesses(source, rows) => expected_rows::<AccessRow>(schema, *source, rows),
        other => panic!("not a row table: {:?}", other.table()),
    }
}

fn expected_rows<R: Row>(schema: &RunSchema, source: SourceIndex, rows: &[R]) -> Vec<Vec<Option<String>>> {
    let name = schema.source_name(source).to_owned();
    let row = |row: &R| {
        let mut expect = Expect {
            row,
            clock: schema.clock_of(source),
            source: Some(name.clone()),
            fields: Vec::new(),
        };
        R::visit(&mut expect);
        expect.fields
    };
    rows.iter().map(row).collect()
}

struct Expect<'a, R> {
    row: &'a R,
    clock: ClockAnchor,
    source: Option<String>,
    fields: Vec<Option<String>>,
}

impl<R> Expect<'_, R> {
    fn wall(&self, at: u64) -> String {
        i64::try_from(self.clock.to_wall(at))
            .unwrap_or(i64::MAX)
            .to_string()
    }
}

impl<R> ColumnVisitor<R> for Expect<'_, R> {
    fn time(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u64) {
        let at = get(self.row);
        self.fields.push(Some(self.wall(at)));
        if let Some(source) = self.source.take() {
            self.fields.push(Some(at.to_string()));
            self.fields.push(Some(source));
        }
    }
    fn opt_time(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>) {
        let wall = get(self.row).map(|at| self.wall(at));
        self.fields.push(wall);
    }
    fn u64(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u64) {
        self.fields.push(Some(get(self.row).to_string()));
    }
    fn opt_u64(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>) {
        self.fields.push(get(self.row).map(|value| value.to_string()));
    }
    fn u32(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u32) {
        self.fields.push(Some(get(self.row).to_string()));
    }
    fn opt_u32(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u32>) {
        self.fields.push(get(self.row).map(|value| value.to_string()));
    }
    fn text(&mut self, _: &'static ColumnDesc, get: impl for<'a> Fn(&'a R) -> &'a str) {
        self.fields.push(Some(get(self.row).to_owned()));
    }
    fn code(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> Option<u8>) {
        let ColumnType::Code(names) = column.ty else {
            panic!("{} is no code", column.name)
        };
        self.fields
            .push(get(self.row).map(|code| names[usize::from(code)].to_owned()));
    }
    fn flag(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> bool) {
        self.fields.push(Some(get(self.row).to_string()));
    }
}
