//! Growing columns: typed values in, Arrow arrays out.

use crate::histogram::HistogramColumn;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, PrimitiveArray, StringArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array, builder::StringBuilder,
};
use arrow_buffer::{ArrowNativeType, BooleanBufferBuilder, NullBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};
use std::sync::Arc;

/// Rows are appended in blocks of this many, so that a block's rows stay in the first-level cache while each column
/// reads its field from them.
pub(crate) const BLOCK: usize = 64;

/// Which values are there; nothing is kept until the first missing one.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    len: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    /// Appends up to [`BLOCK`] flags, the first in the lowest bit.
    pub(crate) fn append(&mut self, mask: u64, rows: usize) {
        let all = if rows >= BLOCK { u64::MAX } else { (1 << rows) - 1 };
        if mask == all && self.bits.is_none() {
            self.len += rows;
            return;
        }
        let len = self.len;
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new((len + rows).next_multiple_of(1024));
            bits.append_n(len, true);
            bits
        });
        if mask == all || mask == 0 {
            bits.append_n(rows, mask == all);
        } else {
            bits.append_packed_range(0..rows, &mask.to_le_bytes());
        }
        self.len += rows;
    }

    pub(crate) fn finish(&mut self) -> Option<NullBuffer> {
        self.len = 0;
        self.bits.take().map(|mut bits| NullBuffer::new(bits.finish()))
    }
}

/// Numbers, some of them missing.
#[derive(Debug, Default)]
pub(crate) struct Numbers<T> {
    values: Vec<T>,
    validity: Validity,
    /// The length of the last finished array: the best guess for the next one.
    expected: usize,
}

impl<T: ArrowNativeType + Default> Numbers<T> {
    /// Appends a block of values that are all there.
    pub(crate) fn extend(&mut self, rows: usize, values: impl Iterator<Item = T>) {
        self.reserve(rows);
        self.values.extend(values);
        self.validity
            .append(u64::MAX >> (BLOCK - rows.clamp(1, BLOCK)), rows);
    }

    /// Appends a block of values that may be missing.
    pub(crate) fn extend_opt(&mut self, rows: usize, values: impl Iterator<Item = Option<T>>) {
        self.reserve(rows);
        let mut mask = 0_u64;
        let mut bit = 0_u32;
        self.values.extend(values.map(|value| {
            mask |= u64::from(value.is_some()) << bit;
            bit += 1;
            value.unwrap_or_default()
        }));
        self.validity.append(mask, rows);
    }

    pub(crate) fn push(&mut self, value: Option<T>) {
        self.extend_opt(1, std::iter::once(value));
    }

    fn reserve(&mut self, rows: usize) {
        if self.values.capacity() == 0 {
            self.values.reserve_exact(self.expected.max(rows));
        }
    }

    pub(crate) fn finish(&mut self) -> (ScalarBuffer<T>, Option<NullBuffer>) {
        self.expected = self.values.len();
        let values = std::mem::take(&mut self.values);
        (ScalarBuffer::from(values), self.validity.finish())
    }
}

/// One column of a table under construction.
#[derive(Debug)]
pub(crate) enum Column {
    Time(Numbers<i64>),
    U64(Numbers<u64>),
    U32(Numbers<u32>),
    F64(Numbers<f64>),
    Text(StringBuilder),
    /// Text out of a short list that does not change during the run.
    Code(Numbers<i32>, ArrayRef),
    Flag(BooleanBufferBuilder),
    Histogram(Box<HistogramColumn>),
}

impl Column {
    /// Makes an empty column for a field; `names` are the values of a dictionary.
    pub(crate) fn new<'a>(field: &Field, names: impl IntoIterator<Item = &'a str>) -> Self {
        match field.data_type() {
            DataType::Timestamp(..) => Self::Time(Numbers::default()),
            DataType::UInt32 => Self::U32(Numbers::default()),
            DataType::Float64 => Self::F64(Numbers::default()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Boolean => Self::Flag(BooleanBufferBuilder::new(0)),
            DataType::Dictionary(..) => {
                let names: StringArray = names.into_iter().map(Some).collect();
                Self::Code(Numbers::default(), Arc::new(names))
            }
            DataType::Struct(_) => Self::Histogram(Box::default()),
            _ => Self::U64(Numbers::default()),
        }
    }

    /// Takes what was appended as an array and starts anew.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Time(numbers) => {
                let (values, nulls) = numbers.finish();
                Arc::new(TimestampNanosecondArray::try_new(values, nulls)?.with_timezone("UTC"))
            }
            Self::U64(numbers) => {
                let (values, nulls) = numbers.finish();
                Arc::new(UInt64Array::try_new(values, nulls)?)
            }
            Self::U32(numbers) => {
                let (values, nulls) = numbers.finish();
                Arc::new(UInt32Array::try_new(values, nulls)?)
            }
            Self::F64(numbers) => {
                let (values, nulls) = numbers.finish();
                Arc::new(Float64Array::try_new(values, nulls)?)
            }
            Self::Text(text) => Arc::new(text.finish()),
            Self::Code(numbers, names) => {
                let (values, nulls) = numbers.finish();
                let keys = PrimitiveArray::<Int32Type>::try_new(values, nulls)?;
                Arc::new(DictionaryArray::try_new(keys, Arc::clone(names))?)
            }
            Self::Flag(bits) => Arc::new(BooleanArray::new(bits.finish(), None)),
            Self::Histogram(column) => column.finish()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(blocks in prop::collection::vec(prop::collection::vec(prop::option::of(any::<u32>()), 1..=BLOCK), 0..6)) {
            let mut numbers = Numbers::<u32>::default();
            for block in &blocks {
                numbers.extend_opt(block.len(), block.iter().copied());
            }
            let (values, nulls) = numbers.finish();
            let array = UInt32Array::try_new(values, nulls).unwrap();
            let expected: Vec<_> = blocks.concat();
            prop_assert_eq!(array.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn nothing_missing_keeps_no_bits() {
        let mut numbers = Numbers::<u64>::default();
        numbers.extend(BLOCK, 0..64);
        numbers.extend(3, 0..3);
        let (values, nulls) = numbers.finish();
        assert_eq!((values.len(), nulls), (67, None));
    }
}
