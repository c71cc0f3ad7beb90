//! One schema for parts that were written by processes that know different metrics.

use crate::error::{CompactError, Result};
use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use kvlens_core::Table;
use std::sync::Arc;

/// Every column that some part has, in the order in which they come up.
pub(crate) fn union(table: Table, schemas: &[SchemaRef], run_id: &str) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut metadata = schemas
        .first()
        .map(|schema| schema.metadata().clone())
        .unwrap_or_default();
    for schema in schemas {
        // What holds for one part only, such as its process's clock, does not hold for all.
        metadata.retain(|name, value| schema.metadata().get(name) == Some(value));
        for field in schema.fields() {
            match fields.iter_mut().find(|known| known.name() == field.name()) {
                None => fields.push(field.clone()),
                Some(known) if known.data_type() == field.data_type() => {
                    if field.is_nullable() && !known.is_nullable() {
                        *known = Arc::new(Field::clone(known).with_nullable(true));
                    }
                }
                Some(known) => {
                    return Err(CompactError::Types {
                        table: table.name(),
                        column: field.name().clone(),
                        one: known.data_type().to_string(),
                        other: field.data_type().to_string(),
                    });
                }
            }
        }
    }
    for field in &mut fields {
        let everywhere = schemas
            .iter()
            .all(|schema| schema.field_with_name(field.name()).is_ok());
        if !everywhere && !field.is_nullable() {
            *field = Arc::new(Field::clone(field).with_nullable(true));
        }
    }
    metadata.insert("kvlens.run_id".to_owned(), run_id.to_owned());
    Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
}

/// Brings a batch to the schema: a column that it lacks is missing in every row.
pub(crate) fn fit(table: Table, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let column = |field: &FieldRef| -> ArrayRef {
        let found = batch.column_by_name(field.name());
        found
            .cloned()
            .unwrap_or_else(|| new_null_array(field.data_type(), rows))
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).map_err(|source| CompactError::Rows {
        action: "bring to one schema the",
        table: table.name(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, StringArray, UInt64Array};
    use arrow_schema::DataType;

    #[test]
    fn columns_that_some_lack_become_missing_and_types_have_to_agree() {
        let of = |fields: &[(&str, DataType)]| -> SchemaRef {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, ty)| Field::new(*name, ty.clone(), false))
                .collect();
            Arc::new(Schema::new(fields))
        };
        let (a, b) = (
            of(&[("t", DataType::UInt64)]),
            of(&[("t", DataType::UInt64), ("x", DataType::Utf8)]),
        );
        let all = union(Table::Samples, &[a.clone(), b], "r").unwrap();
        let batch = RecordBatch::try_new(a.clone(), vec![Arc::new(UInt64Array::from(vec![1, 2]))]).unwrap();
        let fitted = fit(Table::Samples, &batch, &all).unwrap();
        assert_eq!(fitted.column(1).null_count(), 2);
        assert!(fitted.column(1).as_any().is::<StringArray>());
        let error = union(Table::Samples, &[a, of(&[("t", DataType::Utf8)])], "r").unwrap_err();
        assert!(
            error.to_string().contains("`t` of `samples` is UInt64"),
            "{error}"
        );
    }
}
