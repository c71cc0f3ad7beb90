//! One schema for runs that differ.

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{Result, plan_err};
use std::collections::HashMap;
use std::sync::Arc;

/// The column that says which run a row is of.
pub(crate) const RUN_ID: &str = "run_id";

/// The type of [`RUN_ID`].
pub(crate) fn run_id_type() -> DataType {
    DataType::Utf8View
}

/// Puts schemas together by column name; where a run lacks a column, its rows have null there.
#[derive(Debug, Default)]
pub(super) struct Union {
    fields: Vec<FieldRef>,
    places: HashMap<String, usize>,
}

impl Union {
    /// Adds the columns of a run's table.
    pub(super) fn add(&mut self, run_id: &str, schema: &Schema) -> Result<()> {
        for field in schema.fields() {
            if field.name() == RUN_ID {
                continue;
            }
            let wanted = simple(field);
            match self
                .places
                .get(field.name())
                .and_then(|at| self.fields.get_mut(*at))
            {
                None => {
                    self.places.insert(field.name().clone(), self.fields.len());
                    self.fields.push(wanted);
                }
                Some(known) if known.data_type() == wanted.data_type() => {}
                Some(known) => match common(known.data_type(), wanted.data_type()) {
                    Some(ty) => *known = Arc::new(known.as_ref().clone().with_data_type(ty)),
                    None => {
                        return plan_err!(
                            "column `{}` of run `{run_id}` has type {} and in other runs {}: name one kind of runs only",
                            field.name(),
                            wanted.data_type(),
                            known.data_type()
                        );
                    }
                },
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> SchemaRef {
        Arc::new(Schema::new(self.fields))
    }
}

/// A column as the engine likes it: text as views, which group and compare fastest, and nothing promised to be there.
fn simple(field: &Field) -> FieldRef {
    let ty = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Dictionary(_, values) if values.as_ref() == &DataType::Utf8 => DataType::Utf8View,
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), ty, true).with_metadata(field.metadata().clone()))
}

/// A type that holds the values of both.
fn common(one: &DataType, other: &DataType) -> Option<DataType> {
    let number = |ty: &DataType| ty.is_numeric();
    match (one, other) {
        (DataType::Null, ty) | (ty, DataType::Null) => Some(ty.clone()),
        (DataType::UInt32, DataType::UInt64) | (DataType::UInt64, DataType::UInt32) => Some(DataType::UInt64),
        (one, other) if number(one) && number(other) => Some(DataType::Float64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(
            fields
                .iter()
                .map(|(name, ty)| Field::new(*name, ty.clone(), false))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn columns_come_together_by_name() {
        let mut union = Union::default();
        union
            .add(
                "a",
                &schema(&[
                    ("x", DataType::UInt32),
                    ("source", kvlens_schema::schema::dictionary_type()),
                ]),
            )
            .unwrap();
        union
            .add("b", &schema(&[("y", DataType::Float64), ("x", DataType::UInt64)]))
            .unwrap();
        let merged = union.finish();
        let types: Vec<_> = merged
            .fields()
            .iter()
            .map(|field| (field.name().as_str(), field.data_type()))
            .collect();
        let expected = [
            ("x", &DataType::UInt64),
            ("source", &DataType::Utf8View),
            ("y", &DataType::Float64),
        ];
        assert_eq!(types, expected);
    }

    #[test]
    fn a_number_and_a_text_do_not_come_together() {
        let mut union = Union::default();
        union.add("a", &schema(&[("x", DataType::UInt32)])).unwrap();
        let error = union
            .add("b", &schema(&[("x", DataType::Utf8)]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("column `x` of run `b`"), "{error}");
    }
}
