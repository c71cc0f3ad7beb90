//! What the run is, how its blocks were divided, how busy it was.

use crate::error::Damage;
use crate::num::{float, ratio, signed};
use crate::overview::{Overview, steps};
use crate::run::{Format, JobFacts};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a run is.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct RunFacts {
    /// The run's identifier.
    pub run_id: String,
    /// The directory.
    pub directory: PathBuf,
    /// The format that was read.
    pub format: Option<Format>,
    /// The version of the column layout.
    pub schema_version: u32,
    /// Whether the run was ended by its owner.
    pub finished: bool,
    /// The host.
    pub host: Option<String>,
    /// First record, in UTC nanoseconds since 1970.
    pub start_ns: Option<i64>,
    /// Last record, in UTC nanoseconds since 1970.
    pub end_ns: Option<i64>,
    /// Seconds between the two.
    pub span_s: f64,
    /// The sources.
    pub sources: Vec<SourceFacts>,
    /// What the run's owner kept about it.
    pub attributes: BTreeMap<String, String>,
    /// The processes, where a whole job was read as one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobFacts>,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SourceFacts {
    /// Its name.
    pub name: String,
    /// The engine.
    pub engine: String,
    /// The engine's version.
    pub engine_version: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The device.
    pub device: Option<String>,
}

/// How the KV blocks were divided: time-weighted over the run, from the end of each step to the end of the next.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct BlockSplit {
    /// Blocks that requests can use.
    pub total: u64,
    /// Blocks pinned by live requests.
    pub used: Option<BlockShare>,
    /// Evictable blocks that hold a reusable prefix.
    pub cached: Option<BlockShare>,
    /// Blocks that hold nothing reusable.
    pub free: Option<BlockShare>,
}

/// A part of the blocks.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct BlockShare {
    /// Time-weighted mean.
    pub mean: f64,
    /// The same as a share of all blocks.
    pub share: f64,
    /// The fewest.
    pub low: f64,
    /// The most.
    pub high: f64,
}

/// How busy the engine was. Shares are of the time from the first record to the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Utilisation {
    /// Time in steps.
    pub busy: Option<f64>,
    /// Time the device worked on steps.
    pub device: Option<f64>,
    /// Time without a step although requests were there.
    pub idle_with_requests: Option<f64>,
    /// Time without a step and without requests.
    pub idle_without_requests: Option<f64>,
    /// Time-weighted mean of `kv_blocks_used` / `kv_blocks_total`.
    pub kv_cache_usage_mean: Option<f64>,
    /// The largest `kv_blocks_used` / `kv_blocks_total`.
    pub kv_cache_usage_max: Option<f64>,
}

/// Mean, smallest and largest value.
type Whole = (Option<f64>, Option<f64>, Option<f64>);

