//! Runs made for tests, written by the real exporters.

use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::record::{Opt32, Opt64};
use kvlens_core::run::RunEnd;
use kvlens_core::{
    Batch, Exporter, MetricDesc, RunInfo, RunSchema, Sample, SourceIndex, SourceInfo, StepRow, Value, catalog,
};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use std::path::{Path, PathBuf};

/// When every made run begins, in UTC nanoseconds: a whole minute.
pub(crate) const START: u64 = 1_790_000_040_000_000_000;

/// A run: samples of two sources, one a second, and steps.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) samples: Vec<Sample>,
    /// The values behind the histograms of the samples.
    pub(crate) latencies: Vec<Vec<u64>>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) metrics: Vec<MetricDesc>,
}

/// Makes a run; the same seed gives the same.
pub(crate) fn made(seconds: u64, seed: u64) -> Made {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut out = Made {
        samples: Vec::new(),
        latencies: Vec::new(),
        steps: Vec::new(),
        metrics: vec![
            catalog::KV_CACHE_USAGE.clone(),
            catalog::GENERATION_TOKENS.clone(),
            catalog::TIME_TO_FIRST_TOKEN.clone(),
        ],
    };
    for second in 0..seconds {
        for source in 0..2 {
            let count = random.usize(0..12);
            let values: Vec<u64> = (0..count)
                .map(|_| (20e6 * (random.f64() * 6.0).exp()) as u64)
                .collect();
            let missing = random.u32(0..10) == 0;
            let usage = if missing {
                Value::Missing
            } else {
                Value::Gauge(random.f64())
            };
            let latency = if missing {
                Value::Missing
            } else {
                Value::Histogram(histogram(&values))
            };
            out.samples.push(sample(
                source,
                second,
                vec![usage, Value::Counter(second * 100), latency],
            ));
            out.latencies.push(if missing { Vec::new() } else { values });
        }
        out.steps.push(step(second, &mut random));
    }
    out
}

pub(crate) fn histogram(values: &[u64]) -> SparseHistogram {
    let mut histogram = SparseHistogram::default();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

/// A histogram as Prometheus hands it over.
pub(crate) fn fixed(boundaries: &[u64], values: &[u64]) -> FixedHistogram {
    let mut counts = vec![0; boundaries.len() + 1];
    for value in values {
        counts[boundaries.partition_point(|boundary| boundary < value)] += 1;
    }
    FixedHistogram::new(boundaries.into(), counts, values.iter().sum())
}

fn sample(source: u16, second: u64, values: Vec<Value>) -> Sample {
    let mut sample = Sample::default();
    sample.source = SourceIndex(source);
    sample.monotonic_ns = second * 1_000_000_000;
    sample.interval_ns = 1_000_000_000;
    sample.merged = 1;
    sample.values = values;
    sample
}

fn step(number: u64, random: &mut fastrand::Rng) -> StepRow {
    StepRow {
        monotonic_ns: number * 1_000_000_000,
        step: number,
        step_time_ns: Opt64::some(random.u64(1_000_000..50_000_000)),
        requests_running: random.u32(0..64),
        generation_tokens: random.u32(0..64),
        prefix_cache_queries: Opt32::some(512),
        prefix_cache_hits: Opt32::some(random.u32(0..512)),
        ..StepRow::default()
    }
}

fn schema(run_id: &str, made: &Made) -> RunSchema {
    let mut run = RunInfo::new(run_id);
    run.clock.wall_ns = START;
    run.host = Some("here".to_owned());
    run.attributes.insert("block_size".to_owned(), "16".to_owned());
    let source = |name| {
        SourceInfo::new(name, "made")
            .with_device("none")
            .with_model("small")
    };
    RunSchema::new(
        run,
        vec![source("engine-0"), source("engine-1")],
        made.metrics.clone(),
    )
}

fn drive(out: &Path, run_id: &str, made: &Made, exporter: &mut dyn Exporter, finish: bool) -> PathBuf {
    let schema = schema(run_id, made);
    let mut manifest = Manifest::create(out);
    manifest.begin(&schema).unwrap();
    exporter.begin(&schema).unwrap();
    let samples = made.samples.chunks(100).map(|rows| Batch::Samples(rows.to_vec()));
    let steps = made
        .steps
        .chunks(100)
        .map(|rows| Batch::Steps(SourceIndex(0), rows.to_vec()));
    for batch in samples.chain(steps) {
        exporter.write(&batch).unwrap();
        exporter.flush().unwrap();
    }
    if finish {
        let mut end = RunEnd::default();
        end.clean_stop = true;
        end.monotonic_ns = 60_000_000_000;
        end.rows.insert("steps".to_owned(), made.steps.len() as u64);
        exporter.finish(&end).unwrap();
        manifest.finish(&end).unwrap();
    }
    out.join(format!("run_id={run_id}"))
}

/// Parts and row groups so small that a test's run has several.
fn small() -> ParquetOptions {
    ParquetOptions::default()
        .with_part_rows(150)
        .with_row_group_rows(70)
}

pub(crate) fn parquet(out: &Path, run_id: &str, made: &Made) -> PathBuf {
    drive(
        out,
        run_id,
        made,
        &mut ParquetExporter::create(out, small()),
        true,
    )
}

/// Writes a run as Parquet and dies before its end.
pub(crate) fn killed(out: &Path, run_id: &str, made: &Made) -> PathBuf {
    let mut exporter = ParquetExporter::create(out, small());
    let dir = drive(out, run_id, made, &mut exporter, false);
    // No destructor may tidy up.
    drop(exporter);
    dir
}

pub(crate) fn arrow(out: &Path, run_id: &str, made: &Made) -> PathBuf {
    drive(
        out,
        run_id,
        made,
        &mut ArrowExporter::create(out, ArrowOptions::default()),
        true,
    )
}

pub(crate) fn csv(out: &Path, run_id: &str, made: &Made) -> PathBuf {
    drive(
        out,
        run_id,
        made,
        &mut CsvExporter::create(out, CsvOptions::default()),
        true,
    )
}
