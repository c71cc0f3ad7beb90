//! Rows into figures.

use super::track::{COUNTS, Count, Engine, GAUGES, Gauge, Spread};
use crate::error::Result;
use crate::overview::MetricColumns;
use crate::run::Run;
use crate::scan::{Cols, Numbers};
use kvlens_core::histogram::SparseHistogram;
use kvlens_core::{Table, Value};
use kvlens_schema::histogram::HistogramReader;
use std::collections::BTreeMap;

/// Which of a run's engines are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selection {
    /// All of them together.
    #[default]
    All,
    /// The engines of a source.
    Source(String),
    /// One engine of a source.
    Engine(String, u64),
}

/// The figures of a run so far: in all, and by time.
///
/// Gauges and counts come from `steps`; where a run has no step, from `samples`. Latencies come from `requests` and from
/// the histograms of `samples`.
#[derive(Debug, Default)]
pub struct Live {
    /// By source and engine, from `steps` and `requests`.
    pub(super) engines: BTreeMap<(String, u64), Engine>,
    /// By source, from `samples`.
    pub(super) sources: BTreeMap<String, Engine>,
    /// The last totals of each source's counters.
    counters: BTreeMap<String, [u64; COUNTS]>,
    pub(super) steps: u64,
    pub(super) requests: u64,
    pub(super) samples: u64,
    pub(super) start_ns: Option<i64>,
    pub(super) end_ns: Option<i64>,
}

/// The columns of `steps` that are gauges, by [`Gauge`].
const STEP_GAUGES: [&str; GAUGES] = [
    "requests_running",
    "requests_waiting",
    "kv_blocks_total",
    "kv_blocks_used",
    "kv_blocks_cached",
    "kv_blocks_free",
];

/// The columns that count, by [`Count`]; those that stand in one line are added up.
const STEP_COUNTS: [&[&str]; COUNTS] = [
    &[],
    &["prompt_tokens"],
    &["generation_tokens"],
    &["prefix_cache_queries"],
    &["prefix_cache_hits"],
    &["preemptions_recompute", "preemptions_swap"],
    &["requests_finished"],
];
const SAMPLE_COUNTS: [&[&str]; COUNTS] = [
    &["steps"],
    &["prompt_tokens"],
    &["generation_tokens"],
    &["prefix_cache_queries"],
    &["prefix_cache_hits"],
    &["preemptions_recompute", "preemptions_swap"],
    &[
        "requests_finished_stop",
        "requests_finished_length",
        "requests_finished_abort",
        "requests_finished_error",
        "requests_finished_repetition",
        "requests_finished_other",
    ],
];
/// The share of blocks in use, for sources that don't count blocks.
const USAGE: &str = "kv_cache_usage";

const REQUEST_SPREADS: [(Spread, &str); 4] = [
    (Spread::RequestFirstToken, "time_to_first_token_ns"),
    (Spread::RequestPerToken, "time_per_output_token_ns"),
    (Spread::RequestEndToEnd, "e2e_latency_ns"),
    (Spread::RequestQueue, "queue_time_ns"),
];
const SAMPLE_SPREADS: [(Spread, &str); 4] = [
    (Spread::SampledFirstToken, "time_to_first_token_ns"),
    (Spread::SampledInterToken, "inter_token_latency_ns"),
    (Spread::SampledEndToEnd, "e2e_latency_ns"),
    (Spread::SampledQueue, "queue_time_ns"),
];
/// Requests that ended so say nothing about latencies.
const UNFINISHED: [&str; 2] = ["abort", "error"];

