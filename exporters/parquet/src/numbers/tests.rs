//! What is encoded comes back through the reader of the crate `parquet`.

use super::{Chunk, Codec, OpenColumn};
use crate::encoding::{ColumnEncoding, PAGE_ROWS};
use arrow_array::cast::AsArray;
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
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
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
fn round_trip(chunks: &[ArrayRef], nullable: bool, way: ColumnEncoding, exactly: bool) -> (ArrayRef, Bytes) {
    let schema = Schema::new(vec![Field::new("c", chunks[0].data_type().clone(), nullable)]);
    let descr = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let metadata = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&schema));
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![metadata]));
    let mut writer =
        SerializedFileWriter::new(Vec::new(), descr.root_schema_ptr(), Arc::new(properties.build())).unwrap();
    let mut codec = Codec::new(1).unwrap();
    let mut column = OpenColumn::new(chunks[0].data_type(), nullable, way, exactly).unwrap();
    for chunk in chunks {
        column.append(chunk, &mut codec).unwrap();
    }
    let written: Chunk = column.close(&descr.column(0), &mut codec).unwrap();
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
        for (zstd, exactly) in [(false, false), (true, false), (true, true)] {
            let (found, _) = round_trip(chunks, nullable, ColumnEncoding { encoding, zstd }, exactly);
            assert_eq!(&found, &expected, "{encoding:?}, zstd {zstd}, exactly {exactly}");
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
    let (found, file) = round_trip(std::slice::from_ref(&same), true, way, false);
    assert_eq!(&found, &same);
    assert!(file.len() < 1_000, "{} bytes", file.len());
}

/// The extremes and the number of missing values that a file's footer tells.
fn statistics(chunks: &[ArrayRef]) -> Statistics {
    let way = ColumnEncoding {
        encoding: None,
        zstd: false,
    };
    let (_, file) = round_trip(chunks, true, way, false);
    let reader = SerializedFileReader::new(file).unwrap();
    reader
        .metadata()
        .row_group(0)
        .column(0)
        .statistics()
        .unwrap()
        .clone()
}

#[test]
fn extremes_ignore_nulls_and_are_unsigned() {
    let chunks: [ArrayRef; 3] = [
        Arc::new(UInt64Array::from(vec![None, Some(7), Some(u64::MAX)])),
        Arc::new(UInt64Array::from(vec![None, None])),
        Arc::new(UInt64Array::from(vec![9, 3])),
    ];
    assert_eq!(
        statistics(&chunks),
        Statistics::int64(Some(3), Some(-1), None, Some(3), false)
    );
    let none: [ArrayRef; 1] = [Arc::new(UInt32Array::new_null(4))];
    let found = statistics(&none);
    assert_eq!((found.min_bytes_opt(), found.null_count_opt()), (None, Some(4)));
}

fn codes(keys: Vec<Option<i32>>, names: Vec<Option<&str>>) -> ArrayRef {
    let (keys, names) = (Int32Array::from(keys), Arc::new(StringArray::from(names)));
    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, names).unwrap())
}

#[test]
fn extremes_of_codes_are_of_those_that_occur() {
    let codes = codes(
        vec![Some(2), None, Some(0), Some(2)],
        vec![Some("m"), Some("z"), Some("b")],
    );
    let text = |text: &str| Some(ByteArray::from(text));
    assert_eq!(
        statistics(&[codes]),
        Statistics::byte_array(text("b"), text("m"), None, Some(1), false)
    );
}

/// Chunks that come from different runs number their texts differently, and a list may have an entry that is missing.
#[test]
fn lists_that_change_on_the_way_come_back() {
    let chunks = [
        codes(vec![Some(0), None, Some(1)], vec![Some("stop"), Some("length")]),
        codes(
            vec![Some(0), Some(1), Some(2)],
            vec![Some("abort"), None, Some("stop")],
        ),
        codes(vec![Some(1), Some(0)], vec![Some("stop"), Some("length")]),
    ];
    let texts = |array: &ArrayRef| -> Vec<Option<String>> {
        let texts = array
            .as_dictionary::<Int32Type>()
            .downcast_dict::<StringArray>()
            .unwrap();
        texts.into_iter().map(|text| text.map(str::to_owned)).collect()
    };
    let expected: Vec<_> = chunks.iter().flat_map(texts).collect();
    let way = ColumnEncoding {
        encoding: None,
        zstd: true,
    };
    let (found, _) = round_trip(&chunks, true, way, false);
    assert_eq!(texts(&found), expected);
}

/// A column that seldom changes at first and always later on: pages of indices, then pages of what was measured.
#[test]
fn a_column_that_begins_to_change_comes_back() {
    let steady = std::iter::repeat_n(7, 2 * PAGE_ROWS);
    let busy = (0..2 * PAGE_ROWS as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let values: ArrayRef = Arc::new(UInt64Array::from_iter_values(steady.chain(busy)));
    check(&[values], false);
}