impl Overview<'_> {
    pub(super) fn facts(&self) -> RunFacts {
        let (run, manifest) = (self.run, self.run.manifest());
        let span = self.span();
        let source = |source: &kvlens_schema::manifest::ManifestSource| SourceFacts {
            name: source.name.clone(),
            engine: source.engine.clone(),
            engine_version: source.engine_version.clone(),
            model: source.model.clone(),
            device: source.device.clone(),
        };
        RunFacts {
            run_id: run.id().to_owned(),
            directory: run.dir().to_path_buf(),
            format: run.format(),
            schema_version: manifest.schema_version,
            finished: run.is_finished(),
            host: manifest.host.clone(),
            start_ns: span.map(|(start, _)| start),
            end_ns: span.map(|(_, end)| end),
            span_s: span.map_or(0.0, |(start, end)| signed(end - start) / 1e9),
            sources: manifest.sources.iter().map(source).collect(),
            attributes: manifest.attributes.clone(),
            job: run.job().cloned(),
        }
    }

    /// A gauge over all the time, from steps; summed over engines.
    pub(super) fn step_gauge(&self, name: &str) -> Option<Whole> {
        let at = steps::GAUGES.iter().position(|known| *known == name)?;
        let lanes = self.steps.as_ref()?.lanes.values();
        let totals: Vec<_> = lanes.map(|lane| lane.bins.total(at)).collect();
        let known = totals
            .iter()
            .filter_map(|total| Some((total.mean()?, total.low, total.high)));
        let sum = known.reduce(|a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))?;
        Some((Some(sum.0), Some(sum.1), Some(sum.2)))
    }

    pub(crate) fn block_split(&self) -> Option<BlockSplit> {
        let total = self.blocks_total()?;
        let part = |name: &str| {
            let (mean, low, high) = self.block_gauge(name)?;
            let mean = mean?;
            Some(BlockShare {
                mean,
                share: ratio(mean, float(total))?,
                low: low?,
                high: high?,
            })
        };
        let (used, cached, free) = (
            part("kv_blocks_used"),
            part("kv_blocks_cached"),
            part("kv_blocks_free"),
        );
        Some(BlockSplit {
            total,
            used,
            cached,
            free,
        })
    }

    fn blocks_total(&self) -> Option<u64> {
        let lanes = self.steps.iter().flat_map(|steps| steps.lanes.values());
        let from_steps = lanes
            .filter_map(|lane| lane.blocks_total)
            .reduce(u64::saturating_add);
        from_steps.or_else(|| self.sample_gauge("kv_blocks_total")?.2.map(crate::num::rounded))
    }

    fn block_gauge(&self, name: &str) -> Option<Whole> {
        self.step_gauge(name).or_else(|| self.sample_gauge(name))
    }

    /// A gauge over all the time, from samples; summed over sources.
    pub(super) fn sample_gauge(&self, name: &str) -> Option<Whole> {
        let samples = self.samples.as_ref()?;
        let at = samples.columns.gauges.iter().position(|known| known == name)?;
        let totals = samples.sources.values().map(|source| source.bins.total(at));
        let known = totals.filter_map(|total| Some((total.mean()?, total.low, total.high)));
        let sum = known.reduce(|a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))?;
        Some((Some(sum.0), Some(sum.1), Some(sum.2)))
    }

    pub(super) fn utilisation(&self) -> Utilisation {
        let total = self.blocks_total().map(float);
        let used = self.block_gauge("kv_blocks_used");
        let mut out = Utilisation {
            kv_cache_usage_mean: used.and_then(|(mean, ..)| ratio(mean?, total?)),
            kv_cache_usage_max: used.and_then(|(.., high)| ratio(high?, total?)),
            ..Utilisation::default()
        };
        let Some(steps) = &self.steps else { return out };
        // Engines run side by side: each has the whole time.
        let (mut span, mut idle, mut empty) = (0.0, 0.0, 0.0);
        for lane in steps.lanes.values() {
            span += signed(lane.end_ns.saturating_sub(lane.start_ns));
            idle += float(lane.idle_ns);
            empty += float(lane.empty_ns);
        }
        let share = |name: &str| ratio(float(self.step_total(name)?), span).map(|share| share.min(1.0));
        out.busy = share("step_time_ns");
        if out.busy.is_none() {
            // Without their time nobody knows where steps end.
            return out;
        }
        out.device = share("device_time_ns");
        out.idle_with_requests = ratio(idle, span);
        out.idle_without_requests = ratio(empty, span);
        out
    }

    /// What limits the figures.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.run.is_finished() {
            notes.push("the run has not ended cleanly: figures are of what was flushed".to_owned());
        }
        if let Some(job) = self.run.job() {
            notes.extend(job.notes());
        }
        notes.extend(self.damage.iter().map(Damage::note));
        let end = self.run.manifest().end.as_ref();
        for (table, rows) in end
            .iter()
            .flat_map(|end| &end.rows_dropped)
            .filter(|(_, rows)| **rows > 0)
        {
            notes.push(format!("{rows} rows of `{table}` could not be recorded"));
        }
        let dropped = self
            .samples
            .as_ref()
            .and_then(|samples| samples.counter("rows_dropped"));
        if let Some(rows) = dropped.filter(|rows| *rows > 0) {
            notes.push(format!("the engine had to drop {rows} rows: its queue was full"));
        }
        notes.extend(end.iter().flat_map(|end| &end.problems).cloned());
        if let Some(end) = end.filter(|end| end.anomalies > 0) {
            notes.push(format!(
                "{} impossible values were clamped while recording",
                end.anomalies
            ));
        }
        if let Some(every) = self
            .lives
            .as_ref()
            .map(|lives| lives.sample_every)
            .filter(|every| *every > 1)
        {
            notes.push(format!("block lives are a sample: one in {every}"));
        }
        notes
    }
}
