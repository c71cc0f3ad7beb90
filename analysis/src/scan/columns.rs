//! Typed views of a batch's columns.

use crate::error::{AnalysisError, Result};
use crate::num::float;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
    UInt32Array, UInt64Array,
};
use arrow_schema::DataType;
use std::ops::Range;

/// A batch's columns by name; one that is not there is missing in every row.
#[derive(Debug, Clone, Copy)]
pub struct Cols<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Cols<'a> {
    /// Looks at a batch.
    pub fn new(batch: &'a RecordBatch) -> Self {
        Self { batch }
    }

    /// How many rows there are.
    pub fn rows(self) -> usize {
        self.batch.num_rows()
    }

    /// A column of numbers or times.
    ///
    /// # Errors
    /// [`AnalysisError::ColumnType`] if it holds something else.
    pub fn numbers(self, name: &str) -> Result<Numbers<'a>> {
        let Some(array) = self.batch.column_by_name(name) else {
            return Ok(Numbers::Missing);
        };
        Ok(match array.data_type() {
            DataType::UInt64 => Numbers::U64(array.as_primitive::<UInt64Type>()),
            DataType::UInt32 => Numbers::U32(array.as_primitive::<UInt32Type>()),
            DataType::Int64 => Numbers::I64(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Numbers::F64(array.as_primitive::<Float64Type>()),
            DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, _) => {
                Numbers::Time(array.as_primitive::<TimestampNanosecondType>())
            }
            DataType::Null => Numbers::Missing,
            other => return Err(wrong(name, other, "a number or a time")),
        })
    }

    /// A column of text.
    ///
    /// # Errors
    /// [`AnalysisError::ColumnType`] if it holds something else.
    pub fn strings(self, name: &str) -> Result<Strings<'a>> {
        let Some(array) = self.batch.column_by_name(name) else {
            return Ok(Strings::Missing);
        };
        if let Some(text) = array.as_string_opt::<i32>() {
            return Ok(Strings::Plain(text));
        }
        if let Some(text) = array.as_string_view_opt() {
            return Ok(Strings::View(text));
        }
        let codes = array.as_dictionary_opt::<Int32Type>();
        let found = codes.and_then(|codes| Some((codes.keys(), codes.values().as_string_opt::<i32>()?)));
        match (found, array.data_type()) {
            (Some((keys, values)), _) => Ok(Strings::Coded(keys, values)),
            (None, DataType::Null) => Ok(Strings::Missing),
            (None, other) => Err(wrong(name, other, "text")),
        }
    }

    /// A column of flags; `None` if it is not there.
    ///
    /// # Errors
    /// [`AnalysisError::ColumnType`] if it holds something else.
    pub fn flags(self, name: &str) -> Result<Option<&'a BooleanArray>> {
        let Some(array) = self.batch.column_by_name(name) else {
            return Ok(None);
        };
        let flags = array.as_boolean_opt();
        flags
            .map(Some)
            .ok_or_else(|| wrong(name, array.data_type(), "true or false"))
    }

    /// A column as it is.
    pub fn array(self, name: &str) -> Option<&'a arrow_array::ArrayRef> {
        self.batch.column_by_name(name)
    }
}

fn wrong(column: &str, found: &DataType, expected: &'static str) -> AnalysisError {
    AnalysisError::ColumnType {
        column: column.to_owned(),
        found: found.to_string(),
        expected,
    }
}