/// The columns that are read of a table.
pub(super) fn columns(run: &Run, table: Table) -> Vec<String> {
    let mut names = vec!["timestamp", "source", "engine_index"];
    match table {
        Table::Requests => {
            names.extend(REQUEST_SPREADS.map(|(_, name)| name));
            names.push("finish_reason");
        }
        Table::Steps => {
            names.extend(STEP_GAUGES);
            names.extend(STEP_COUNTS.into_iter().flatten());
        }
        _ => {
            names.extend(STEP_GAUGES);
            names.extend(SAMPLE_COUNTS.into_iter().flatten());
            names.push(USAGE);
            let known = MetricColumns::of(run).histograms;
            let spreads = SAMPLE_SPREADS.map(|(_, name)| name);
            names.extend(
                spreads
                    .into_iter()
                    .filter(|name| known.iter().any(|known| known == name)),
            );
        }
    }
    names.into_iter().map(str::to_owned).collect()
}

/// A row's time, source and engine.
struct Keys<'a> {
    times: Numbers<'a>,
    sources: crate::scan::Strings<'a>,
    engines: Numbers<'a>,
}

impl<'a> Keys<'a> {
    fn of(cols: Cols<'a>) -> Result<Self> {
        Ok(Self {
            times: cols.numbers("timestamp")?,
            sources: cols.strings("source")?,
            engines: cols.numbers("engine_index")?,
        })
    }

    fn time(&self, row: usize) -> Option<i64> {
        self.times.get(row).and_then(|at| i64::try_from(at).ok())
    }
}

fn gauges_of(cols: Cols<'_>) -> Result<Vec<Numbers<'_>>> {
    STEP_GAUGES.iter().map(|name| cols.numbers(name)).collect()
}

fn counts_of<'a>(cols: Cols<'a>, names: &[&[&str]; COUNTS]) -> Result<Vec<Vec<Numbers<'a>>>> {
    let of = |names: &&[&str]| names.iter().map(|name| cols.numbers(name)).collect();
    names.iter().map(of).collect()
}

