//! All questions about the cache of one run, answered together.

use super::accesses::followed;
use super::{AccessSummary, FEWEST_CONTENTS, Lives, MissRatioCurve, Refetched, ShardsOptions};
use crate::error::{Damage, Result};
use crate::num::{float, ratio};
use crate::overview::{Overview, QUANTILES};
use crate::render::number::{duration, grouped, percent};
use crate::render::{Document, Table};
use crate::run::Run;
use crate::scan::ScanOptions;
use crate::stats::quantiles::of_values;
use crate::stats::{QuantileEstimate, SurvivalPoint};
use kvlens_core::Table as TableName;

/// Points of the residency curve that are given.
const RESIDENCY_POINTS: usize = 200;
/// Said where a curve is asked for and can't be made.
const NO_ACCESSES: &str = "no miss-ratio curve: the run holds no table `accesses`; record it with \
    `--tables all,accesses` (`kvlens run`) or a source's access rows to learn what more memory would give";
/// Multiples of the pool's size for which the hit rate is told.
pub const MULTIPLES: [f64; 7] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];

/// What a run tells about its KV cache. Serialises to JSON; `Display` is for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct KvAnswers {
    /// The run.
    pub run_id: String,
    /// Blocks of the pool.
    pub blocks_total: Option<u64>,
    /// Look-ups at first admission, as the run served them; `None` if they were not recorded.
    pub measured: Option<AccessSummary>,
    /// The hit rate against the cache's size; `None` if look-ups were not recorded, or too few of their contents followed.
    pub curve: Option<MissRatioCurve>,
    /// Whether look-ups were recorded and not one could be read.
    #[serde(skip)]
    unread_accesses: bool,
    /// Contents that were followed, where they were [too few](super::FEWEST_CONTENTS) for a curve.
    pub too_few_sampled: Option<u64>,
    /// The hit rate at [multiples](MULTIPLES) of the pool's size.
    pub what_if: Vec<WhatIf>,
    /// How long blocks live; `None` if block lives, or their lengths, were not recorded.
    pub residency: Option<Residency>,
    /// Content that was evicted and came back.
    pub refetched: Option<Refetched>,
    /// Blocks evicted.
    pub evicted: Option<u64>,
    /// Those of them that a preemption had released.
    pub self_inflicted: Option<u64>,
    /// Tokens computed again after preemptions.
    pub recomputed_tokens: Option<u64>,
    /// The same over tokens computed.
    pub recomputed: Option<f64>,
    /// Tokens that matched a cached prefix beyond the last whole block, over tokens looked up.
    pub almost_hit: Option<f64>,
    /// From the last use of an evicted block to its eviction.
    pub idle_before_evict_ns: Vec<QuantileEstimate>,
    /// Between uses of a reused block.
    pub reuse_gap_ns: Vec<QuantileEstimate>,
    /// What `reuse_gap_ns` is of; `None` where it is empty.
    pub reuse_gap_of: Option<ReuseGapOf>,
    /// What limits the answers: an unfinished run, rows lost, parts left out.
    pub notes: Vec<String>,
}

/// What quantiles of the time between uses of a block are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReuseGapOf {
    /// Every gap, from the histogram in `samples`: known to within a bucket.
    Gaps,
    /// The mean gap of each reused block's life, from `blocks`: short gaps of a block that is used often weigh no more than
    /// long ones of another.
    Lives,
}

/// The hit rate at a size.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct WhatIf {
    /// The size, in pools.
    pub multiple: f64,
    /// The size, in blocks.
    pub blocks: u64,
    /// The hit rate of an LRU cache of that size.
    pub hit_rate: f64,
    /// Half the width of its 95 % interval.
    pub error: f64,
}

/// How long blocks live.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Residency {
    /// Lives that ended.
    pub events: u64,
    /// Lives that outlived the recording.
    pub censored: u64,
    /// The time by which a half has ended; `None` when the recording was too short to see it.
    pub p50_ns: Option<u64>,
    /// The time by which nine tenths have ended.
    pub p90_ns: Option<u64>,
    /// The survival curve.
    pub points: Vec<SurvivalPoint>,
}

/// Answers the questions about a run's cache that its tables allow; by default the curve is
/// [exact where that takes seconds](ShardsOptions::fitting).
///
/// # Errors
/// What reading the run gives.
pub fn answers(run: &Run, shards: Option<ShardsOptions>, options: ScanOptions) -> Result<KvAnswers> {
    Overview::read(run, options)?.kv_answers(shards, options)
}

