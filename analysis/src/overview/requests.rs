//! One pass over `requests`.

use crate::error::Result;
use crate::scan::Cols;
use crate::stats::Values;
use arrow_array::RecordBatch;
use std::collections::BTreeMap;

/// Latencies of a request.
pub(crate) const LATENCIES: [&str; 9] = [
    "time_to_first_token_ns",
    "time_per_output_token_ns",
    "inter_token_latency_max_ns",
    "e2e_latency_ns",
    "queue_time_ns",
    "prefill_time_ns",
    "decode_time_ns",
    "preempted_time_ns",
    "stalled_time_ns",
];

/// Counts of a request.
pub(crate) const COUNTS: [&str; 11] = [
    "prompt_tokens",
    "cached_prompt_tokens",
    "external_cached_tokens",
    "almost_hit_tokens",
    "computed_prompt_tokens",
    "recomputed_tokens",
    "generation_tokens",
    "preemptions_recompute",
    "preemptions_swap",
    "spec_decode_draft_tokens",
    "spec_decode_accepted_tokens",
];

/// Ends after which a request's latencies say nothing about the engine; the histograms leave them out too.
const NOT_MEASURED: [&str; 2] = ["abort", "error"];

pub(crate) fn columns() -> Vec<&'static str> {
    let mut columns = vec!["timestamp", "arrival", "finish_reason"];
    columns.extend(LATENCIES);
    columns.extend(COUNTS);
    columns
}

/// What the requests came to.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) rows: u64,
    pub(crate) latencies: [Values; LATENCIES.len()],
    pub(crate) totals: [Option<u64>; COUNTS.len()],
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Requests that were preempted at least once.
    pub(crate) preempted: u64,
    pub(crate) start_ns: Option<u64>,
    pub(crate) end_ns: Option<u64>,
}

impl Requests {
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let cols = Cols::new(batch);
        self.rows += cols.rows() as u64;
        let measured = self.reasons(cols)?;
        for (values, name) in self.latencies.iter_mut().zip(LATENCIES) {
            let numbers = cols.numbers(name)?;
            let mut found = Vec::with_capacity(cols.rows());
            match &measured {
                None => numbers.append_to(&mut found),
                Some(rows) => found.extend(rows.iter().filter_map(|row| numbers.get(*row))),
            }
            values.extend(&found);
        }
        for (total, name) in self.totals.iter_mut().zip(COUNTS) {
            let numbers = cols.numbers(name)?;
            if !numbers.is_missing() {
                *total = Some(total.unwrap_or(0).saturating_add(numbers.sum()));
            }
        }
        self.times(cols)
    }

    /// Counts how requests ended; the rows that are measured, if not all.
    fn reasons(&mut self, cols: Cols<'_>) -> Result<Option<Vec<usize>>> {
        let reasons = cols.strings("finish_reason")?;
        if let Some(reason) = reasons.constant(cols.rows()) {
            let reason = reason.unwrap_or("unknown");
            count(&mut self.reasons, reason, cols.rows() as u64);
            return Ok(NOT_MEASURED.contains(&reason).then(Vec::new));
        }
        let mut measured = Vec::with_capacity(cols.rows());
        for row in 0..cols.rows() {
            let reason = reasons.get(row).unwrap_or("unknown");
            count(&mut self.reasons, reason, 1);
            if !NOT_MEASURED.contains(&reason) {
                measured.push(row);
            }
        }
        Ok((measured.len() < cols.rows()).then_some(measured))
    }

    fn times(&mut self, cols: Cols<'_>) -> Result<()> {
        let rows = 0..cols.rows();
        let (arrival, finish) = (cols.numbers("arrival")?, cols.numbers("timestamp")?);
        let earliest = rows.clone().filter_map(|row| arrival.get(row)).min();
        let latest = rows.clone().filter_map(|row| finish.get(row)).max();
        self.start_ns = [self.start_ns, earliest].into_iter().flatten().min();
        self.end_ns = self.end_ns.max(latest);
        let (again, swap) = (
            cols.numbers("preemptions_recompute")?,
            cols.numbers("preemptions_swap")?,
        );
        if again.sum() + swap.sum() > 0 {
            let hit = rows.filter(|row| again.get(*row).unwrap_or(0) + swap.get(*row).unwrap_or(0) > 0);
            self.preempted += hit.count() as u64;
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        for (mine, theirs) in self.latencies.iter_mut().zip(other.latencies) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.totals.iter_mut().zip(other.totals) {
            *mine = match (*mine, theirs) {
                (Some(mine), Some(theirs)) => Some(mine.saturating_add(theirs)),
                (mine, theirs) => mine.or(theirs),
            };
        }
        for (reason, requests) in other.reasons {
            count(&mut self.reasons, &reason, requests);
        }
        self.preempted += other.preempted;
        self.start_ns = [self.start_ns, other.start_ns].into_iter().flatten().min();
        self.end_ns = self.end_ns.max(other.end_ns);
    }

    /// The values of a latency.
    pub(crate) fn latency(&self, name: &str) -> Option<&Values> {
        let at = LATENCIES.iter().position(|known| *known == name)?;
        self.latencies.get(at).filter(|values| values.count() > 0)
    }

    /// The total of a count.
    pub(crate) fn total(&self, name: &str) -> Option<u64> {
        let at = COUNTS.iter().position(|known| *known == name)?;
        self.totals.get(at).copied().flatten()
    }
}

fn count(reasons: &mut BTreeMap<String, u64>, reason: &str, requests: u64) {
    match reasons.get_mut(reason) {
        Some(count) => *count += requests,
        None => drop(reasons.insert(reason.to_owned(), requests)),
    }
}
