//! Whether two tables hold the same rows, in whatever order and in however many files.

use arrow_array::{Array, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, DataType};
use std::collections::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A sum over rows: the same for the same rows.
///
/// A row's share is a hash of its values, each hashed with its column's name; what is missing counts as nothing, so that
/// a column of which nothing is known makes no difference.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    sum: u64,
    converters: HashMap<String, (DataType, RowConverter)>,
}

impl Tally {
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut rows = vec![0_u64; batch.num_rows()];
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let seed = xxh3_64(field.name().as_bytes());
            let converter = self.converter(field.name(), column.data_type())?;
            let encoded = converter.convert_columns(std::slice::from_ref(column))?;
            let missing = column.logical_nulls();
            for (at, (row, value)) in rows.iter_mut().zip(&encoded).enumerate() {
                if missing.as_ref().is_none_or(|missing| missing.is_valid(at)) {
                    *row = row.wrapping_add(xxh3_64_with_seed(value.as_ref(), seed));
                }
            }
        }
        self.rows += batch.num_rows() as u64;
        self.sum = rows
            .iter()
            .fold(self.sum, |sum, row| sum.wrapping_add(xxh3_64(&row.to_le_bytes())));
        Ok(())
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        (self.rows, self.sum) == (other.rows, other.sum)
    }

    fn converter(&mut self, name: &str, ty: &DataType) -> Result<&mut RowConverter, ArrowError> {
        let known = self.converters.get(name).is_some_and(|(known, _)| known == ty);
        if !known {
            let converter = RowConverter::new(vec![SortField::new(ty.clone())])?;
            self.converters.insert(name.to_owned(), (ty.clone(), converter));
        }
        let found = self.converters.get_mut(name).map(|(_, converter)| converter);
        found.ok_or_else(|| ArrowError::ComputeError("a converter went away".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, DictionaryArray, StringArray, UInt64Array, types::Int32Type};
    use std::sync::Arc;

    fn tally(batches: &[RecordBatch]) -> Tally {
        let mut tally = Tally::default();
        batches.iter().for_each(|batch| tally.add(batch).unwrap());
        tally
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
            .unwrap()
    }

    #[test]
    fn order_files_dictionaries_and_unknown_columns_make_no_difference_and_values_do() {
        let numbers = |values: &[u64]| Arc::new(UInt64Array::from(values.to_vec())) as ArrayRef;
        let plain = Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef;
        let coded = Arc::new(DictionaryArray::<Int32Type>::from_iter(["b", "a"])) as ArrayRef;
        let one = tally(&[batch(vec![("n", numbers(&[1, 2])), ("s", plain.clone())])]);
        let nulls = Arc::new(UInt64Array::from(vec![None, None])) as ArrayRef;
        let other = tally(&[batch(vec![("s", coded), ("x", nulls), ("n", numbers(&[2, 1]))])]);
        assert!(one.same(&other));
        let swapped = tally(&[batch(vec![("n", numbers(&[2, 1])), ("s", plain.clone())])]);
        assert!(!one.same(&swapped), "values that belong to another row");
        assert!(!one.same(&tally(&[batch(vec![("m", numbers(&[1, 2])), ("s", plain)])])));
        assert!(!one.same(&tally(&[])));
    }
}
