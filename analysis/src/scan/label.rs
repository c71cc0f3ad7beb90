//! Names of sources, told apart where several processes are read as one run.

use crate::error::Result;
use crate::scan::{Cols, Strings};
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Field, Schema};
use std::sync::Arc;

/// The column that names the source.
const SOURCE: &str = "source";

/// Puts a process's label before the names of sources: `engine-0` becomes `rank3/engine-0`.
pub(super) fn labelled(
    batch: &RecordBatch,
    label: &str,
) -> Result<std::result::Result<RecordBatch, ArrowError>> {
    let Some((at, field)) = batch.schema_ref().column_with_name(SOURCE) else {
        return Ok(Ok(batch.clone()));
    };
    let name = |source: Option<&str>| source.map(|source| format!("{label}/{source}"));
    let renamed: ArrayRef = match Cols::new(batch).strings(SOURCE)? {
        Strings::Coded(keys, values) => {
            let values: StringArray = values.iter().map(name).collect();
            match DictionaryArray::try_new(keys.clone(), Arc::new(values)) {
                Ok(array) => Arc::new(array),
                Err(error) => return Ok(Err(error)),
            }
        }
        other => Arc::new(
            (0..batch.num_rows())
                .map(|row| name(other.get(row)))
                .collect::<StringArray>(),
        ),
    };
    let mut fields = batch.schema_ref().fields().to_vec();
    let mut columns = batch.columns().to_vec();
    let field = Field::new(SOURCE, renamed.data_type().clone(), field.is_nullable());
    for (slot, new) in fields.get_mut(at).into_iter().zip([field]) {
        *slot = Arc::new(new);
    }
    for (slot, new) in columns.get_mut(at).into_iter().zip([renamed]) {
        *slot = new;
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;

    #[test]
    fn names_get_the_label_whatever_their_type() {
        let plain = StringArray::from(vec![Some("a"), None, Some("b")]);
        let coded: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b")].into_iter().collect();
        for column in [Arc::new(plain) as ArrayRef, Arc::new(coded)] {
            let batch = RecordBatch::try_from_iter_with_nullable([(SOURCE, column, true)]).unwrap();
            let batch = labelled(&batch, "rank1").unwrap().unwrap();
            let names = Cols::new(&batch).strings(SOURCE).unwrap();
            let names: Vec<_> = (0..3).map(|row| names.get(row)).collect();
            assert_eq!(names, [Some("rank1/a"), None, Some("rank1/b")]);
        }
        let other =
            RecordBatch::try_from_iter([("x", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]).unwrap();
        assert_eq!(labelled(&other, "rank1").unwrap().unwrap(), other);
    }
}
