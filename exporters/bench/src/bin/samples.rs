//! Writes runs of samples for benchmarks of queries: `samples DIR ROWS RUNS`.
//!
//! Eight sources a run, a sample a second each: KV usage, running requests, generated tokens, and the times to first token of
//! about ten requests.

use kvlens_core::histogram::SparseHistogram;
use kvlens_core::run::RunEnd;
use kvlens_core::{
    Batch, Exporter, RunInfo, RunSchema, Sample, SourceIndex, SourceInfo, Table, Tables, Value, catalog,
};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use std::error::Error;

const SOURCES: u16 = 8;
const BATCH: usize = 8_000;
const START: u64 = 1_790_000_040_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, rows, runs] = args.as_slice() else {
        return Err("usage: samples DIR ROWS RUNS".into());
    };
    let (rows, runs): (u64, u64) = (rows.parse()?, runs.parse()?);
    let mut bytes = Random(42);
    for run in 0..runs {
        // The first runs take what does not divide evenly.
        let share = rows / runs + u64::from(run < rows % runs);
        write(dir, &format!("r{run:05}"), share, &mut bytes)?;
    }
    Ok(())
}

fn write(dir: &str, run_id: &str, rows: u64, random: &mut Random) -> Result<(), Box<dyn Error>> {
    let mut run = RunInfo::new(run_id);
    run.clock.wall_ns = START;
    run.tables = Tables::NONE.with(Table::Samples);
    let metrics = [
        &catalog::KV_CACHE_USAGE,
        &catalog::REQUESTS_RUNNING,
        &catalog::GENERATION_TOKENS,
        &catalog::TIME_TO_FIRST_TOKEN,
    ];
    let sources = (0..SOURCES).map(|source| SourceInfo::new(format!("engine-{source}"), "made-up"));
    let schema = RunSchema::new(run, sources.collect(), metrics.map(Clone::clone).into());
    let mut manifest = Manifest::create(dir);
    let mut exporter = ParquetExporter::create(dir, ParquetOptions::default());
    manifest.begin(&schema)?;
    exporter.begin(&schema)?;
    for first in (0..rows).step_by(BATCH) {
        let last = rows.min(first + BATCH as u64);
        exporter.write(&Batch::Samples(
            (first..last).map(|row| sample(row, random)).collect(),
        ))?;
    }
    let mut end = RunEnd::default();
    end.clean_stop = true;
    end.monotonic_ns = rows / u64::from(SOURCES) * SECOND;
    exporter.finish(&end)?;
    manifest.finish(&end)?;
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "made-up numbers"
)]
fn sample(row: u64, random: &mut Random) -> Sample {
    let second = row / u64::from(SOURCES);
    let mut latencies = SparseHistogram::default();
    // Slower by day than by night.
    let median = 180e6 * (1.0 + 0.5 * (second as f64 / 13_750.0).sin());
    for _ in 0..5 + random.below(11) {
        latencies.record((median * (0.6 * random.normal()).exp()) as u64);
    }
    let mut sample = Sample::default();
    sample.source = SourceIndex((row % u64::from(SOURCES)) as u16);
    sample.monotonic_ns = second * SECOND + random.below(200_000);
    sample.interval_ns = SECOND;
    sample.merged = 1;
    sample.values = vec![
        Value::Gauge(random.below(27_900) as f64 / 27_900.0),
        Value::Gauge(random.below(256) as f64),
        Value::Counter(second * 2_000),
        Value::Histogram(latencies),
    ];
    sample
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// About normal: the sum of twelve uniform values, quick to make.
    #[expect(clippy::cast_precision_loss, reason = "made-up numbers")]
    fn normal(&mut self) -> f64 {
        let sum: u64 = (0..3)
            .map(|_| {
                let r = self.next();
                (r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)
            })
            .sum();
        sum as f64 / 65_536.0 - 6.0
    }
}
