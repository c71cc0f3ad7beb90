//! The histogram column: a struct that any reader can use and ours can merge.
//!
//! `struct<count, sum, min, max, p50, p90, p99, layout, buckets: list<struct<index, count>>>`. A plain reader takes the
//! quantiles; for any window, add up `count` and `sum`, or add the buckets of equal `layout` and `index`.
//!
//! `layout` names the buckets, in the data rather than in the field's metadata, because one column can hold histograms
//! of several sources with different layouts:
//!
//! | layout | buckets |
//! |---|---|
//! | `h2(p,m)` | log-linear: grouping power p, values up to 2^m; [`Config::range`] gives a bucket's ends |
//! | `le(b0,b1,…)` | fixed boundaries: bucket i holds values up to and including `b_i`, one more bucket holds the rest |
//!
//! A missing histogram is a null struct; an empty one has count 0 and null quantiles.

use crate::column::Numbers;
use crate::error::SchemaError;
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, ListArray, StructArray, UInt32Array, UInt64Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields};
use kvlens_core::histogram::{Config, FixedHistogram, SparseHistogram};
use kvlens_core::record::Value;
use std::sync::Arc;

/// The quantiles that are stored beside the buckets.
pub const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// The struct's type.
pub fn data_type() -> DataType {
    DataType::Struct(fields())
}

fn fields() -> Fields {
    let number = |name, nullable| Field::new(name, DataType::UInt64, nullable);
    Fields::from(vec![
        number("count", false),
        number("sum", false),
        number("min", true),
        number("max", true),
        number("p50", true),
        number("p90", true),
        number("p99", true),
        Field::new("layout", DataType::Utf8, false),
        Field::new("buckets", DataType::List(element()), false),
    ])
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(bucket_fields()), false))
}

fn bucket_fields() -> Fields {
    let index = Field::new("index", DataType::UInt32, false);
    let count = Field::new("count", DataType::UInt64, false);
    Fields::from(vec![index, count])
}

/// A histogram's bucket layout as it is written in the column.
///
/// ```
/// use kvlens_core::histogram::Config;
/// use kvlens_schema::histogram::Layout;
/// let layout = Layout::LogLinear(Config::DEFAULT);
/// assert_eq!(layout.to_string(), "h2(7,44)");
/// assert_eq!("h2(7,44)".parse::<Layout>()?, layout);
/// # Ok::<(), kvlens_schema::SchemaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Log-linear buckets.
    LogLinear(Config),
    /// Fixed boundaries, ascending.
    Fixed(Arc<[u64]>),
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LogLinear(config) => {
                write!(f, "h2({},{})", config.grouping_power(), config.max_value_power())
            }
            Self::Fixed(boundaries) => {
                f.write_str("le(")?;
                for (place, boundary) in boundaries.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{boundary}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl std::str::FromStr for Layout {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let inside = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
        let parsed = if let Some(powers) = inside("h2(") {
            powers.split_once(',').and_then(|(grouping, max)| {
                let config = Config::new(grouping.parse().ok()?, max.parse().ok()?).ok()?;
                Some(Self::LogLinear(config))
            })
        } else {
            inside("le(").and_then(|list| {
                let numbers = list.split(',').filter(|number| !number.is_empty());
                Some(Self::Fixed(
                    numbers
                        .map(|number| number.parse().ok())
                        .collect::<Option<Vec<_>>>()?
                        .into(),
                ))
            })
        };
        parsed.ok_or_else(|| SchemaError::HistogramLayout {
            layout: text.to_owned(),
        })
    }
}

/// A histogram column under construction.
///
/// ```
/// use kvlens_core::{Value, histogram::SparseHistogram};
/// use kvlens_schema::histogram::{HistogramColumn, data_type};
/// let mut column = HistogramColumn::default();
/// column.push(&Value::Histogram(SparseHistogram::default()));
/// column.push(&Value::Missing);
/// let array = column.finish()?;
/// assert_eq!((array.len(), array.null_count(), array.data_type()), (2, 1, &data_type()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct HistogramColumn {
    present: Numbers<u8>,
    count: Numbers<u64>,
    sum: Numbers<u64>,
    /// Minimum, maximum, then [`QUANTILES`].
    points: [Numbers<u64>; 5],
    layout: StringBuilder,
    /// The last layout and its text, which seldom change.
    last: Option<(Layout, String)>,
    ends: Vec<i32>,
    indices: Vec<u32>,
    counts: Vec<u64>,
}

