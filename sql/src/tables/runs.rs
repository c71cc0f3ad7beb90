//! The table `runs`: a row per run, from its `run.json`.

use super::found::Found;
use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array,
    UInt64Array,
};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use kvlens_analysis::{Format, Run};
use kvlens_schema::RunManifest;
use kvlens_schema::manifest::{ManifestJob, ManifestSource};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The table's name.
pub(crate) const RUNS: &str = "runs";

/// Makes the table.
pub(super) fn table(runs: &[Found]) -> Result<Arc<dyn TableProvider>> {
    let runs: Vec<&Run> = runs.iter().map(|found| &found.run).collect();
    let batch = rows(&runs)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

/// A column: its name, its values, whether some may be missing.
type Column = (&'static str, ArrayRef, bool);

/// The runs, a row each.
fn rows(runs: &[&Run]) -> Result<RecordBatch> {
    let columns = [
        what(runs),
        when(runs),
        how_it_went(runs),
        where_it_is(runs)?,
        of_a_job(runs),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().flatten(),
    )?)
}

/// What ran.
fn what(runs: &[&Run]) -> Vec<Column> {
    let said = |of: fn(&ManifestSource) -> Option<&String>| text(runs, |run| of_sources(run, of));
    vec![
        ("run_id", text(runs, |run| Some(run.id().to_owned())), false),
        ("engine", said(|source| Some(&source.engine)), true),
        (
            "engine_version",
            said(|source| source.engine_version.as_ref()),
            true,
        ),
        ("model", said(|source| source.model.as_ref()), true),
        ("device", said(|source| source.device.as_ref()), true),
        ("host", text(runs, |run| run.manifest().host.clone()), true),
    ]
}

fn when(runs: &[&Run]) -> Vec<Column> {
    vec![
        (
            "started",
            time(runs, |run| Some(run.clock.wall_ns).filter(|ns| *ns > 0)),
            true,
        ),
        (
            "ended",
            time(runs, |run| run.end.as_ref().map(|end| end.wall_ns)),
            true,
        ),
    ]
}

fn how_it_went(runs: &[&Run]) -> Vec<Column> {
    let total =
        |rows: &BTreeMap<String, u64>| rows.values().fold(0, |sum: u64, rows| sum.saturating_add(*rows));
    let clean: BooleanArray = runs.iter().map(|run| Some(run.is_finished())).collect();
    vec![
        ("clean_stop", Arc::new(clean), false),
        ("interval_ns", number(runs, |run| Some(run.interval_ns)), true),
        (
            "sources",
            number(runs, |run| u64::try_from(run.sources.len()).ok()),
            true,
        ),
        (
            "rows",
            number(runs, |run| run.end.as_ref().map(|end| total(&end.rows))),
            true,
        ),
        (
            "rows_dropped",
            number(runs, |run| run.end.as_ref().map(|end| total(&end.rows_dropped))),
            true,
        ),
        (
            "anomalies",
            number(runs, |run| run.end.as_ref().map(|end| end.anomalies)),
            true,
        ),
        ("problems", problems(runs), true),
    ]
}

fn where_it_is(runs: &[&Run]) -> Result<Vec<Column>> {
    let version: UInt32Array = runs
        .iter()
        .map(|run| Some(run.manifest().schema_version))
        .collect();
    Ok(vec![
        ("config", config(runs)?, true),
        (
            "format",
            text(runs, |run| run.format().map(name).map(str::to_owned)),
            true,
        ),
        (
            "path",
            text(runs, |run| Some(run.dir().display().to_string())),
            true,
        ),
        (
            "kvlens_version",
            text(runs, |run| Some(run.manifest().kvlens_version.clone())),
            true,
        ),
        ("schema_version", Arc::new(version), false),
    ])
}

/// The job that a run's process was part of, and what its times are worth beside those of the job's others.
fn of_a_job(runs: &[&Run]) -> Vec<Column> {
    let small = |of: fn(&ManifestJob) -> Option<u32>| -> ArrayRef {
        let jobs = runs.iter().map(|run| run.manifest().job.as_ref());
        Arc::new(jobs.map(|job| job.and_then(of)).collect::<UInt32Array>())
    };
    let moved: Int64Array = runs
        .iter()
        .map(|run| run.manifest().end.as_ref()?.wall_drift_ns())
        .collect();
    let offset: Int64Array = runs.iter().map(|run| offset_ns(run.manifest())).collect();
    vec![
        (
            "job",
            text(runs, |run| run.manifest().job.as_ref().map(|job| job.id.clone())),
            true,
        ),
        ("rank", small(|job| job.rank), true),
        ("world_size", small(|job| job.world_size), true),
        ("boot_id", text(runs, |run| run.manifest().boot_id.clone()), true),
        ("clock_offset_ns", Arc::new(offset), true),
        (
            "clock_uncertainty_ns",
            number(runs, |run| Some(run.clock.uncertainty_ns)),
            true,
        ),
        ("clock_drift_ns", Arc::new(moved), true),
    ]
}

/// What has to be added to a monotonic reading of the run to make it a timestamp.
fn offset_ns(run: &RunManifest) -> Option<i64> {
    let (wall, monotonic) = (
        i64::try_from(run.clock.wall_ns).ok()?,
        i64::try_from(run.clock.monotonic_ns).ok()?,
    );
    wall.checked_sub(monotonic).filter(|_| wall > 0)
}

fn text(runs: &[&Run], of: impl Fn(&Run) -> Option<String>) -> ArrayRef {
    Arc::new(runs.iter().map(|run| of(run)).collect::<StringArray>())
}

fn number(runs: &[&Run], of: impl Fn(&RunManifest) -> Option<u64>) -> ArrayRef {
    Arc::new(runs.iter().map(|run| of(run.manifest())).collect::<UInt64Array>())
}

fn time(runs: &[&Run], of: impl Fn(&RunManifest) -> Option<u64>) -> ArrayRef {
    let times = runs
        .iter()
        .map(|run| of(run.manifest()).and_then(|ns| i64::try_from(ns).ok()));
    Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
}

/// What the sources of a run say, each thing once.
fn of_sources(run: &Run, of: impl Fn(&ManifestSource) -> Option<&String>) -> Option<String> {
    let mut said: Vec<&str> = Vec::new();
    for text in run.manifest().sources.iter().filter_map(of) {
        if !text.is_empty() && !said.contains(&text.as_str()) {
            said.push(text);
        }
    }
    (!said.is_empty()).then(|| said.join(", "))
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Parquet => "parquet",
        Format::Arrow => "arrow",
        Format::Csv => "csv",
    }
}

fn problems(runs: &[&Run]) -> ArrayRef {
    let mut out = ListBuilder::new(StringBuilder::new());
    for run in runs {
        let problems = run
            .manifest()
            .end
            .as_ref()
            .map(|end| end.problems.iter().map(Some));
        out.append_option(problems);
    }
    Arc::new(out.finish())
}

/// Attributes of the run and of its sources: what the configuration was.
fn config(runs: &[&Run]) -> Result<ArrayRef> {
    let mut out = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for run in runs {
        let manifest = run.manifest();
        let of_sources = manifest.sources.iter().flat_map(|source| &source.attributes);
        let all: BTreeMap<_, _> = of_sources.chain(&manifest.attributes).collect();
        for (key, value) in all {
            out.keys().append_value(key);
            out.values().append_value(value);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}