/// Adds up the columns of each count; `None` where none of them is known.
fn count_row(columns: &[Vec<Numbers<'_>>], row: usize) -> [Option<u64>; COUNTS] {
    let mut out = [None; COUNTS];
    for (sum, columns) in out.iter_mut().zip(columns) {
        *sum = columns
            .iter()
            .filter_map(|numbers| numbers.get(row))
            .reduce(u64::saturating_add);
    }
    out
}

fn gauge_row(columns: &[Numbers<'_>], row: usize) -> [Option<f64>; GAUGES] {
    let mut out = [None; GAUGES];
    for (value, numbers) in out.iter_mut().zip(columns) {
        *value = numbers.float(row).filter(|value| value.is_finite());
    }
    out
}

impl Live {
    /// Takes rows of a table.
    pub(super) fn add(&mut self, table: Table, cols: Cols<'_>) -> Result<()> {
        match table {
            Table::Steps => self.add_steps(cols),
            Table::Requests => self.add_requests(cols),
            _ => self.add_samples(cols),
        }
    }

    fn seen(&mut self, at_ns: i64) {
        self.start_ns = Some(self.start_ns.map_or(at_ns, |start| start.min(at_ns)));
        self.end_ns = self.end_ns.max(Some(at_ns));
    }

    fn engine(&mut self, source: &str, index: u64, at_ns: i64) -> &mut Engine {
        self.engines
            .entry((source.to_owned(), index))
            .or_insert_with(|| Engine::new(at_ns))
    }

    fn add_steps(&mut self, cols: Cols<'_>) -> Result<()> {
        let keys = Keys::of(cols)?;
        let (gauges, counts) = (gauges_of(cols)?, counts_of(cols, &STEP_COUNTS)?);
        for row in 0..cols.rows() {
            let Some(at) = keys.time(row) else { continue };
            self.steps += 1;
            self.seen(at);
            let mut counted = count_row(&counts, row).map(|count| count.unwrap_or(0));
            counted[Count::Steps as usize] = 1;
            let source = keys.sources.get(row).unwrap_or_default();
            let engine = self.engine(source, keys.engines.get(row).unwrap_or(0), at);
            engine.add(at, &gauge_row(&gauges, row), &counted);
        }
        Ok(())
    }

    fn add_requests(&mut self, cols: Cols<'_>) -> Result<()> {
        let (keys, reasons) = (Keys::of(cols)?, cols.strings("finish_reason")?);
        let mut spreads = Vec::new();
        for (kind, name) in REQUEST_SPREADS {
            spreads.push((kind, cols.numbers(name)?));
        }
        for row in 0..cols.rows() {
            let Some(at) = keys.time(row) else { continue };
            self.requests += 1;
            self.seen(at);
            if reasons
                .get(row)
                .is_some_and(|reason| UNFINISHED.contains(&reason))
            {
                continue;
            }
            let source = keys.sources.get(row).unwrap_or_default();
            let engine = self.engine(source, keys.engines.get(row).unwrap_or(0), at);
            for (kind, numbers) in &spreads {
                if let Some(ns) = numbers.get(row) {
                    let mut one = SparseHistogram::default();
                    one.record(ns);
                    engine.spread(at, *kind, &Value::Histogram(one));
                }
            }
        }
        Ok(())
    }

    fn add_samples(&mut self, cols: Cols<'_>) -> Result<()> {
        let keys = Keys::of(cols)?;
        let (gauges, counts) = (gauges_of(cols)?, counts_of(cols, &SAMPLE_COUNTS)?);
        let usage = cols.numbers(USAGE)?;
        let mut spreads = Vec::new();
        for (kind, name) in SAMPLE_SPREADS {
            if let Some(column) = cols.array(name) {
                spreads.push((kind, HistogramReader::try_new(name, column)?));
            }
        }
        for row in 0..cols.rows() {
            let Some(at) = keys.time(row) else { continue };
            self.samples += 1;
            self.seen(at);
            let source = keys.sources.get(row).unwrap_or_default();
            let grown = self.grown(source, count_row(&counts, row));
            let mut read = gauge_row(&gauges, row);
            let usage = usage.float(row).filter(|usage| (0.0..=1.0).contains(usage));
            let derived = usage
                .zip(read[Gauge::BlocksTotal as usize])
                .map(|(share, total)| share * total);
            let used = &mut read[Gauge::BlocksUsed as usize];
            *used = used.or(derived);
            let engine = self
                .sources
                .entry(source.to_owned())
                .or_insert_with(|| Engine::new(at));
            engine.add(at, &read, &grown);
            for (kind, histograms) in &spreads {
                engine.spread(at, *kind, &histograms.value(row)?);
            }
        }
        Ok(())
    }

    /// What the counters of a source grew by; they count from the start of the run.
    fn grown(&mut self, source: &str, totals: [Option<u64>; COUNTS]) -> [u64; COUNTS] {
        let before = self.counters.entry(source.to_owned()).or_default();
        let mut out = [0; COUNTS];
        for ((grown, before), total) in out.iter_mut().zip(before).zip(totals) {
            if let Some(total) = total {
                *grown = total.saturating_sub(*before);
                *before = total.max(*before);
            }
        }
        out
    }

    /// Rows read so far, of `steps`, `requests` and `samples`.
    pub fn rows(&self) -> [u64; 3] {
        [self.steps, self.requests, self.samples]
    }

    /// The times of the first and the last row.
    pub fn span(&self) -> Option<(i64, i64)> {
        self.start_ns.zip(self.end_ns)
    }

    /// What can be selected beside everything: engines, or sources where no engine is known; nothing where there is only
    /// one of them.
    pub fn selections(&self) -> Vec<Selection> {
        let all: Vec<Selection> = if self.steps > 0 {
            let engines = self.engines.keys();
            engines
                .map(|(source, index)| Selection::Engine(source.clone(), *index))
                .collect()
        } else {
            // A GPU's sensors are a source too, and none of an engine's.
            let engines = self.sources.iter().filter(|(_, source)| source.is_engine());
            engines.map(|(name, _)| Selection::Source(name.clone())).collect()
        };
        if all.len() > 1 { all } else { Vec::new() }
    }
}

impl Engine {
    /// Whether it said anything that only engines know.
    pub(super) fn is_engine(&self) -> bool {
        self.last[Gauge::Running as usize].is_some() || self.totals.iter().any(|total| *total > 0)
    }
}
