//! Histograms of a column, put together one after the other.

use super::column::{Histograms, Layouts};
use arrow_array::ArrayRef;
use datafusion::common::Result;
use kvlens_core::histogram::{Config, FixedHistogram, Quantile, SparseHistogram};
use kvlens_schema::histogram::Layout;
use std::sync::Arc;

/// Reads the histograms of a column, in memory that it uses again.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    column: Histograms<'a>,
    layouts: Layouts,
    sparse: SparseHistogram,
}

/// A histogram that was read.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// Log-linear buckets.
    Sparse(&'a SparseHistogram),
    /// Fixed boundaries.
    Fixed(FixedHistogram),
}

impl<'a> Reader<'a> {
    pub(super) fn new(function: &str, column: &'a ArrayRef) -> Result<Self> {
        Ok(Self {
            column: Histograms::new(function, column)?,
            layouts: Layouts::default(),
            sparse: SparseHistogram::new(Config::DEFAULT),
        })
    }

    /// The histogram of a row; `None` where it is null.
    pub(super) fn get(&mut self, row: usize) -> Result<Option<Read<'_>>> {
        let Some(parts) = self.column.get(row) else {
            return Ok(None);
        };
        let number = self.layouts.number(parts.layout)?;
        let buckets = parts.indices.iter().copied().zip(parts.counts.iter().copied());
        Ok(Some(match &self.layouts.get(number)?.layout {
            Layout::LogLinear(config) => {
                self.sparse
                    .refill(*config, parts.sum, parts.min, parts.max, buckets);
                Read::Sparse(&self.sparse)
            }
            Layout::Fixed(boundaries) => {
                let mut counts = vec![0; boundaries.len() + 1];
                for (index, count) in buckets {
                    if let Some(slot) = counts.get_mut(index as usize) {
                        *slot = count;
                    }
                }
                Read::Fixed(FixedHistogram::new(Arc::clone(boundaries), counts, parts.sum))
            }
        }))
    }
}

/// A share, and by how much it may be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Read<'_> {
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Sparse(histogram) => histogram.count(),
            Self::Fixed(histogram) => histogram.count(),
        }
    }

    pub(super) fn sum(&self) -> u64 {
        match self {
            Self::Sparse(histogram) => histogram.sum(),
            Self::Fixed(histogram) => histogram.sum(),
        }
    }

    pub(super) fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| float(self.sum()) / float(count))
    }

    pub(super) fn quantile(&self, q: f64) -> Option<Quantile> {
        match self {
            Self::Sparse(histogram) => histogram.quantile(q),
            Self::Fixed(histogram) => histogram.quantile(q),
        }
    }

    /// The share of values that are at most `bound`.
    pub(super) fn share(&self, bound: f64) -> Option<Share> {
        let count = self.count();
        if count == 0 || bound.is_nan() {
            return None;
        }
        let mut below = 0_u64;
        let mut within = None;
        for (low, high, filled) in self.bands() {
            if float(high) <= bound && high < u64::MAX {
                below = below.saturating_add(filled);
            } else if float(low) <= bound {
                within = Some((low, high, filled));
            }
        }
        let total = float(count);
        let sure = float(below) / total;
        let Some((low, high, filled)) = within else {
            return Some(Share {
                value: sure,
                error: 0.0,
            });
        };
        let part = float(filled) / total;
        // Nothing is known of where values lie in an open bucket.
        let inside = if high == u64::MAX {
            0.0
        } else {
            (bound.floor() - float(low) + 1.0) / (float(high) - float(low) + 1.0)
        };
        Some(Share {
            value: part.mul_add(inside.clamp(0.0, 1.0), sure),
            error: part * inside.max(1.0 - inside).clamp(0.0, 1.0),
        })
    }

    /// The smallest and the largest value of each bucket that holds something, and how many it holds.
    fn bands(&self) -> Vec<(u64, u64, u64)> {
        match self {
            Self::Sparse(histogram) => {
                let config = histogram.config();
                let (min, max) = (histogram.min().unwrap_or(0), histogram.max().unwrap_or(u64::MAX));
                let band = |(index, count): (u32, u64)| {
                    let (low, high) = config.range(index as usize);
                    // The last bucket is open above, up to the maximum.
                    let high = if index as usize + 1 == config.buckets() {
                        max
                    } else {
                        high
                    };
                    (low.max(min), high.min(max), count)
                };
                histogram.buckets().map(band).collect()
            }
            Self::Fixed(histogram) => {
                let mut low = 0;
                let ends = histogram.boundaries().iter().copied().chain([u64::MAX]);
                let bands = ends.zip(histogram.counts()).map(|(high, count)| {
                    let band = (low, high, *count);
                    low = high.saturating_add(1);
                    band
                });
                bands.filter(|(_, _, count)| *count > 0).collect()
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and means are floats")]
fn float(number: u64) -> f64 {
    number as f64
}
