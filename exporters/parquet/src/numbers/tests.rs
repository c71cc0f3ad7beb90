//! What is encoded comes back through the reader of the crate `parquet`.

use super::{Chunk, Codec, Column};
use crate::encoding::{ColumnEncoding, PAGE_ROWS};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray,
    UInt32Array, UInt64Array,
};
use arrow_schema::{Field, Schema};
use arrow_select::concat::concat;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema};
use parquet::basic::Encoding;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use proptest::prelude::*;
use std::sync::Arc;

const WAYS: [Option<Encoding>; 4] = [
    None,
    Some(Encoding::DELTA_BINARY_PACKED),
    Some(Encoding::BYTE_STREAM_SPLIT),
    Some(Encoding::PLAIN),
];

/// Writes a file of one column and reads it back.
fn round_trip(chunks: &[ArrayRef], nullable: bool, way: ColumnEncoding) -> (ArrayRef, Bytes) {
    let schema = Schema::new(vec![Field::new("c", chunks[0].data_type().clone(), nullable)]);
    let descr = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let metadata = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&schema));
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![metadata]));
    let mut writer =
        SerializedFileWriter::new(Vec::new(), descr.root_schema_ptr(), Arc::new(properties.build())).unwrap();
    let mut codec = Codec::new(1).unwrap();
    let column = Column::gather(chunks.iter(), nullable).unwrap();
    let statistics = crate::statistics::of(chunks.iter());
    let written: Chunk = column
        .write(&descr.column(0), way, statistics, &mut codec)
        .unwrap();
    let mut group = writer.next_row_group().unwrap();
    written.append_to(&mut group).unwrap();
    group.close().unwrap();
    let file = Bytes::from(writer.into_inner().unwrap());
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
    (concat(&arrays).unwrap(), file)
}

fn check(chunks: &[ArrayRef], nullable: bool) {
    let arrays: Vec<&dyn Array> = chunks.iter().map(AsRef::as_ref).collect();
    let expected = concat(&arrays).unwrap();
    for encoding in WAYS {
        for zstd in [false, true] {
            let (found, _) = round_trip(chunks, nullable, ColumnEncoding { encoding, zstd });
            assert_eq!(&found, &expected, "{encoding:?}, zstd {zstd}");
        }
    }
}

/// Values with runs, jumps and every width.
fn values() -> impl Strategy<Value = Vec<u64>> {
    let value = prop_oneof![0_u64..3, any::<u64>(), (0_u32..64).prop_map(|bits| 1 << bits)];
    let run = (value, prop_oneof![Just(1_usize), 1_usize..40]);
    prop::collection::vec(run, 1..60).prop_map(|runs| {
        let values = runs
            .into_iter()
            .flat_map(|(value, len)| std::iter::repeat_n(value, len));
        values.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn integers_come_back(values in values(), cut: prop::sample::Index) {
        let cut = cut.index(values.len());
        let wide = |values: &[u64]| Arc::new(UInt64Array::from(values.to_vec())) as ArrayRef;
        check(&[wide(&values[..cut]), wide(&values[cut..])], false);
        let narrow: Vec<u32> = values.iter().map(|value| u32::try_from(value >> 32).unwrap()).collect();
        check(&[Arc::new(UInt32Array::from(narrow))], true);
        let times: Vec<i64> = values.iter().map(|value| value.cast_signed()).collect();
        check(&[Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))], false);
    }

    #[test]
    fn missing_values_come_back(values in values(), missing in prop::collection::vec((any::<bool>(), 1_usize..70), 1..20)) {
        let mut missing = missing.into_iter().flat_map(|(missing, len)| std::iter::repeat_n(missing, len)).cycle();
        let mut hide = || missing.next() == Some(true);
        let values: Vec<Option<u64>> = values.into_iter().map(|value| (!hide()).then_some(value)).collect();
        let half = values.len() / 2;
        let array = |values: &[Option<u64>]| Arc::new(UInt64Array::from(values.to_vec())) as ArrayRef;
        check(&[array(&values[..half]), array(&values[half..])], true);
    }

    #[test]
    fn codes_come_back(keys in prop::collection::vec((prop::option::of(0_i32..3), 1_usize..30), 1..40)) {
        let keys: Int32Array = keys.into_iter().flat_map(|(key, len)| std::iter::repeat_n(key, len)).collect();
        let names = Arc::new(StringArray::from(vec!["stop", "length", "abort"]));
        check(&[Arc::new(DictionaryArray::<Int32Type>::try_new(keys, names).unwrap())], true);
    }
}

#[test]
fn several_pages_come_back() {
    let rows = PAGE_ROWS as u64 * 2 + 77;
    let mixed: Vec<Option<u64>> = (0..rows).map(|i| (i % 7 != 0).then_some(i * i)).collect();
    check(&[Arc::new(UInt64Array::from(mixed))], true);
    let steady: Vec<u64> = (0..rows).map(|i| i / 1000).collect();
    check(&[Arc::new(UInt64Array::from(steady))], false);
}

#[test]
fn nothing_but_nulls_comes_back() {
    check(&[Arc::new(UInt32Array::new_null(100))], true);
}

#[test]
fn a_column_that_never_changes_takes_next_to_nothing() {
    let same: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX - 1; 2 * PAGE_ROWS]));
    let way = ColumnEncoding {
        encoding: Some(Encoding::BYTE_STREAM_SPLIT),
        zstd: true,
    };
    let (found, file) = round_trip(std::slice::from_ref(&same), true, way);
    assert_eq!(&found, &same);
    assert!(file.len() < 1_000, "{} bytes", file.len());
}

#[test]
fn extremes_of_codes_are_of_those_that_occur() {
    let keys = Int32Array::from(vec![Some(2), None, Some(0), Some(2)]);
    let names = Arc::new(StringArray::from(vec!["m", "z", "b"]));
    let codes: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::try_new(keys, names).unwrap());
    let column = Column::gather(std::iter::once(&codes), true).unwrap();
    assert_eq!(column.text_extremes(), Some(([Some("b"), Some("m")], 1)));
}