impl Overview<'_> {
    /// Answers the questions about the cache, as [`answers`] does, where the run has been read already.
    ///
    /// # Errors
    /// What reading the look-ups gives.
    pub fn kv_answers(&self, shards: Option<ShardsOptions>, options: ScanOptions) -> Result<KvAnswers> {
        let blocks_total = self.block_split().map(|blocks| blocks.total);
        let rows = self.rows.get(TableName::Accesses.name()).copied().unwrap_or(0);
        let shards = shards.unwrap_or_else(|| ShardsOptions::fitting(rows));
        let found = (rows > 0)
            .then(|| followed(self.run, shards, options))
            .transpose()?;
        let curve = found
            .as_ref()
            .map(|found| found.curve(&multiples(blocks_total.unwrap_or(0))));
        let mut notes = self.notes();
        let damage = found.iter().flat_map(|found| &found.damage).map(Damage::note);
        // A part that is damaged as a whole was seen before.
        notes.extend(damage.filter(|note| !self.damage.iter().any(|seen| seen.note() == *note)));
        let too_few = curve.as_ref().filter(|curve| !curve.is_supported());
        let too_few_sampled = too_few.map(|curve| curve.followed);
        let curve = curve.filter(MissRatioCurve::is_supported);
        let lives = self.lives();
        let rates = self.rates();
        let (reuse_gap_ns, reuse_gap_of) = self.reuse_gap();
        Ok(KvAnswers {
            run_id: self.run.id().to_owned(),
            blocks_total,
            measured: found.map(|found| found.summary),
            what_if: what_if(curve.as_ref(), blocks_total),
            curve,
            unread_accesses: rows == 0 && self.is_damaged(TableName::Accesses),
            too_few_sampled,
            residency: lives.and_then(residency),
            refetched: lives.and_then(Lives::refetched),
            evicted: self.total("kv_blocks_evicted"),
            self_inflicted: self.total("kv_blocks_evicted_preempted").or_else(|| {
                let lives = lives?;
                Some(lives.self_inflicted().saturating_mul(lives.sample_every.max(1)))
            }),
            recomputed_tokens: self.total("recomputed_tokens"),
            recomputed: rates.recomputed,
            almost_hit: rates.almost_hit,
            idle_before_evict_ns: lives.map_or_else(Vec::new, |lives| of_values(&lives.idle, &QUANTILES)),
            reuse_gap_ns,
            reuse_gap_of,
            notes,
        })
    }

    /// The time between uses of a block. A block's row has only the first, the longest and the sum of its gaps, of which
    /// no quantile of all gaps can be made.
    fn reuse_gap(&self) -> (Vec<QuantileEstimate>, Option<ReuseGapOf>) {
        let every = self.distribution("kv_block_reuse_gap_ns");
        if let Some(every) = every.filter(|found| found.count > 0 && !found.quantiles.is_empty()) {
            return (every.quantiles, Some(ReuseGapOf::Gaps));
        }
        let Some(means) = self.lives().map(|lives| &lives.reuse_gap_mean) else {
            return (Vec::new(), None);
        };
        if means.count() == 0 {
            return (Vec::new(), None);
        }
        let inexact = |found: QuantileEstimate| QuantileEstimate {
            exact: false,
            ..found
        };
        let found = of_values(means, &QUANTILES).into_iter().map(inexact);
        (found.collect(), Some(ReuseGapOf::Lives))
    }
}

fn residency(lives: &Lives) -> Option<Residency> {
    let survival = lives.residency();
    // Where lives have no length, there is nothing to tell.
    (survival.events + survival.censored > 0).then(|| Residency {
        events: survival.events,
        censored: survival.censored,
        p50_ns: survival.quantile(0.5),
        p90_ns: survival.quantile(0.9),
        points: survival.decimated(RESIDENCY_POINTS),
    })
}

/// The sizes that [`WhatIf`] tells.
fn multiples(total: u64) -> Vec<u64> {
    let size = |multiple: f64| crate::num::rounded(multiple * float(total));
    MULTIPLES
        .map(size)
        .into_iter()
        .filter(|blocks| *blocks > 0)
        .collect()
}

fn what_if(curve: Option<&MissRatioCurve>, total: Option<u64>) -> Vec<WhatIf> {
    let (Some(curve), Some(total)) = (curve, total) else {
        return Vec::new();
    };
    let at = |multiple: f64| {
        let blocks = crate::num::rounded(multiple * float(total));
        // Every multiple is a point of the curve.
        let point = curve.points.iter().find(|point| point.blocks == blocks)?;
        Some(WhatIf {
            multiple,
            blocks,
            hit_rate: point.hit_rate,
            error: point.error,
        })
    };
    MULTIPLES.into_iter().filter_map(at).collect()
}

impl std::fmt::Display for KvAnswers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl KvAnswers {
    /// Renders them for a terminal.
    pub fn text(&self) -> String {
        self.document().text()
    }

    /// Renders them as Markdown.
    pub fn markdown(&self) -> String {
        self.document().markdown()
    }

