//! The smallest and largest value of integer columns.
//!
//! The writer of the crate `parquet` compares value by value through the column's logical type, which cost a quarter of
//! the whole export. These loops compare native integers, so the writer's own statistics are off for integers.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use parquet::file::statistics::Statistics;

/// Computes the statistics of a column; `None` for one whose statistics the writer makes.
pub(crate) fn of<'a>(chunks: impl Iterator<Item = &'a ArrayRef> + Clone) -> Option<Statistics> {
    let nulls = chunks.clone().map(|chunk| chunk.null_count() as u64).sum();
    match chunks.clone().next()?.data_type() {
        DataType::UInt64 => {
            let [min, max] = extremes::<UInt64Type>(chunks).map(|value| value.map(u64::cast_signed));
            Some(Statistics::int64(min, max, None, Some(nulls), false))
        }
        DataType::UInt32 => {
            let [min, max] = extremes::<UInt32Type>(chunks).map(|value| value.map(u32::cast_signed));
            Some(Statistics::int32(min, max, None, Some(nulls), false))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let [min, max] = extremes::<TimestampNanosecondType>(chunks);
            Some(Statistics::int64(min, max, None, Some(nulls), false))
        }
        _ => None,
    }
}

fn extremes<'a, T: ArrowPrimitiveType>(chunks: impl Iterator<Item = &'a ArrayRef>) -> [Option<T::Native>; 2]
where
    T::Native: Ord,
{
    let mut found: Option<(T::Native, T::Native)> = None;
    for chunk in chunks {
        let Some(array) = chunk.as_primitive_opt::<T>() else {
            continue;
        };
        if let Some((min, max)) = extremes_of(array) {
            found = Some(found.map_or((min, max), |(least, most)| (least.min(min), most.max(max))));
        }
    }
    [found.map(|(min, _)| min), found.map(|(_, max)| max)]
}

fn extremes_of<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Option<(T::Native, T::Native)>
where
    T::Native: Ord,
{
    let fold = |values: &[T::Native]| {
        let first = *values.first()?;
        Some(values.iter().fold((first, first), |(min, max), value| {
            (min.min(*value), max.max(*value))
        }))
    };
    let values = array.values();
    match array.nulls() {
        None => fold(values),
        Some(nulls) => nulls
            .valid_slices()
            .filter_map(|(from, to)| fold(values.get(from..to)?))
            .reduce(|(min, max), (least, most)| (min.min(least), max.max(most))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{UInt32Array, UInt64Array};
    use std::sync::Arc;

    #[test]
    fn extremes_ignore_nulls_and_are_unsigned() {
        let chunks: [ArrayRef; 3] = [
            Arc::new(UInt64Array::from(vec![None, Some(7), Some(u64::MAX)])),
            Arc::new(UInt64Array::from(vec![None, None])),
            Arc::new(UInt64Array::from(vec![9, 3])),
        ];
        let found = of(chunks.iter()).unwrap();
        assert_eq!(found, Statistics::int64(Some(3), Some(-1), None, Some(3), false));
    }

    #[test]
    fn nothing_but_nulls_has_no_extremes() {
        let chunks: [ArrayRef; 1] = [Arc::new(UInt32Array::new_null(4))];
        assert_eq!(
            of(chunks.iter()).unwrap(),
            Statistics::int32(None, None, None, Some(4), false)
        );
    }
}
