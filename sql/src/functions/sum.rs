//! Sums of histograms, one per group.

use super::buckets::Buckets;
use super::column::{Histograms, Known, Layouts};
use arrow_array::ArrayRef;
use datafusion::common::{DataFusionError, Result, exec_err};
use kvlens_core::Value;
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_schema::histogram::{HistogramColumn, Layout};

/// The sum of some histograms.
#[derive(Debug)]
pub(super) struct Sum {
    /// `None` until a histogram was added.
    layout: Option<u32>,
    total: u64,
    min: u64,
    max: u64,
    buckets: Buckets,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            layout: None,
            total: 0,
            min: u64::MAX,
            max: 0,
            buckets: Buckets::default(),
        }
    }
}

impl Sum {
    /// Adds the histogram of a row; a null one counts as not there.
    #[inline]
    pub(super) fn add(&mut self, column: &Histograms<'_>, row: usize, layouts: &mut Layouts) -> Result<()> {
        let Some(parts) = column.get(row) else {
            return Ok(());
        };
        let number = layouts.number(parts.layout)?;
        if parts.indices.is_empty() {
            // Nothing happened, in whichever layout.
            self.layout.get_or_insert(number);
            return Ok(());
        }
        if self.layout != Some(number) {
            if let Some(other) = self.layout
                && !self.buckets.is_empty()
            {
                return unlike(layouts.get(other)?, layouts.get(number)?);
            }
            self.layout = Some(number);
        }
        let known = layouts.get(number)?.buckets;
        if let Some(index) = parts.indices.iter().find(|index| **index as usize >= known) {
            return exec_err!(
                "a histogram of layout {} has a bucket {index}: there are {known}",
                parts.layout
            );
        }
        self.total = self.total.saturating_add(parts.sum);
        self.min = self.min.min(parts.min);
        self.max = self.max.max(parts.max);
        self.buckets.add(parts.indices, parts.counts);
        Ok(())
    }

    /// The sum as a histogram.
    fn value(&self, layouts: &Layouts) -> Result<Value> {
        let Some(number) = self.layout else {
            return Ok(Value::Missing);
        };
        Ok(match &layouts.get(number)?.layout {
            Layout::LogLinear(config) => {
                let buckets = self.buckets.iter();
                Value::Histogram(SparseHistogram::from_parts(
                    *config, self.total, self.min, self.max, buckets,
                ))
            }
            Layout::Fixed(boundaries) => {
                let mut counts = vec![0; boundaries.len() + 1];
                for (index, count) in self.buckets.iter() {
                    if let Some(slot) = counts.get_mut(index as usize) {
                        *slot = count;
                    }
                }
                Value::Fixed(FixedHistogram::new(boundaries.clone(), counts, self.total))
            }
        })
    }

    /// Memory beside the value itself.
    pub(super) fn size(&self) -> usize {
        self.buckets.size()
    }
}

/// Puts sums into a column.
pub(super) fn column<'a>(sums: impl IntoIterator<Item = &'a Sum>, layouts: &Layouts) -> Result<ArrayRef> {
    let mut out = HistogramColumn::default();
    for sum in sums {
        out.push(&sum.value(layouts)?);
    }
    out.finish()
        .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))
}

fn unlike<T>(one: &Known, other: &Known) -> Result<T> {
    exec_err!(
        "hist_merge met histograms of unlike layouts, {} and {}; their buckets can't be added: group by source, or by {}",
        one.layout,
        other.layout,
        "the column's `layout`"
    )
}
