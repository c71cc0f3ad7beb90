//! The aggregate `hist_merge`.

use super::column::{Histograms, Layouts, argument_type};
use super::sum::{Sum, column};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use kvlens_schema::histogram::data_type;
use std::sync::{Arc, LazyLock};

/// The function's name.
pub const HIST_MERGE: &str = "hist_merge";

/// Adds histograms up.
///
/// Null histograms count as not there; of nothing but nulls, or of no row, the result is null. Adding is exact: the
/// quantiles of the sum are those of all values together, within one bucket.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct HistMerge {
    signature: Signature,
}

impl Default for HistMerge {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    use datafusion::logical_expr::DocSection;
    let section = DocSection {
        include: true,
        label: "Histograms",
        description: None,
    };
    let about = "Adds histograms up, exactly; null ones count as not there.";
    Documentation::builder(section, about, "hist_merge(histogram)")
        .with_argument("histogram", "A histogram column of `samples`, or the result of hist_merge.")
        .with_sql_example("select source, hist_quantile(hist_merge(time_to_first_token_ns), 0.99) from samples group by source")
        .build()
});

impl AggregateUDFImpl for HistMerge {
    fn name(&self) -> &str {
        HIST_MERGE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [histogram] => Ok(vec![argument_type(HIST_MERGE, histogram)?]),
            _ => plan_err!(
                "{HIST_MERGE} takes one histogram column, {} arguments given",
                given.len()
            ),
        }
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(data_type())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::<One>::default())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}[sum]", args.name),
            data_type(),
            true,
        ))])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::<Groups>::default())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// The sum of all rows.
#[derive(Debug, Default)]
struct One {
    sum: Sum,
    layouts: Layouts,
}

impl One {
    fn scalar(&self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&column([&self.sum], &self.layouts)?, 0)
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let array = only(values)?;
        let column = Histograms::new(HIST_MERGE, array)?;
        (0..array.len()).try_for_each(|row| self.sum.add(&column, row, &mut self.layouts))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.scalar()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.scalar()?])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sum.size() + self.layouts.size()
    }
}

/// A sum per group.
#[derive(Debug, Default)]
struct Groups {
    sums: Vec<Sum>,
    layouts: Layouts,
    /// Memory of the sums' buckets.
    held: usize,
}

impl Groups {
    fn emit(&mut self, which: EmitTo) -> Result<ArrayRef> {
        let taken = which.take_needed(&mut self.sums);
        self.held = self.held.saturating_sub(taken.iter().map(Sum::size).sum());
        column(&taken, &self.layouts)
    }

    fn add(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let column = Histograms::new(HIST_MERGE, only(values)?)?;
        for (row, group) in groups.iter().enumerate() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            let Some(sum) = self.sums.get_mut(*group) else {
                return exec_err!("group {group} was not announced");
            };
            let before = sum.size();
            sum.add(&column, row, &mut self.layouts)?;
            self.held = (self.held + sum.size()).saturating_sub(before);
        }
        Ok(())
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.sums.resize_with(total_num_groups, Sum::default);
        self.add(values, group_indices, opt_filter)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        // Each row is a group of its own.
        let mut rows = Self::default();
        let groups: Vec<usize> = (0..only(values)?.len()).collect();
        rows.update_batch(values, &groups, opt_filter, groups.len())?;
        rows.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sums.capacity() * size_of::<Sum>() + self.held + self.layouts.size()
    }
}

fn only(values: &[ArrayRef]) -> Result<&ArrayRef> {
    match values {
        [array] => Ok(array),
        _ => exec_err!("{HIST_MERGE} takes one histogram column, {} given", values.len()),
    }
}
