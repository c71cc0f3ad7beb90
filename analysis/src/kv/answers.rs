//! All questions about the cache of one run, answered together.

use super::{MissRatioCurve, Refetched, ShardsOptions, access_curve};
use crate::error::Result;
use crate::num::float;
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
/// Multiples of the pool's size for which the hit rate is told.
const MULTIPLES: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];

/// What a run tells about its KV cache. Serialises to JSON; `Display` is for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct KvAnswers {
    /// The run.
    pub run_id: String,
    /// Blocks of the pool.
    pub blocks_total: Option<u64>,
    /// The hit rate against the cache's size; `None` if look-ups were not recorded.
    pub curve: Option<MissRatioCurve>,
    /// The hit rate at multiples of the pool's size.
    pub what_if: Vec<WhatIf>,
    /// How long blocks live; `None` if block lives were not recorded.
    pub residency: Option<Residency>,
    /// Content that was evicted and came back.
    pub refetched: Option<Refetched>,
    /// Blocks evicted that a preemption had released.
    pub self_inflicted: Option<u64>,
    /// Tokens computed again after preemptions, over tokens computed.
    pub recomputed: Option<f64>,
    /// Tokens that matched a cached prefix beyond the last whole block, over tokens looked up.
    pub almost_hit: Option<f64>,
    /// From the last use of an evicted block to its eviction.
    pub idle_before_evict_ns: Vec<QuantileEstimate>,
    /// Between uses of a reused block.
    pub reuse_gap_ns: Vec<QuantileEstimate>,
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

/// Answers the questions about a run's cache that its tables allow.
///
/// # Errors
/// What reading the run gives.
pub fn answers(run: &Run, shards: ShardsOptions, options: ScanOptions) -> Result<KvAnswers> {
    let overview = Overview::read(run, options)?;
    let summary = overview.summary();
    let asked = run.has(TableName::Accesses);
    let curve = asked
        .then(|| access_curve(run, None, shards, options))
        .transpose()?;
    let blocks_total = summary.blocks.map(|blocks| blocks.total);
    let lives = overview.lives();
    let residency = lives.map(|lives| {
        let survival = lives.residency();
        Residency {
            events: survival.events,
            censored: survival.censored,
            p50_ns: survival.quantile(0.5),
            p90_ns: survival.quantile(0.9),
            points: survival.decimated(RESIDENCY_POINTS),
        }
    });
    Ok(KvAnswers {
        run_id: run.id().to_owned(),
        blocks_total,
        what_if: what_if(curve.as_ref(), blocks_total),
        curve,
        residency,
        refetched: lives.and_then(super::Lives::refetched),
        self_inflicted: lives.map(super::Lives::self_inflicted),
        recomputed: summary.rates.recomputed,
        almost_hit: summary.rates.almost_hit,
        idle_before_evict_ns: lives.map_or_else(Vec::new, |lives| of_values(&lives.idle, &QUANTILES)),
        reuse_gap_ns: lives.map_or_else(Vec::new, |lives| of_values(&lives.reuse_gap, &QUANTILES)),
    })
}

fn what_if(curve: Option<&MissRatioCurve>, total: Option<u64>) -> Vec<WhatIf> {
    let (Some(curve), Some(total)) = (curve, total) else {
        return Vec::new();
    };
    let at = |multiple: f64| {
        let blocks = crate::num::rounded(multiple * float(total));
        let near = curve.points.iter().find(|point| point.blocks >= blocks);
        let error = near.or(curve.points.last()).map_or(0.0, |point| point.error);
        WhatIf {
            multiple,
            blocks,
            hit_rate: curve.hit_rate(blocks),
            error,
        }
    };
    MULTIPLES.map(at).into()
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

    fn document(&self) -> Document {
        let mut out = Document::default();
        out.heading(format!("KV cache of run {}", self.run_id));
        self.sizes(&mut out);
        let mut facts = Table::new(["", "", ""]);
        let mut row = |name: &str, value: String, aside: String| facts.row([name.to_owned(), value, aside]);
        if let Some(lives) = &self.residency {
            let unseen = || "beyond the recording".to_owned();
            let time = |time: Option<u64>| time.map_or_else(unseen, |time| duration(float(time)));
            let counts = format!(
                "{} ended, {} outlived the recording",
                grouped(lives.events),
                grouped(lives.censored)
            );
            row("half of the blocks live", time(lives.p50_ns), counts);
            row("nine tenths of them", time(lives.p90_ns), String::new());
        }
        if let Some(found) = self.refetched {
            let of = found
                .share()
                .map_or(String::new(), |share| format!("{} of lives", percent(share)));
            row(
                "lives made necessary by an eviction",
                grouped(found.refetched),
                of,
            );
        }
        if let Some(blocks) = self.self_inflicted {
            row("evicted after a preemption", grouped(blocks), String::new());
        }
        for (name, share) in [
            ("tokens computed again", self.recomputed),
            ("almost-hit tokens", self.almost_hit),
        ] {
            if let Some(share) = share {
                row(name, percent(share), String::new());
            }
        }
        for (name, quantiles) in [
            ("idle before eviction", &self.idle_before_evict_ns),
            ("between uses", &self.reuse_gap_ns),
        ] {
            let median = quantiles.first().and_then(|quantile| quantile.value);
            let p99 = quantiles
                .get(2)
                .filter(|quantile| quantile.supported)
                .and_then(|quantile| quantile.value);
            if let Some(median) = median {
                let tail = p99.map_or(String::new(), |p99| format!("p99 {}", duration(float(p99))));
                row(name, duration(float(median)), tail);
            }
        }
        out.table(facts);
        out
    }

    fn sizes(&self, out: &mut Document) {
        let Some(curve) = &self.curve else {
            out.paragraph("no miss-ratio curve: record the table `accesses` to get one");
            return;
        };
        let kind = if curve.rate < 1.0 {
            format!("sampled at {}", percent(curve.rate))
        } else {
            "exact".to_owned()
        };
        out.paragraph(format!(
            "{} look-ups of {} blocks; a cache that never forgets would hit {} ({kind})",
            grouped(curve.accesses),
            grouped(curve.blocks),
            percent(curve.ceiling)
        ));
        let mut table = Table::new(["pool size", "blocks", "hit rate (LRU)", "±"]);
        for size in &self.what_if {
            let multiple = format!("{} x", size.multiple);
            let error = if size.error > 0.0 {
                percent(size.error)
            } else {
                String::new()
            };
            table.row([multiple, grouped(size.blocks), percent(size.hit_rate), error]);
        }
        out.table(table);
    }
}
