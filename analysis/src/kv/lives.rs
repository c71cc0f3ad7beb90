//! Lives of blocks.

use super::stack::{Mixed, mix};
use crate::error::Result;
use crate::num::{float, rounded};
use crate::scan::Cols;
use crate::stats::{Survival, Values};
use arrow_array::RecordBatch;
use kvlens_core::histogram::Config;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

/// Contents that are followed to see which come back; with more, every second one is forgotten, by hash.
const FOLLOWED: usize = 1 << 20;

/// The width of a residency time: 0.1 %.
fn fine() -> Config {
    Config::new(10, 48).unwrap_or(Config::DEFAULT)
}

/// Block lives over a run.
#[derive(Debug, Default)]
pub struct Lives {
    rows: u64,
    ends: BTreeMap<String, u64>,
    /// Evicted after a preemption had released them.
    self_inflicted: u64,
    /// Lives by bucket of their length: ended by being handed out again, and not seen to end.
    ended: BTreeMap<u64, u64>,
    censored: BTreeMap<u64, u64>,
    pub(crate) idle: Values,
    /// The mean gap between uses of each reused block's life.
    pub(crate) reuse_gap_mean: Values,
    reused: u64,
    reuses: u64,
    /// Lives and evictions by content.
    contents: HashMap<u64, (u32, u32), BuildHasherDefault<Mixed>>,
    /// Contents whose mixed hash has this many zeros at the end are followed.
    forgotten: u32,
    /// One life in this many was recorded, at most.
    pub(crate) sample_every: u64,
}

/// Contents that were evicted and came back.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Refetched {
    /// Lives of reusable content.
    pub lives: u64,
    /// Lives whose content an earlier eviction had thrown away.
    pub refetched: u64,
}

impl Refetched {
    /// The share of lives that an eviction made necessary.
    pub fn share(&self) -> Option<f64> {
        crate::num::ratio(float(self.refetched), float(self.lives))
    }
}

impl Lives {
    /// The columns that are read.
    pub(crate) const COLUMNS: [&'static str; 8] = [
        "prefix_hash",
        "released_by",
        "end",
        "lifetime_ns",
        "idle_ns",
        "reuse_count",
        "reuse_gap_sum_ns",
        "sample_every",
    ];

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let cols = Cols::new(batch);
        let (end, released) = (cols.strings("end")?, cols.strings("released_by")?);
        let (hash, lifetime) = (cols.numbers("prefix_hash")?, cols.numbers("lifetime_ns")?);
        let (idle, count) = (cols.numbers("idle_ns")?, cols.numbers("reuse_count")?);
        let (gap_sum, every) = (cols.numbers("reuse_gap_sum_ns")?, cols.numbers("sample_every")?);
        let (mut idles, mut gaps) = (Vec::new(), Vec::new());
        for row in 0..cols.rows() {
            let how = end.get(row).unwrap_or("unknown");
            let evicted = how == "evicted";
            self.life(how, lifetime.get(row));
            self.self_inflicted += u64::from(evicted && released.get(row) == Some("preempted"));
            self.sample_every = self.sample_every.max(every.get(row).unwrap_or(1));
            idles.extend(idle.get(row).filter(|_| evicted));
            gaps.extend(
                gap_sum
                    .get(row)
                    .and_then(|sum| sum.checked_div(count.get(row).unwrap_or(0))),
            );
            self.reuses += count.get(row).unwrap_or(0);
            self.reused += u64::from(count.get(row).unwrap_or(0) > 0);
            if let Some(hash) = hash.get(row) {
                self.content(hash, (1, u32::from(evicted)));
            }
        }
        self.idle.extend(&idles);
        self.reuse_gap_mean.extend(&gaps);
        Ok(())
    }

    fn life(&mut self, how: &str, lifetime: Option<u64>) {
        self.rows += 1;
        match self.ends.get_mut(how) {
            Some(count) => *count += 1,
            None => drop(self.ends.insert(how.to_owned(), 1)),
        }
        let Some(lifetime) = lifetime else { return };
        let config = fine();
        let (low, high) = config.range(config.index(lifetime));
        let side = if matches!(how, "evicted" | "reallocated") {
            &mut self.ended
        } else {
            &mut self.censored
        };
        *side.entry(low + (high - low) / 2).or_default() += 1;
    }

    fn content(&mut self, hash: u64, (lives, evicted): (u32, u32)) {
        if mix(hash).trailing_zeros() < self.forgotten {
            return;
        }
        let seen = self.contents.entry(hash).or_default();
        seen.0 = seen.0.saturating_add(lives);
        seen.1 = seen.1.saturating_add(evicted);
        if self.contents.len() > FOLLOWED {
            self.forgotten += 1;
            let forgotten = self.forgotten;
            self.contents
                .retain(|hash, _| mix(*hash).trailing_zeros() >= forgotten);
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        for (how, count) in other.ends {
            *self.ends.entry(how).or_default() += count;
        }
        self.self_inflicted += other.self_inflicted;
        for (mine, theirs) in [
            (&mut self.ended, other.ended),
            (&mut self.censored, other.censored),
        ] {
            theirs
                .into_iter()
                .for_each(|(time, count)| *mine.entry(time).or_default() += count);
        }
        self.idle.merge(other.idle);
        self.reuse_gap_mean.merge(other.reuse_gap_mean);
        self.reused += other.reused;
        self.reuses += other.reuses;
        self.sample_every = self.sample_every.max(other.sample_every);
        if other.forgotten > self.forgotten {
            self.forgotten = other.forgotten;
            let forgotten = self.forgotten;
            self.contents
                .retain(|hash, _| mix(*hash).trailing_zeros() >= forgotten);
        }
        for (hash, seen) in other.contents {
            self.content(hash, seen);
        }
    }

    /// Lives recorded.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Lives by how they ended.
    pub fn ends(&self) -> &BTreeMap<String, u64> {
        &self.ends
    }

    /// Blocks evicted that a preemption had released: the engine threw out what it was about to need.
    pub fn self_inflicted(&self) -> u64 {
        self.self_inflicted
    }

    /// Lives with at least one hit, and hits over all lives.
    pub fn reuse(&self) -> (u64, u64) {
        (self.reused, self.reuses)
    }

    /// How long blocks live, those that outlived the recording included (Kaplan-Meier); times are within 0.05 %.
    pub fn residency(&self) -> Survival {
        Survival::estimate(&self.ended, &self.censored)
    }

    /// How often content came back after an eviction had thrown it away, from every content or, in a long run, an even
    /// sample. `None` if lives were sampled, since a content's lives are then not all there.
    pub fn refetched(&self) -> Option<Refetched> {
        if self.sample_every > 1 || self.contents.is_empty() {
            return None;
        }
        let mut out = Refetched {
            lives: 0,
            refetched: 0,
        };
        for (lives, evicted) in self.contents.values() {
            out.lives += u64::from(*lives);
            out.refetched += u64::from((*lives).saturating_sub(1).min(*evicted));
        }
        let scale = float(1_u64 << self.forgotten.min(63));
        out.lives = rounded(float(out.lives) * scale);
        out.refetched = rounded(float(out.refetched) * scale);
        Some(out)
    }
}
