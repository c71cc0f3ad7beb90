//! What can't be true, and what is made of it.
//!
//! Engines report impossible values now and then (`shared` tokens below zero, hits above queries); a metrics library that
//! throws then takes the engine down. Here they are clamped to the nearest possible value and counted.

use crate::catalog;
use crate::metric::MetricDesc;
use crate::record::{AccessRow, BlockRow, Opt32, Opt64, RequestRow, StepRow, Value};

/// Counters of which the first is a part of the second.
static PARTS: [(&MetricDesc, &MetricDesc); 5] = [
    (&catalog::PREFIX_CACHE_HITS, &catalog::PREFIX_CACHE_QUERIES),
    (
        &catalog::PREFIX_CACHE_HITS_PREEMPTED,
        &catalog::PREFIX_CACHE_QUERIES_PREEMPTED,
    ),
    (
        &catalog::EXTERNAL_PREFIX_CACHE_HITS,
        &catalog::EXTERNAL_PREFIX_CACHE_QUERIES,
    ),
    (
        &catalog::SPEC_DECODE_ACCEPTED_TOKENS,
        &catalog::SPEC_DECODE_DRAFT_TOKENS,
    ),
    (&catalog::CACHED_PROMPT_TOKENS, &catalog::PROMPT_TOKENS),
];

/// The pairs of columns of which the first can't exceed the second.
pub(super) fn part_columns(metrics: &[MetricDesc]) -> Vec<(usize, usize)> {
    let column = |desc: &MetricDesc| metrics.iter().position(|metric| metric.name == desc.name);
    PARTS
        .iter()
        .filter_map(|(part, whole)| Some((column(part)?, column(whole)?)))
        .collect()
}

/// Clamps parts to their wholes; returns how many were too large.
pub(super) fn clamp_parts(values: &mut [Value], pairs: &[(usize, usize)]) -> u64 {
    let mut clamped = 0;
    for &(part, whole) in pairs {
        let (Some(Value::Counter(whole)), Some(Value::Counter(part))) =
            (values.get(whole).cloned(), values.get_mut(part))
        else {
            continue;
        };
        if *part > whole {
            *part = whole;
            clamped += 1;
        }
    }
    clamped
}

/// A row that can be put right.
pub(super) trait Sane {
    /// Clamps what can't be true; returns how many values were changed.
    fn clamp(&mut self) -> u64;
}

impl Sane for StepRow {
    fn clamp(&mut self) -> u64 {
        let total = self.kv_blocks_total;
        u64::from(at_most(&mut self.prefix_cache_hits, self.prefix_cache_queries))
            + u64::from(at_most(&mut self.kv_blocks_used, total))
            + u64::from(at_most(
                &mut self.spec_decode_accepted_tokens,
                self.spec_decode_draft_tokens,
            ))
    }
}

impl Sane for RequestRow {
    fn clamp(&mut self) -> u64 {
        let mut clamped = u64::from(at_most(
            &mut self.cached_prompt_tokens,
            Opt32::some(self.prompt_tokens),
        )) + u64::from(at_most(
            &mut self.spec_decode_accepted_tokens,
            self.spec_decode_draft_tokens,
        ));
        if self.arrival > self.monotonic_ns {
            self.arrival = self.monotonic_ns;
            clamped += 1;
        }
        let life = Opt64::some(self.monotonic_ns - self.arrival);
        for time in [&mut self.stalled_time_ns, &mut self.preempted_time_ns] {
            let whole = if self.e2e_latency_ns.get().is_some() {
                self.e2e_latency_ns
            } else {
                life
            };
            clamped += u64::from(at_most64(time, whole));
        }
        clamped
    }
}

impl Sane for BlockRow {
    fn clamp(&mut self) -> u64 {
        let life = self.monotonic_ns.saturating_sub(self.allocated);
        let mut clamped = 0;
        if self.allocated > self.monotonic_ns {
            self.allocated = self.monotonic_ns;
            clamped += 1;
        }
        if self.lifetime_ns > life {
            self.lifetime_ns = life;
            clamped += 1;
        }
        clamped + u64::from(at_most64(&mut self.idle_ns, Opt64::some(life)))
    }
}

impl Sane for AccessRow {
    fn clamp(&mut self) -> u64 {
        0
    }
}

fn at_most(part: &mut Opt32, whole: Opt32) -> bool {
    match (part.get(), whole.get()) {
        (Some(found), Some(limit)) if found > limit => {
            *part = whole;
            true
        }
        _ => false,
    }
}

fn at_most64(part: &mut Opt64, whole: Opt64) -> bool {
    match (part.get(), whole.get()) {
        (Some(found), Some(limit)) if found > limit => {
            *part = whole;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_hits_than_queries_are_clamped() {
        let mut row = StepRow {
            prefix_cache_queries: 5.into(),
            prefix_cache_hits: 9.into(),
            ..StepRow::default()
        };
        assert_eq!(row.clamp(), 1);
        assert_eq!(row.prefix_cache_hits.get(), Some(5));
        assert_eq!(row.clamp(), 0);
    }

    #[test]
    fn a_clock_step_does_not_make_a_negative_life() {
        let mut row = RequestRow {
            monotonic_ns: 5,
            arrival: 9,
            ..RequestRow::default()
        };
        assert_eq!(row.clamp(), 1);
        let mut block = BlockRow {
            monotonic_ns: 5,
            allocated: 9,
            lifetime_ns: 4,
            ..BlockRow::default()
        };
        assert_eq!(block.clamp(), 2);
        assert_eq!(block.lifetime_ns, 0);
    }

    #[test]
    fn a_missing_value_is_never_clamped() {
        assert_eq!(
            StepRow::default().clamp() + BlockRow::default().clamp() + RequestRow::default().clamp(),
            0
        );
    }
}
