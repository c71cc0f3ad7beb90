//! What a report needs of a run.

use crate::error::Result;
use crate::heatmap::{HeatMap, heat_maps};
use crate::kv::KvAnswers;
use crate::num::{float, signed, size};
use crate::overview::{MAX_BINS, Overview, Timeline};
use crate::run::Run;
use crate::scan::ScanOptions;
use crate::summary::Summary;
use crate::why::{Explanations, Which, why};
use kvlens_core::Table;

/// Requests told in the table of the slowest.
pub const SLOWEST: usize = 10;
/// Columns of a heat map at most.
const HEAT_COLUMNS: usize = 160;
/// Latencies of requests that have a heat map.
const HEAT_OF_REQUESTS: [&str; 5] = [
    "time_to_first_token_ns",
    "time_per_output_token_ns",
    "inter_token_latency_max_ns",
    "e2e_latency_ns",
    "queue_time_ns",
];
/// Steps that a bin of a rate has on average at least: with fewer, a rate is all or nothing.
const STEPS_PER_BIN: u64 = 12;
/// Bins of a rate, at least and at most.
const RATE_BINS: (u64, u64) = (24, 400);

/// A run, read.
#[derive(Debug)]
pub(super) struct RunData<'a> {
    /// What it is called in legends.
    pub(super) name: String,
    pub(super) overview: Overview<'a>,
    pub(super) summary: Summary,
    pub(super) kv: KvAnswers,
    pub(super) heat: Vec<HeatMap>,
    pub(super) slowest: Explanations,
    /// Finely binned, for gauges.
    pub(super) fine: Timeline,
    /// Coarsely binned, for rates.
    pub(super) coarse: Timeline,
}

impl<'a> RunData<'a> {
    pub(super) fn read(run: &'a Run, name: String, options: ScanOptions) -> Result<Self> {
        let overview = Overview::read(run, options)?;
        let rows = |table: Table| overview.rows().get(table.name()).copied().unwrap_or(0);
        let mut heat = Vec::new();
        if rows(Table::Requests) > 0 {
            heat = heat_maps(run, Table::Requests, &HEAT_OF_REQUESTS, HEAT_COLUMNS, options)?;
        }
        if rows(Table::Steps) > 0 {
            heat.extend(heat_maps(
                run,
                Table::Steps,
                &["step_time_ns"],
                HEAT_COLUMNS,
                options,
            )?);
        }
        heat.retain(|map| map.counts.iter().flatten().any(|count| *count > 0));
        let slowest = if rows(Table::Requests) > 0 {
            why(run, &Which::Slowest(SLOWEST), options)?
        } else {
            Explanations::default()
        };
        let ticks = if rows(Table::Steps) > 0 {
            rows(Table::Steps) / STEPS_PER_BIN
        } else {
            // A sample is an interval by itself.
            rows(Table::Samples)
        };
        Ok(Self {
            name,
            summary: overview.summary(),
            kv: overview.kv_answers(None, options)?,
            heat,
            slowest,
            fine: overview.timeline(MAX_BINS),
            coarse: overview.timeline(size(ticks.clamp(RATE_BINS.0, RATE_BINS.1))),
            overview,
        })
    }

    pub(super) fn span_ns(&self) -> f64 {
        self.overview
            .span()
            .map_or(0.0, |(start, end)| signed(end - start))
    }

    /// Nanoseconds from the beginning of the run to a time.
    pub(super) fn since_start(&self, at_ns: i64) -> f64 {
        let start = self.overview.span().map_or(at_ns, |(start, _)| start);
        signed(at_ns.saturating_sub(start))
    }

    /// How much of each coarse bin lies within the run, in nanoseconds.
    pub(super) fn covered(&self) -> Vec<f64> {
        let (start, width) = (self.since_start(self.coarse.start_ns), signed(self.coarse.bin_ns));
        let span = self.span_ns();
        let covered = |bin: usize| {
            let from = start + width * crate::num::len(bin);
            ((from + width).min(span) - from.max(0.0)).max(0.0)
        };
        (0..self.coarse.bins).map(covered).collect()
    }

    /// A counter's rate in each coarse bin, per so many nanoseconds; `None` in a bin of which next to nothing lies
    /// within the run.
    pub(super) fn rate(&self, name: &str, per_ns: f64) -> Option<Vec<Option<f64>>> {
        const ENOUGH: f64 = 0.2;
        let counter = self.coarse.counter(name)?;
        let enough = signed(self.coarse.bin_ns) * ENOUGH;
        let pairs = counter.counts.iter().zip(self.covered());
        let rate = |(count, covered): (&u64, f64)| {
            (covered >= enough.min(self.span_ns())).then(|| float(*count) * per_ns / covered.max(1.0))
        };
        Some(pairs.map(rate).collect())
    }

    pub(super) fn heat_map(&self, name: &str) -> Option<&HeatMap> {
        self.heat.iter().find(|map| map.label.name == name)
    }
}
