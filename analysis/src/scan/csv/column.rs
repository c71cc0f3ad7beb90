//! A column of CSV text turned into an Arrow array.

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampNanosecondBuilder,
    UInt32Builder, UInt64Builder,
};
use arrow_schema::{DataType, TimeUnit};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The values of a column so far; an empty field is missing.
#[derive(Debug)]
pub(super) enum Column {
    U64(UInt64Builder),
    U32(UInt32Builder),
    I64(Int64Builder),
    F64(Float64Builder),
    Time(TimestampNanosecondBuilder),
    Flag(BooleanBuilder),
    Text(StringBuilder),
}

/// Appends what a field parses to; says whether it did.
macro_rules! push {
    ($builder:expr, $parsed:expr) => {
        match $parsed {
            Some(value) => {
                $builder.append_value(value);
                true
            }
            None => false,
        }
    };
}

impl Column {
    /// Makes one for the type that [`type_of`] gave.
    pub(super) fn new(ty: &DataType) -> Self {
        match ty {
            DataType::UInt64 => Self::U64(UInt64Builder::new()),
            DataType::UInt32 => Self::U32(UInt32Builder::new()),
            DataType::Int64 => Self::I64(Int64Builder::new()),
            DataType::Float64 => Self::F64(Float64Builder::new()),
            DataType::Timestamp(..) => Self::Time(TimestampNanosecondBuilder::new()),
            DataType::Boolean => Self::Flag(BooleanBuilder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends a field; false where it is none of this type.
    pub(super) fn push(&mut self, field: &[u8]) -> bool {
        if field.is_empty() {
            self.push_missing();
            return true;
        }
        let Ok(text) = std::str::from_utf8(field) else {
            return false;
        };
        match self {
            Self::U64(values) => push!(values, text.parse().ok()),
            Self::U32(values) => push!(values, text.parse().ok()),
            Self::I64(values) => push!(values, text.parse().ok()),
            Self::F64(values) => push!(values, text.parse().ok()),
            Self::Time(values) => push!(values, time(text)),
            Self::Flag(values) => push!(values, flag(text)),
            Self::Text(values) => push!(values, Some(text)),
        }
    }

    fn push_missing(&mut self) {
        match self {
            Self::U64(values) => values.append_null(),
            Self::U32(values) => values.append_null(),
            Self::I64(values) => values.append_null(),
            Self::F64(values) => values.append_null(),
            Self::Time(values) => values.append_null(),
            Self::Flag(values) => values.append_null(),
            Self::Text(values) => values.append_null(),
        }
    }

    /// Takes the values out.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let values: &mut dyn ArrayBuilder = match self {
            Self::U64(values) => values,
            Self::U32(values) => values,
            Self::I64(values) => values,
            Self::F64(values) => values,
            Self::Time(values) => values,
            Self::Flag(values) => values,
            Self::Text(values) => values,
        };
        values.finish()
    }
}

/// The type as which a column is read: what its name stands for as CSV can hold it, else what its first values look like.
pub(super) fn type_of(known: Option<&DataType>, seen: Looks) -> DataType {
    match (known, seen) {
        // Times may be text or integers. Text says that it is UTC; a named time zone would need a database of them.
        (Some(DataType::Timestamp(..)) | None, Looks::Integer) => DataType::Int64,
        (Some(DataType::Timestamp(..)), _) | (None, Looks::Time) => {
            DataType::Timestamp(TimeUnit::Nanosecond, None)
        }
        (Some(DataType::UInt64), _) => DataType::UInt64,
        (Some(DataType::UInt32), _) => DataType::UInt32,
        (Some(DataType::Float64), _) | (None, Looks::Float) => DataType::Float64,
        (Some(DataType::Boolean), _) | (None, Looks::Flag) => DataType::Boolean,
        (Some(_), _) | (None, Looks::Text | Looks::Nothing) => DataType::Utf8,
    }
}

/// What values look like, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Nothing,
    Integer,
    Float,
    Flag,
    Time,
    Text,
}

impl Looks {
    /// Like both.
    pub(super) fn and(self, field: &[u8]) -> Self {
        let other = Self::of(field);
        match (self, other) {
            (seen, Self::Nothing) | (Self::Nothing, seen) => seen,
            (Self::Integer | Self::Float, Self::Integer | Self::Float) if self != other => Self::Float,
            _ if self == other => self,
            _ => Self::Text,
        }
    }

    fn of(field: &[u8]) -> Self {
        match std::str::from_utf8(field) {
            Ok("") => Self::Nothing,
            Ok(text) if text.parse::<i64>().is_ok() => Self::Integer,
            Ok(text) if text.parse::<f64>().is_ok() => Self::Float,
            Ok(text) if flag(text).is_some() => Self::Flag,
            Ok(text) if time(text).is_some() => Self::Time,
            _ => Self::Text,
        }
    }
}

fn flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Nanoseconds since 1970; a time without an offset counts as UTC.
fn time(text: &str) -> Option<i64> {
    let instant = text.parse::<Timestamp>().or_else(|_| {
        let civil: DateTime = text.parse()?;
        TimeZone::UTC.to_timestamp(civil)
    });
    i64::try_from(instant.ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampNanosecondType;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        let ty = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let mut column = Column::new(&ty);
        for text in [
            "2026-11-24T02:23:15.123456789Z",
            "2026-11-24 03:23:15.123456789+01:00",
            "2026-11-24T02:23:15.123456789",
            "",
        ] {
            assert!(column.push(text.as_bytes()), "{text}");
        }
        assert!(!column.push(b"yesterday"));
        let array = column.finish();
        assert_eq!(array.data_type(), &ty);
        let times: Vec<_> = array.as_primitive::<TimestampNanosecondType>().iter().collect();
        let expected = Some(1_795_486_995_123_456_789);
        assert_eq!(times, [expected, expected, expected, None]);
    }

    #[test]
    fn a_column_is_what_all_its_values_look_like() {
        let looks = |fields: &[&str]| {
            fields
                .iter()
                .fold(Looks::Nothing, |seen, field| seen.and(field.as_bytes()))
        };
        assert_eq!(looks(&["", ""]), Looks::Nothing);
        assert_eq!(looks(&["1", "", "-2"]), Looks::Integer);
        assert_eq!(looks(&["1", "2.5", "3"]), Looks::Float);
        assert_eq!(looks(&["true", "False"]), Looks::Flag);
        assert_eq!(looks(&["2026-11-24T02:23:15Z"]), Looks::Time);
        assert_eq!(looks(&["1", "true"]), Looks::Text);
        assert_eq!(looks(&["2.5", "x", "1"]), Looks::Text);
        assert_eq!(looks(&["\u{fffd}"]), Looks::Text);
    }

    #[test]
    fn what_is_no_value_of_the_type_is_refused() {
        for (ty, bad) in [
            (DataType::UInt64, "-1"),
            (DataType::UInt32, "4294967296"),
            (DataType::Int64, "1.5"),
            (DataType::Float64, "1,5"),
            (DataType::Boolean, "1"),
        ] {
            assert!(!Column::new(&ty).push(bad.as_bytes()), "{bad} as {ty}");
        }
        assert!(!Column::new(&DataType::Utf8).push(b"\xff"));
    }
}
