//! A histogram column, looked at part by part, with its layouts parsed once.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ListArray, StructArray, UInt64Array};
use arrow_schema::DataType;
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use kvlens_schema::histogram::{Layout, data_type};
use std::collections::HashMap;
use std::sync::Arc;

/// The parts of a histogram that functions need; what else the column has (count, quantiles) follows from them.
const PARTS: [&str; 5] = ["sum", "min", "max", "layout", "buckets"];

/// Says as which type a function takes an argument that should be a histogram.
pub(super) fn argument_type(function: &str, given: &DataType) -> Result<DataType> {
    if given.is_null() {
        return Ok(data_type());
    }
    let DataType::Struct(fields) = given else {
        return plan_err!(
            "{function} takes a histogram column, such as time_to_first_token_ns of samples, not {given}"
        );
    };
    if let Some(missing) = PARTS.iter().find(|part| fields.find(part).is_none()) {
        return plan_err!("{function} takes a histogram column; the struct given has no `{missing}`");
    }
    let as_it_is = fields.iter().all(|field| match field.name().as_str() {
        "sum" | "min" | "max" => field.data_type() == &DataType::UInt64,
        "layout" => is_text(field.data_type()),
        "buckets" => is_buckets(field.data_type()),
        _ => true,
    });
    Ok(if as_it_is { given.clone() } else { data_type() })
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => values.as_ref() == &DataType::Utf8,
        _ => false,
    }
}

fn is_buckets(ty: &DataType) -> bool {
    let DataType::List(element) = ty else { return false };
    let DataType::Struct(fields) = element.data_type() else {
        return false;
    };
    let part = |name| fields.find(name).map(|(_, field)| field.data_type());
    part("index") == Some(&DataType::UInt32) && part("count") == Some(&DataType::UInt64)
}

/// A histogram column.
#[derive(Debug)]
pub(super) struct Histograms<'a> {
    column: &'a StructArray,
    sum: &'a UInt64Array,
    min: &'a UInt64Array,
    max: &'a UInt64Array,
    layouts: Texts<'a>,
    buckets: &'a ListArray,
    indices: &'a [u32],
    counts: &'a [u64],
}

/// One histogram of a column: parts, not yet put together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) layout: &'a str,
    pub(super) sum: u64,
    /// A histogram that does not know its minimum says 0 and is corrected by its first bucket.
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) indices: &'a [u32],
    pub(super) counts: &'a [u64],
}

impl<'a> Histograms<'a> {
    /// Looks at an argument of a function.
    pub(super) fn new(function: &str, column: &'a ArrayRef) -> Result<Self> {
        let unlike = |part: &'static str| {
            move || {
                DataFusionError::Execution(format!(
                    "{function} takes a histogram column; `{part}` is not as expected"
                ))
            }
        };
        let whole = column.as_struct_opt().ok_or_else(unlike("struct"))?;
        let part = |name: &'static str| whole.column_by_name(name).ok_or_else(unlike(name));
        let number = |name| {
            part(name)?
                .as_primitive_opt::<UInt64Type>()
                .ok_or_else(unlike(name))
        };
        let buckets = part("buckets")?
            .as_list_opt::<i32>()
            .ok_or_else(unlike("buckets"))?;
        let pairs = buckets.values().as_struct_opt().ok_or_else(unlike("buckets"))?;
        let indices = pairs
            .column_by_name("index")
            .and_then(|array| array.as_primitive_opt::<UInt32Type>());
        let counts = pairs
            .column_by_name("count")
            .and_then(|array| array.as_primitive_opt::<UInt64Type>());
        Ok(Self {
            column: whole,
            sum: number("sum")?,
            min: number("min")?,
            max: number("max")?,
            layouts: Texts::new(part("layout")?).ok_or_else(unlike("layout"))?,
            buckets,
            indices: indices.ok_or_else(unlike("index"))?.values(),
            counts: counts.ok_or_else(unlike("count"))?.values(),
        })
    }

    /// The histogram of a row; `None` where it is null.
    pub(super) fn get(&self, row: usize) -> Option<Parts<'a>> {
        if self.column.is_null(row) || self.buckets.is_null(row) {
            return None;
        }
        let ends = self.buckets.value_offsets();
        let (from, to) = (
            usize::try_from(*ends.get(row)?).ok()?,
            usize::try_from(*ends.get(row + 1)?).ok()?,
        );
        let known = |array: &UInt64Array, unknown| {
            if array.is_valid(row) {
                array.value(row)
            } else {
                unknown
            }
        };
        Some(Parts {
            layout: self.layouts.get(row),
            sum: known(self.sum, 0),
            min: known(self.min, 0),
            max: known(self.max, u64::MAX),
            indices: self.indices.get(from..to)?,
            counts: self.counts.get(from..to)?,
        })
    }
}

