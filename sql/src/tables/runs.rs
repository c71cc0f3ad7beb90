//! The table `runs`: a row per run, from its `run.json`.

use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use kvlens_analysis::{Format, Run};
use kvlens_schema::RunManifest;
use kvlens_schema::manifest::ManifestSource;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The table's name.
pub(crate) const RUNS: &str = "runs";

/// Makes the table.
pub(super) fn table(runs: &[Run]) -> Result<Arc<dyn TableProvider>> {
    let batch = rows(runs)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

/// The runs, a row each.
pub(crate) fn rows(runs: &[Run]) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&Run) -> Option<String>| -> ArrayRef {
        Arc::new(runs.iter().map(of).collect::<StringArray>())
    };
    let number = |of: &dyn Fn(&RunManifest) -> Option<u64>| -> ArrayRef {
        Arc::new(runs.iter().map(|run| of(run.manifest())).collect::<UInt64Array>())
    };
    let time = |of: &dyn Fn(&RunManifest) -> Option<u64>| -> ArrayRef {
        let times = runs
            .iter()
            .map(|run| of(run.manifest()).and_then(|ns| i64::try_from(ns).ok()));
        Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
    };
    let flag: BooleanArray = runs.iter().map(|run| Some(run.is_finished())).collect();
    let version: UInt32Array = runs
        .iter()
        .map(|run| Some(run.manifest().schema_version))
        .collect();
    let total =
        |rows: &BTreeMap<String, u64>| rows.values().fold(0, |sum: u64, rows| sum.saturating_add(*rows));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("run_id", text(&|run| Some(run.id().to_owned())), false),
        (
            "engine",
            text(&|run| of_sources(run, |source| Some(&source.engine))),
            true,
        ),
        (
            "engine_version",
            text(&|run| of_sources(run, |source| source.engine_version.as_ref())),
            true,
        ),
        (
            "model",
            text(&|run| of_sources(run, |source| source.model.as_ref())),
            true,
        ),
        (
            "device",
            text(&|run| of_sources(run, |source| source.device.as_ref())),
            true,
        ),
        ("host", text(&|run| run.manifest().host.clone()), true),
        (
            "started",
            time(&|run| Some(run.clock.wall_ns).filter(|ns| *ns > 0)),
            true,
        ),
        (
            "ended",
            time(&|run| run.end.as_ref().map(|end| end.wall_ns)),
            true,
        ),
        ("clean_stop", Arc::new(flag), false),
        ("interval_ns", number(&|run| Some(run.interval_ns)), true),
        (
            "sources",
            number(&|run| u64::try_from(run.sources.len()).ok()),
            true,
        ),
        (
            "rows",
            number(&|run| run.end.as_ref().map(|end| total(&end.rows))),
            true,
        ),
        (
            "rows_dropped",
            number(&|run| run.end.as_ref().map(|end| total(&end.rows_dropped))),
            true,
        ),
        (
            "anomalies",
            number(&|run| run.end.as_ref().map(|end| end.anomalies)),
            true,
        ),
        ("problems", problems(runs), true),
        ("config", config(runs)?, true),
        (
            "format",
            text(&|run| run.format().map(name).map(str::to_owned)),
            true,
        ),
        ("path", text(&|run| Some(run.dir().display().to_string())), true),
        (
            "kvlens_version",
            text(&|run| Some(run.manifest().kvlens_version.clone())),
            true,
        ),
        ("schema_version", Arc::new(version), false),
        (
            "clock_uncertainty_ns",
            number(&|run| Some(run.clock.uncertainty_ns)),
            true,
        ),
    ])?)
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

fn problems(runs: &[Run]) -> ArrayRef {
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
fn config(runs: &[Run]) -> Result<ArrayRef> {
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
