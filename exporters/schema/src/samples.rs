//! The `samples` table: one column per metric.

use crate::column::Column;
use crate::rows::wall;
use kvlens_core::record::{Sample, Value};
use kvlens_core::run::RunSchema;
use std::iter::once;

/// Appends one sample; metrics beyond its values are missing.
pub(crate) fn append(columns: &mut [Column], run: &RunSchema, sample: &Sample) {
    let at = sample.monotonic_ns;
    let mut values = sample.values.iter();
    for (place, column) in columns.iter_mut().enumerate() {
        match (place, column) {
            (0, Column::Time(column)) => column.extend(1, once(wall(run.clock_of(sample.source), at))),
            (1, Column::U64(column)) => column.extend(1, once(at)),
            (2, Column::Code(column, _)) => column.extend(1, once(i32::from(sample.source.0))),
            (3, Column::Text(column)) => column.append_option(sample.served_by.as_deref()),
            (4, Column::U64(column)) => column.extend(1, once(sample.interval_ns)),
            (5, Column::U64(column)) => column.extend(1, once(sample.overshoot_ns)),
            (6, Column::U32(column)) => column.extend(1, once(sample.merged)),
            (_, column) => append_value(column, values.next().unwrap_or(&Value::Missing)),
        }
    }
}

fn append_value(column: &mut Column, value: &Value) {
    match column {
        Column::U64(column) => column.push(integer_of(value)),
        Column::F64(column) => column.push(float_of(value)),
        Column::Histogram(column) => column.push(value),
        // No metric has another type: see `schema::metric_type`.
        _ => {}
    }
}

/// The value as a whole number; what can't be one is missing.
pub fn integer_of(value: &Value) -> Option<u64> {
    match value {
        Value::Counter(total) => Some(*total),
        Value::Gauge(now) => rounded(*now),
        _ => None,
    }
}

/// The value as a finite float.
#[expect(
    clippy::cast_precision_loss,
    reason = "a counter in a float column loses what a float can't hold"
)]
pub fn float_of(value: &Value) -> Option<f64> {
    match value {
        Value::Counter(total) => Some(*total as f64),
        Value::Gauge(now) => now.is_finite().then_some(*now),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what a gauge below 0 or past 2^64 should do"
)]
fn rounded(value: f64) -> Option<u64> {
    value.is_finite().then(|| value.round() as u64)
}