/// Text in one of the forms that readers give it.
#[derive(Debug)]
enum Texts<'a> {
    Plain(&'a arrow_array::StringArray),
    Large(&'a arrow_array::LargeStringArray),
    View(&'a arrow_array::StringViewArray),
    /// Where each row's text stands in a list.
    Coded(Vec<usize>, &'a arrow_array::StringArray),
}

impl<'a> Texts<'a> {
    fn new(array: &'a ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Plain(array.as_string_opt()?),
            DataType::LargeUtf8 => Self::Large(array.as_string_opt()?),
            DataType::Utf8View => Self::View(array.as_string_view_opt()?),
            DataType::Dictionary(key, _) => {
                let codes = array.as_any_dictionary_opt()?;
                let keys = match key.as_ref() {
                    DataType::Int8 => indices::<Int8Type>(codes.keys()),
                    DataType::Int16 => indices::<Int16Type>(codes.keys()),
                    DataType::Int32 => indices::<Int32Type>(codes.keys()),
                    DataType::Int64 => indices::<Int64Type>(codes.keys()),
                    DataType::UInt8 => indices::<UInt8Type>(codes.keys()),
                    DataType::UInt16 => indices::<UInt16Type>(codes.keys()),
                    DataType::UInt32 => indices::<UInt32Type>(codes.keys()),
                    _ => indices::<UInt64Type>(codes.keys()),
                };
                Self::Coded(keys?, codes.values().as_string_opt()?)
            }
            _ => return None,
        })
    }

    fn get(&self, row: usize) -> &'a str {
        match self {
            Self::Plain(array) => array.value(row),
            Self::Large(array) => array.value(row),
            Self::View(array) => array.value(row),
            Self::Coded(keys, values) => {
                let at = keys.get(row).filter(|at| **at < values.len());
                at.map_or("", |at| values.value(*at))
            }
        }
    }
}

fn indices<K: arrow_array::types::ArrowPrimitiveType>(keys: &dyn Array) -> Option<Vec<usize>>
where
    K::Native: TryInto<usize>,
{
    let keys = keys.as_primitive_opt::<K>()?;
    Some(
        keys.values()
            .iter()
            .map(|key| (*key).try_into().unwrap_or(usize::MAX))
            .collect(),
    )
}

/// A layout, and how many buckets it has.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) layout: Layout,
    pub(super) buckets: usize,
}

/// Layouts that were met, each parsed once.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    numbers: HashMap<Arc<str>, u32>,
    known: Vec<Known>,
    last: Option<(Arc<str>, u32)>,
}

impl Layouts {
    /// The number of a layout, to be looked up by.
    pub(super) fn number(&mut self, text: &str) -> Result<u32> {
        if let Some((last, number)) = &self.last
            && last.as_ref() == text
        {
            return Ok(*number);
        }
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => self.add(text)?,
        };
        self.last = Some((text.into(), number));
        Ok(number)
    }

    fn add(&mut self, text: &str) -> Result<u32> {
        let layout: Layout = text
            .parse()
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let buckets = match &layout {
            Layout::LogLinear(config) => config.buckets(),
            Layout::Fixed(boundaries) => boundaries.len() + 1,
        };
        let Ok(number) = u32::try_from(self.known.len()) else {
            return exec_err!("more histogram layouts than can be told apart");
        };
        self.known.push(Known { layout, buckets });
        self.numbers.insert(text.into(), number);
        Ok(number)
    }

    /// The layout of a number.
    pub(super) fn get(&self, number: u32) -> Result<&Known> {
        let known = usize::try_from(number).ok().and_then(|at| self.known.get(at));
        known.ok_or_else(|| DataFusionError::Internal(format!("histogram layout {number} was never met")))
    }

    /// Memory that it takes, about.
    pub(super) fn size(&self) -> usize {
        self.known.len() * (size_of::<Known>() + 2 * size_of::<(Arc<str>, u32)>() + 64)
    }
}