impl HistogramColumn {
    /// Appends a value; anything but a histogram is missing.
    pub fn push(&mut self, value: &Value) {
        match value {
            Value::Histogram(histogram) => self.push_sparse(histogram),
            Value::Fixed(histogram) => self.push_fixed(histogram),
            _ => {
                self.push_head(None, None, [None; 5]);
                self.layout.append_value("");
            }
        }
        self.ends
            .push(i32::try_from(self.indices.len()).unwrap_or(i32::MAX));
    }

    fn push_sparse(&mut self, histogram: &SparseHistogram) {
        let mut quantiles = [None; 3];
        histogram.quantiles(&QUANTILES, &mut quantiles);
        let [p50, p90, p99] = quantiles.map(|quantile| quantile.map(|q| q.value));
        let points = [histogram.min(), histogram.max(), p50, p90, p99];
        self.push_head(Some(histogram.count()), Some(histogram.sum()), points);
        let config = histogram.config();
        let known = matches!(&self.last, Some((Layout::LogLinear(last), _)) if *last == config);
        self.push_layout(known, || Layout::LogLinear(config));
        for (index, count) in histogram.buckets() {
            self.indices.push(index);
            self.counts.push(count);
        }
    }

    fn push_fixed(&mut self, histogram: &FixedHistogram) {
        let [p50, p90, p99] = QUANTILES.map(|q| histogram.quantile(q).map(|quantile| quantile.value));
        self.push_head(
            Some(histogram.count()),
            Some(histogram.sum()),
            [None, None, p50, p90, p99],
        );
        let boundaries = histogram.boundaries();
        let known = matches!(&self.last, Some((Layout::Fixed(last), _)) if last == boundaries);
        self.push_layout(known, || Layout::Fixed(Arc::clone(boundaries)));
        for (index, count) in (0_u32..).zip(histogram.counts()) {
            if *count > 0 {
                self.indices.push(index);
                self.counts.push(*count);
            }
        }
    }

    fn push_head(&mut self, count: Option<u64>, sum: Option<u64>, points: [Option<u64>; 5]) {
        self.present.push(count.map(|_| 0));
        self.count.extend(1, std::iter::once(count.unwrap_or(0)));
        self.sum.extend(1, std::iter::once(sum.unwrap_or(0)));
        for (column, point) in self.points.iter_mut().zip(points) {
            column.push(point);
        }
    }

    fn push_layout(&mut self, known: bool, layout: impl FnOnce() -> Layout) {
        if !known {
            let layout = layout();
            let text = layout.to_string();
            self.last = Some((layout, text));
        }
        self.layout
            .append_value(self.last.as_ref().map_or("", |(_, text)| text));
    }

    /// Takes what was appended as an array and starts anew.
    ///
    /// # Errors
    /// [`ArrowError`] when there are more buckets than a list can hold.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let (_, present) = self.present.finish();
        let number = |numbers: &mut Numbers<u64>| -> Result<ArrayRef, ArrowError> {
            let (values, nulls) = numbers.finish();
            Ok(Arc::new(UInt64Array::try_new(values, nulls)?))
        };
        let mut arrays = vec![number(&mut self.count)?, number(&mut self.sum)?];
        for points in &mut self.points {
            arrays.push(number(points)?);
        }
        arrays.push(Arc::new(self.layout.finish()));
        arrays.push(self.finish_buckets()?);
        Ok(Arc::new(StructArray::try_new(fields(), arrays, present)?))
    }

    fn finish_buckets(&mut self) -> Result<ArrayRef, ArrowError> {
        if i32::try_from(self.indices.len()).is_err() {
            return Err(ArrowError::OffsetOverflowError(self.indices.len()));
        }
        let ends = std::mem::take(&mut self.ends);
        let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
        let indices = UInt32Array::from(std::mem::take(&mut self.indices));
        let counts = UInt64Array::from(std::mem::take(&mut self.counts));
        let buckets = StructArray::try_new(bucket_fields(), vec![Arc::new(indices), Arc::new(counts)], None)?;
        // Ends only grow: they are lengths of a growing vector.
        let offsets = OffsetBuffer::new(offsets.into());
        Ok(Arc::new(ListArray::try_new(
            element(),
            offsets,
            Arc::new(buckets),
            None,
        )?))
    }
}