    /// Renders them as JSON.
    ///
    /// # Errors
    /// None in practice: every key is text and every number finite or null.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    pub(crate) fn document(&self) -> Document {
        let mut out = Document::default();
        out.heading(format!("KV cache of run {}", self.run_id));
        self.sizes(&mut out);
        out.heading("Blocks");
        out.table(self.facts());
        out.notes(&self.notes);
        out
    }

    /// Why there is no curve.
    pub(crate) fn no_curve(&self) -> String {
        let Some(followed) = self.too_few_sampled else {
            return if self.unread_accesses {
                "no miss-ratio curve: of the table `accesses` nothing could be read".to_owned()
            } else {
                NO_ACCESSES.to_owned()
            };
        };
        let accesses = self.measured.map_or(0, |found| found.accesses);
        format!(
            "no miss-ratio curve: too few sampled: {} block contents of {} look-ups, where {FEWEST_CONTENTS} are needed; give a \
             larger `--sample`",
            grouped(followed),
            grouped(accesses)
        )
    }

    fn facts(&self) -> Table {
        let mut facts = Table::new(["", "", ""]);
        let mut row = |name: &str, value: String, aside: String| facts.row([name.to_owned(), value, aside]);
        if let Some(lives) = &self.residency {
            let unseen = || "beyond the recording".to_owned();
            let time = |time: Option<u64>| time.map_or_else(unseen, |time| duration(float(time)));
            let counts = format!(
                "{} ended, {} outlived the recording (Kaplan-Meier)",
                grouped(lives.events),
                grouped(lives.censored)
            );
            row("half of the blocks live at most", time(lives.p50_ns), counts);
            row("nine tenths of them at most", time(lives.p90_ns), String::new());
        }
        let between = match self.reuse_gap_of {
            Some(ReuseGapOf::Lives) => "between uses of a block, mean of each life",
            _ => "between uses of a block",
        };
        for (name, quantiles) in [
            ("from the last use to eviction", &self.idle_before_evict_ns),
            (between, &self.reuse_gap_ns),
        ] {
            let at = |at: usize| quantiles.get(at).filter(|found| found.supported)?.value;
            let tail = at(2).map_or(String::new(), |p99| format!("p99 {}", duration(float(p99))));
            if let Some(median) = at(0) {
                row(name, format!("p50 {}", duration(float(median))), tail);
            }
        }
        let of = |share: Option<f64>, what: &str| {
            share.map_or(String::new(), |share| format!("{} {what}", percent(share)))
        };
        if let Some(blocks) = self.evicted {
            row("blocks evicted", grouped(blocks), String::new());
        }
        if let Some(found) = self.refetched {
            let share = of(found.share(), "of lives");
            row("fetched again after an eviction", grouped(found.refetched), share);
        }
        if let Some(blocks) = self.self_inflicted {
            let share = self
                .evicted
                .and_then(|evicted| ratio(float(blocks), float(evicted)));
            let aside = of(share, "of evictions: self-inflicted");
            row("evicted after a preemption", grouped(blocks), aside);
        }
        if let Some(tokens) = self.recomputed_tokens {
            let aside = of(self.recomputed, "of tokens computed");
            row("tokens computed again after preemptions", grouped(tokens), aside);
        }
        if let Some(share) = self.almost_hit {
            row(
                "almost-hit tokens",
                percent(share),
                "of tokens looked up".to_owned(),
            );
        }
        facts
    }

    fn sizes(&self, out: &mut Document) {
        let Some(curve) = &self.curve else {
            out.paragraph(self.no_curve());
            return;
        };
        let kind = if curve.rate < 1.0 {
            format!("sampled at {}", percent(curve.rate))
        } else {
            "exact".to_owned()
        };
        out.paragraph(format!(
            "{} look-ups of {} different blocks; a cache that never forgets would hit {} ({kind})",
            grouped(curve.accesses),
            grouped(curve.blocks),
            percent(curve.ceiling)
        ));
        let sampled = self.what_if.iter().any(|size| size.error > 0.0);
        let mut table = Table::new([
            "pool size",
            "blocks",
            "hit rate (LRU)",
            if sampled { "±" } else { "" },
            "",
        ]);
        let measured = self
            .measured
            .and_then(|found| ratio(float(found.hits), float(found.accesses)));
        for size in &self.what_if {
            let error = if size.error > 0.0 {
                percent(size.error)
            } else {
                String::new()
            };
            let is_pool = (size.multiple - 1.0).abs() < f64::EPSILON;
            let measured = measured.filter(|_| is_pool);
            let aside = measured.map_or(String::new(), |rate| {
                format!("the run itself hit {}", percent(rate))
            });
            let multiple = format!("{} x", size.multiple);
            table.row([
                multiple,
                grouped(size.blocks),
                percent(size.hit_rate),
                error,
                aside,
            ]);
        }
        out.table(table);
        let distances = curve.reuse_distance.iter();
        let distances = distances.map(|found| format!("p{} {}", found.q * 100.0, grouped(found.blocks)));
        let distances: Vec<_> = distances.collect();
        if !distances.is_empty() {
            out.paragraph(format!(
                "reuse distance, in different blocks between two uses of one: {}",
                distances.join(", ")
            ));
        }
    }
}
