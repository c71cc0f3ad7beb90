//! The scalar functions: what a histogram says.

use super::column::argument_type;
use super::read::{Read, Reader};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, UInt64Array};
use arrow_schema::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::{Arc, OnceLock};

/// What a scalar function says of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    Count,
    Sum,
    Mean,
    Quantile,
    QuantileError,
    FractionBelow,
    FractionBelowError,
}

impl Asked {
    pub(super) const ALL: [Self; 7] = [
        Self::Count,
        Self::Sum,
        Self::Mean,
        Self::Quantile,
        Self::QuantileError,
        Self::FractionBelow,
        Self::FractionBelowError,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Count => "hist_count",
            Self::Sum => "hist_sum",
            Self::Mean => "hist_mean",
            Self::Quantile => "hist_quantile",
            Self::QuantileError => "hist_quantile_error",
            Self::FractionBelow => "hist_fraction_below",
            Self::FractionBelowError => "hist_fraction_below_error",
        }
    }

    /// The argument beside the histogram.
    fn second(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Count | Self::Sum | Self::Mean => None,
            Self::Quantile | Self::QuantileError => Some(("q", "From 0 to 1; 0.99 is the 99th percentile.")),
            Self::FractionBelow | Self::FractionBelowError => Some(("value", "In the histogram's unit.")),
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Count => "How many values a histogram holds, exactly.",
            Self::Sum => "The sum of a histogram's values, exactly.",
            Self::Mean => "The mean of a histogram's values, exactly; null when it is empty.",
            Self::Quantile => {
                "The nearest-rank quantile of a histogram: the middle of the bucket that holds it; null when it is empty."
            }
            Self::QuantileError => {
                "How far the true quantile can lie from what hist_quantile says; null when the histogram is empty or nothing bounds it."
            }
            Self::FractionBelow => {
                "The share of a histogram's values that are at most a value; null when it is empty."
            }
            Self::FractionBelowError => "How far the true share can lie from what hist_fraction_below says.",
        }
    }

    fn result(self) -> DataType {
        match self {
            Self::Count | Self::Sum | Self::Quantile | Self::QuantileError => DataType::UInt64,
            Self::Mean | Self::FractionBelow | Self::FractionBelowError => DataType::Float64,
        }
    }

    fn syntax(self) -> String {
        let second = self
            .second()
            .map(|(name, _)| format!(", {name}"))
            .unwrap_or_default();
        format!("{}(histogram{second})", self.name())
    }

    /// The whole number it answers with.
    fn whole(self, histogram: &Read<'_>, second: f64) -> Option<u64> {
        let error = |found: kvlens_core::histogram::Quantile| {
            (found.high < u64::MAX).then(|| (found.high - found.value).max(found.value - found.low))
        };
        match self {
            Self::Count => Some(histogram.count()),
            Self::Sum => Some(histogram.sum()),
            Self::Quantile => histogram.quantile(second).map(|found| found.value),
            _ => histogram.quantile(second).and_then(error),
        }
    }

    /// The fraction it answers with.
    fn fraction(self, histogram: &Read<'_>, second: f64) -> Option<f64> {
        match self {
            Self::Mean => histogram.mean(),
            Self::FractionBelow => histogram.share(second).map(|share| share.value),
            _ => histogram.share(second).map(|share| share.error),
        }
    }
}

/// A scalar function of histograms.
///
/// A null argument makes null. An empty histogram has count and sum 0, and no mean, quantile or share: they are null.
#[derive(Debug)]
pub(super) struct HistogramFunction {
    asked: Asked,
    signature: Signature,
    documentation: OnceLock<Documentation>,
}

impl PartialEq for HistogramFunction {
    fn eq(&self, other: &Self) -> bool {
        self.asked == other.asked
    }
}

impl Eq for HistogramFunction {}

impl std::hash::Hash for HistogramFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.asked.hash(state);
    }
}

impl HistogramFunction {
    pub(super) fn new(asked: Asked) -> Self {
        Self {
            asked,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: OnceLock::new(),
        }
    }

    fn answer<T>(
        &self,
        histograms: &ArrayRef,
        second: Option<&ArrayRef>,
        answer: impl Fn(&Read<'_>, f64) -> Option<T>,
    ) -> Result<Vec<Option<T>>> {
        let mut reader = Reader::new(self.name(), histograms)?;
        let second = second.and_then(|array| array.as_primitive_opt::<Float64Type>());
        let mut out = Vec::with_capacity(histograms.len());
        for row in 0..histograms.len() {
            let argument = match second {
                Some(array) if array.is_null(row) => None,
                Some(array) => Some(array.value(row)),
                None => Some(0.0),
            };
            let Some(argument) = argument else {
                out.push(None);
                continue;
            };
            self.check(argument)?;
            out.push(
                reader
                    .get(row)?
                    .and_then(|histogram| answer(&histogram, argument)),
            );
        }
        Ok(out)
    }

    fn check(&self, argument: f64) -> Result<()> {
        let is_quantile = matches!(self.asked, Asked::Quantile | Asked::QuantileError);
        if is_quantile && !(0.0..=1.0).contains(&argument) {
            return exec_err!(
                "{} takes a q from 0 to 1, {argument} given; p99 is 0.99",
                self.name()
            );
        }
        Ok(())
    }
}

impl ScalarUDFImpl for HistogramFunction {
    fn name(&self) -> &str {
        self.asked.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(self.asked.result())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match (given, self.asked.second()) {
            ([histogram], None) => Ok(vec![argument_type(self.name(), histogram)?]),
            ([histogram, _], Some(_)) => Ok(vec![argument_type(self.name(), histogram)?, DataType::Float64]),
            _ => plan_err!("write {}; {} arguments given", self.asked.syntax(), given.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (first, second) = match arrays.as_slice() {
            [histograms] => (histograms, None),
            [histograms, second] => (histograms, Some(second)),
            _ => return exec_err!("write {}; {} arguments given", self.asked.syntax(), arrays.len()),
        };
        let asked = self.asked;
        let array: ArrayRef = if asked.result() == DataType::UInt64 {
            let values = self.answer(first, second, |histogram, second| asked.whole(histogram, second))?;
            Arc::new(UInt64Array::from(values))
        } else {
            let values = self.answer(first, second, |histogram, second| {
                asked.fraction(histogram, second)
            })?;
            Arc::new(Float64Array::from(values))
        };
        Ok(ColumnarValue::Array(array))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(self.documentation.get_or_init(|| {
            let section = DocSection {
                include: true,
                label: "Histograms",
                description: None,
            };
            let about = Documentation::builder(section, self.asked.about(), self.asked.syntax());
            let about = about.with_argument(
                "histogram",
                "A histogram column of `samples`, or the result of hist_merge.",
            );
            match self.asked.second() {
                Some((name, what)) => about.with_argument(name, what).build(),
                None => about.build(),
            }
        }))
    }
}
