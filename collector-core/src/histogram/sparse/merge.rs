//! Adding one histogram to another.

use super::SparseHistogram;
use crate::error::{Error, Result};

/// Buckets that [`SparseHistogram::merge`] looks at together.
const RUN: usize = 8;

/// How many times as many buckets a histogram must have as one merged into it for looking each of them up to pay.
const FEW: usize = 8;

impl SparseHistogram {
    /// Adds another histogram to this one.
    ///
    /// # Errors
    /// [`Error::HistogramLayout`] when the layouts differ; this histogram is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.config != other.config {
            let (left, right) = (self.config.to_string(), other.config.to_string());
            return Err(Error::HistogramLayout { left, right });
        }
        if other.is_empty() {
            return Ok(());
        }
        self.merge_buckets(other);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        Ok(())
    }

    /// Merges from the back into the memory that is there, if it is enough.
    fn merge_buckets(&mut self, other: &Self) {
        if self.indices == other.indices {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count = add(*count, *more);
            }
            return;
        }
        if other.indices.len() * FEW <= self.indices.len() && self.add_known(other) {
            return;
        }
        let (mut left, mut right) = (self.indices.len(), other.indices.len());
        let mut to = left + self.missing(other);
        self.indices.resize(to, 0);
        self.counts.resize(to, 0);
        while left > 0 && right > 0 {
            if self.merge_run(other, (left, right, to)) {
                (left, right, to) = (left - RUN, right - RUN, to - RUN);
                continue;
            }
            let (mine, theirs) = (self.indices[left - 1], other.indices[right - 1]);
            let (take_mine, take_theirs) = (mine >= theirs, theirs >= mine);
            let mut count = if take_mine { self.counts[left - 1] } else { 0 };
            count = count.saturating_add(if take_theirs { other.counts[right - 1] } else { 0 });
            left -= usize::from(take_mine);
            right -= usize::from(take_theirs);
            to -= 1;
            self.indices[to] = mine.max(theirs);
            self.counts[to] = count;
        }
        // What is left of this histogram's own buckets is in place; the other's may be left in front of all of them.
        self.indices[..right].copy_from_slice(&other.indices[..right]);
        self.counts[..right].copy_from_slice(&other.counts[..right]);
    }

    /// Adds a few buckets to many if all of them are here: an interval that is added to a run mostly finds them so.
    fn add_known(&mut self, other: &Self) -> bool {
        if other
            .indices
            .iter()
            .any(|index| self.indices.binary_search(index).is_err())
        {
            return false;
        }
        for (index, count) in other.buckets() {
            if let Ok(at) = self.indices.binary_search(&index) {
                self.counts[at] = add(self.counts[at], count);
            }
        }
        true
    }

    /// How many buckets another histogram has that this one has not.
    fn missing(&self, other: &Self) -> usize {
        let (mut mine, mut theirs) = (self.indices.as_slice(), other.indices.as_slice());
        let mut missing = 0;
        while let (Some(&left), Some(&right)) = (mine.first(), theirs.first()) {
            let same = mine
                .first_chunk::<RUN>()
                .is_some_and(|run| Some(run) == theirs.first_chunk());
            let (step_mine, step_theirs) = if same {
                (RUN, RUN)
            } else {
                (usize::from(left <= right), usize::from(right <= left))
            };
            missing += usize::from(right < left);
            (mine, theirs) = (&mine[step_mine..], &theirs[step_theirs..]);
        }
        missing + theirs.len()
    }

    /// Merges the last buckets before `left` and `right` to before `to` if they have the same indices, as buckets
    /// have where both histograms are dense.
    #[inline]
    fn merge_run(&mut self, other: &Self, (left, right, to): (usize, usize, usize)) -> bool {
        let Some((indices, counts)) = last_run(&self.indices[..left], &self.counts[..left]) else {
            return false;
        };
        let Some((other_indices, other_counts)) = last_run(&other.indices[..right], &other.counts[..right])
        else {
            return false;
        };
        if indices != other_indices {
            return false;
        }
        let (indices, mut sums) = (*indices, *counts);
        for (sum, count) in sums.iter_mut().zip(other_counts) {
            *sum = add(*sum, *count);
        }
        if to > left
            && let Some(target) = self.indices[..to].last_chunk_mut()
        {
            *target = indices;
        }
        if let Some(target) = self.counts[..to].last_chunk_mut() {
            *target = sums;
        }
        true
    }
}

type Run<'a> = (&'a [u32; RUN], &'a [u64; RUN]);

fn last_run<'a>(indices: &'a [u32], counts: &'a [u64]) -> Option<Run<'a>> {
    Some((indices.last_chunk()?, counts.last_chunk()?))
}

/// Adds, saturating, in a form that a compiler turns into vector instructions (it does not with `saturating_add`).
#[inline]
pub(in crate::histogram) fn add(left: u64, right: u64) -> u64 {
    let sum = left.wrapping_add(right);
    let carry = ((left & right) | ((left | right) & !sum)) >> 63;
    sum | 0_u64.wrapping_sub(carry)
}