/// A column of numbers.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Numbers<'a> {
    /// 64-bit counts.
    U64(&'a UInt64Array),
    /// 32-bit counts.
    U32(&'a UInt32Array),
    /// Signed numbers.
    I64(&'a Int64Array),
    /// Floats.
    F64(&'a Float64Array),
    /// Points in time.
    Time(&'a TimestampNanosecondArray),
    /// Missing in every row.
    Missing,
}

/// Does the same for every type of array.
macro_rules! each_type {
    ($numbers:expr, $array:ident => $body:expr, missing => $missing:expr) => {
        match $numbers {
            Numbers::U64($array) => $body,
            Numbers::U32($array) => $body,
            Numbers::I64($array) => $body,
            Numbers::F64($array) => $body,
            Numbers::Time($array) => $body,
            Numbers::Missing => $missing,
        }
    };
}

/// A value as the float that sums and means are made of.
trait AsFloat: Copy {
    fn as_float(self) -> f64;
}

impl AsFloat for u64 {
    fn as_float(self) -> f64 {
        float(self)
    }
}

impl AsFloat for u32 {
    fn as_float(self) -> f64 {
        f64::from(self)
    }
}

impl AsFloat for i64 {
    fn as_float(self) -> f64 {
        crate::num::signed(self)
    }
}

impl AsFloat for f64 {
    fn as_float(self) -> f64 {
        self
    }
}

impl Numbers<'_> {
    /// The value of a row; `None` where it is missing, negative or no whole number.
    pub fn get(self, row: usize) -> Option<u64> {
        match self {
            Self::U64(array) => array.is_valid(row).then(|| array.value(row)),
            Self::U32(array) => array.is_valid(row).then(|| u64::from(array.value(row))),
            Self::I64(array) => array
                .is_valid(row)
                .then(|| u64::try_from(array.value(row)).ok())
                .flatten(),
            Self::Time(array) => array
                .is_valid(row)
                .then(|| u64::try_from(array.value(row)).ok())
                .flatten(),
            Self::F64(array) => {
                let value = array.is_valid(row).then(|| array.value(row))?;
                (value >= 0.0).then(|| crate::num::rounded(value))
            }
            Self::Missing => None,
        }
    }

    /// The value of a row as a float.
    pub fn float(self, row: usize) -> Option<f64> {
        each_type!(self, array => array.is_valid(row).then(|| array.value(row).as_float()), missing => None)
    }

    /// Whether no row has a value.
    pub fn is_missing(self) -> bool {
        each_type!(self, array => array.null_count() == array.len(), missing => true)
    }

    /// Whether every row has a value.
    pub(crate) fn is_whole(self) -> bool {
        each_type!(self, array => array.null_count() == 0, missing => false)
    }

    /// The sum of the values that are there; stays at the maximum when it would pass it.
    pub fn sum(self) -> u64 {
        let rows = each_type!(self, array => array.len(), missing => 0);
        self.sum_of(0..rows)
    }

    /// The sum over some rows.
    pub(crate) fn sum_of(self, rows: Range<usize>) -> u64 {
        match self {
            Self::U32(array) if array.null_count() == 0 => {
                let values = array.values().get(rows).unwrap_or(&[]);
                values.iter().map(|value| u64::from(*value)).sum()
            }
            Self::U64(array) if array.null_count() == 0 => {
                let values = array.values().get(rows).unwrap_or(&[]);
                values
                    .iter()
                    .fold(0, |sum: u64, value| sum.saturating_add(*value))
            }
            _ => rows.filter_map(|row| self.get(row)).fold(0, u64::saturating_add),
        }
    }

    /// Sum of value times weight, and sum of the weights of values that are there; rows and weights go together.
    pub(crate) fn weighted(self, rows: Range<usize>, weights: &[f64]) -> (f64, f64) {
        if self.is_whole() {
            let total: f64 = weights.iter().sum();
            let sum = each_type!(self, array => {
                let values = array.values().get(rows).unwrap_or(&[]);
                dot(values, weights)
            }, missing => 0.0);
            return (sum, total);
        }
        let pairs = rows
            .zip(weights)
            .filter_map(|(row, weight)| Some((self.float(row)?, *weight)));
        pairs.fold((0.0, 0.0), |(sum, total), (value, weight)| {
            (sum + value * weight, total + weight)
        })
    }

    /// The smallest and the largest value of some rows.
    pub(crate) fn extremes(self, rows: Range<usize>) -> Option<(f64, f64)> {
        if self.is_whole() {
            return each_type!(self, array => {
                let values = array.values().get(rows)?;
                bounds(values)
            }, missing => None);
        }
        let values = rows.filter_map(|row| self.float(row));
        values.fold(None, |found, value| match found {
            None => Some((value, value)),
            Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
        })
    }

    /// Appends every value that is there.
    pub(crate) fn append_to(self, out: &mut Vec<u64>) {
        match self {
            Self::U64(array) if array.null_count() == 0 => out.extend_from_slice(array.values()),
            Self::Missing => {}
            _ => {
                let rows = each_type!(self, array => array.len(), missing => 0);
                out.extend((0..rows).filter_map(|row| self.get(row)));
            }
        }
    }
}

/// Four sums side by side, so that additions don't wait for each other.
fn dot<T: AsFloat>(values: &[T], weights: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (head, tail) = (values.chunks_exact(4), weights.chunks_exact(4));
    let rest = head.remainder().iter().zip(tail.remainder());
    let rest: f64 = rest.map(|(value, weight)| value.as_float() * weight).sum();
    for (values, weights) in head.zip(tail) {
        for ((sum, value), weight) in sums.iter_mut().zip(values).zip(weights) {
            *sum += value.as_float() * weight;
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn bounds<T: AsFloat + PartialOrd>(values: &[T]) -> Option<(f64, f64)> {
    let first = *values.first()?;
    let (low, high) = values.iter().fold((first, first), |(low, high), &value| {
        (
            if value < low { value } else { low },
            if value > high { value } else { high },
        )
    });
    Some((low.as_float(), high.as_float()))
}

/// A column of text.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Strings<'a> {
    /// Text in each row.
    Plain(&'a StringArray),
    /// Text in each row, as views.
    View(&'a arrow_array::StringViewArray),
    /// Numbers into a list of texts.
    Coded(&'a arrow_array::PrimitiveArray<Int32Type>, &'a StringArray),
    /// Missing in every row.
    Missing,
}

impl<'a> Strings<'a> {
    /// The text of a row.
    pub fn get(self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(array) => array.is_valid(row).then(|| array.value(row)),
            Self::View(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Coded(keys, values) => {
                let key = keys.is_valid(row).then(|| keys.value(row))?;
                let at = usize::try_from(key).ok().filter(|at| *at < values.len())?;
                values.is_valid(at).then(|| values.value(at))
            }
            Self::Missing => None,
        }
    }

    /// The text that all rows have, if they have the same.
    #[expect(
        clippy::option_option,
        reason = "whether all rows agree, and on what, which can be nothing"
    )]
    pub(crate) fn constant(self, rows: usize) -> Option<Option<&'a str>> {
        match self {
            Self::Missing => Some(None),
            Self::Coded(keys, _) => {
                let first = keys.values().first()?;
                (keys.null_count() == 0 && keys.values().iter().all(|key| key == first)).then(|| self.get(0))
            }
            _ => {
                let first = self.get(0);
                (0..rows).all(|row| self.get(row) == first).then_some(first)
            }
        }
    }
}