/// Reads histograms back from a column.
///
/// ```
/// use kvlens_core::{Batch, RunInfo, RunSchema, Sample, Value, catalog, histogram::SparseHistogram};
/// use kvlens_schema::histogram::HistogramReader;
/// let run = RunSchema::new(RunInfo::new("demo"), vec![Default::default()], vec![catalog::STEP_TIME.clone()]);
/// let mut sample = Sample::default();
/// let mut recorded = SparseHistogram::default();
/// recorded.record(1_000_000);
/// sample.values = vec![Value::Histogram(recorded.clone())];
/// let batch = kvlens_schema::to_record_batch(&run, &Batch::Samples(vec![sample]))?;
/// let reader = HistogramReader::try_new("step_time_ns", batch.column_by_name("step_time_ns").unwrap())?;
/// assert_eq!(reader.value(0)?, Value::Histogram(recorded));
/// # Ok::<(), kvlens_schema::SchemaError>(())
/// ```
#[derive(Debug)]
pub struct HistogramReader<'a> {
    column: &'a StructArray,
    sum: &'a UInt64Array,
    min: &'a UInt64Array,
    max: &'a UInt64Array,
    layout: &'a dyn Array,
    buckets: &'a ListArray,
    indices: &'a UInt32Array,
    counts: &'a UInt64Array,
}

impl<'a> HistogramReader<'a> {
    /// Looks at a column as histograms; `name` is for messages.
    ///
    /// # Errors
    /// [`SchemaError::NotAHistogram`] when a part of the struct is missing or has another type.
    pub fn try_new(name: &str, column: &'a ArrayRef) -> Result<Self, SchemaError> {
        let missing = |missing| {
            move || SchemaError::NotAHistogram {
                column: name.to_owned(),
                missing,
            }
        };
        let whole = column.as_struct_opt().ok_or_else(missing("struct"))?;
        let number = |part: &'static str| {
            let array = whole
                .column_by_name(part)
                .and_then(|array| array.as_primitive_opt::<UInt64Type>());
            array.ok_or_else(missing(part))
        };
        let buckets = whole
            .column_by_name("buckets")
            .and_then(|array| array.as_list_opt::<i32>());
        let buckets = buckets.ok_or_else(missing("buckets"))?;
        let pairs = buckets.values().as_struct_opt().ok_or_else(missing("buckets"))?;
        let indices = pairs
            .column_by_name("index")
            .and_then(|array| array.as_primitive_opt::<UInt32Type>());
        let counts = pairs
            .column_by_name("count")
            .and_then(|array| array.as_primitive_opt::<UInt64Type>());
        let layout = whole.column_by_name("layout").ok_or_else(missing("layout"))?;
        Ok(Self {
            column: whole,
            sum: number("sum")?,
            min: number("min")?,
            max: number("max")?,
            layout,
            buckets,
            indices: indices.ok_or_else(missing("index"))?,
            counts: counts.ok_or_else(missing("count"))?,
        })
    }

    /// Reads the histogram of a row; [`Value::Missing`] for a null one or a row out of range.
    ///
    /// # Errors
    /// [`SchemaError::HistogramLayout`] when its layout is not known.
    pub fn value(&self, row: usize) -> Result<Value, SchemaError> {
        if row >= self.column.len() || self.column.is_null(row) {
            return Ok(Value::Missing);
        }
        let (from, to) = (
            self.buckets.value_offsets()[row],
            self.buckets.value_offsets()[row + 1],
        );
        let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
        let buckets = range.map(|at| (self.indices.value(at), self.counts.value(at)));
        let sum = self.sum.value(row);
        Ok(match self.layout_text(row).parse()? {
            Layout::LogLinear(config) => {
                let (min, max) = (self.min.value(row), self.max.value(row));
                Value::Histogram(SparseHistogram::from_parts(config, sum, min, max, buckets))
            }
            Layout::Fixed(boundaries) => {
                let mut counts = vec![0; boundaries.len() + 1];
                for (index, count) in buckets {
                    if let Some(slot) = counts.get_mut(index as usize) {
                        *slot = count;
                    }
                }
                Value::Fixed(FixedHistogram::new(boundaries, counts, sum))
            }
        })
    }

    fn layout_text(&self, row: usize) -> &str {
        if let Some(text) = self.layout.as_string_opt::<i32>() {
            return text.value(row);
        }
        self.layout
            .as_string_view_opt()
            .map_or("", |text| text.value(row))
    }
}
