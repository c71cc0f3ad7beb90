//! Runs made for tests: a small queueing model of an engine, written by the real exporters.

use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::record::{BlockEnd, FinishReason, Opt32, Opt64, Text};
use kvlens_core::run::RunEnd;
use kvlens_core::{
    AccessRow, Batch, BlockRow, Exporter, RequestRow, RunInfo, RunSchema, Sample, SourceIndex, SourceInfo,
    StepRow, Tables, Value, catalog,
};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use std::path::{Path, PathBuf};

/// When every made run begins, in UTC nanoseconds.
pub(crate) const START: u64 = 1_790_000_000_000_000_000;

/// The rows of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    pub(crate) steps: Vec<StepRow>,
    pub(crate) requests: Vec<RequestRow>,
    pub(crate) blocks: Vec<BlockRow>,
    pub(crate) accesses: Vec<AccessRow>,
    pub(crate) samples: Vec<Sample>,
}

/// A standard normal value, by Box and Muller.
pub(crate) fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// A healthy engine: steps of about 20 ms, a batch that breathes, a cache with hits, short queues.
pub(crate) fn healthy(steps: usize, seed: u64) -> Made {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut made = Made::default();
    let mut at = START;
    for step in 0..steps as u64 {
        let time = (20e6 * (0.1 * normal(&mut random)).exp()) as u64;
        let running = 32 + random.u32(0..8);
        let used = 600 + random.u32(0..100);
        made.steps.push(StepRow {
            monotonic_ns: at,
            step,
            step_time_ns: Opt64::some(time),
            requests_running: running,
            requests_waiting: random.u32(0..3),
            requests_finished: u32::from(step % 4 == 0),
            decode_requests: running,
            decode_tokens: running,
            generation_tokens: running,
            prefill_tokens: Opt32::some(if step % 4 == 0 { 256 } else { 0 }),
            prompt_tokens: if step % 4 == 0 { 512 } else { 0 },
            prefix_cache_queries: Opt32::some(if step % 4 == 0 { 512 } else { 0 }),
            prefix_cache_hits: Opt32::some(if step % 4 == 0 { 256 } else { 0 }),
            kv_blocks_total: Opt32::some(1_000),
            kv_blocks_used: Opt32::some(used),
            kv_blocks_cached: Opt32::some(200),
            kv_blocks_free: Opt32::some(1_000 - 200 - used),
            kv_blocks_allocated: Opt32::some(2),
            kv_blocks_evicted: Opt32::some(u32::from(step % 8 == 0)),
            preemptions_recompute: Opt32::some(0),
            preemptions_swap: Opt32::some(0),
            ..StepRow::default()
        });
        if step % 4 == 0 {
            made.requests.push(request(step / 4, at + time, &mut random));
        }
        at += time + 50_000;
    }
    made
}

/// A request that ends at a time: queue 5 ms, prefill 80 ms, decode 1.2 s, in the median.
pub(crate) fn request(id: u64, end: u64, random: &mut fastrand::Rng) -> RequestRow {
    let mut time = |median: f64| (median * (0.3 * normal(random)).exp()) as u64;
    let (queue, prefill, decode) = (time(5e6), time(80e6), time(1.2e9));
    let e2e = queue + prefill + decode;
    RequestRow {
        monotonic_ns: end,
        arrival: end.saturating_sub(e2e),
        request_id: Text::number(id),
        finish_reason: if id % 50 == 7 {
            FinishReason::Length
        } else {
            FinishReason::Stop
        },
        prompt_tokens: 512,
        cached_prompt_tokens: Opt32::some(256),
        generation_tokens: 60,
        time_to_first_token_ns: Opt64::some(queue + prefill),
        time_per_output_token_ns: Opt64::some(decode / 59),
        e2e_latency_ns: Opt64::some(e2e),
        queue_time_ns: Opt64::some(queue),
        prefill_time_ns: Opt64::some(prefill),
        decode_time_ns: Opt64::some(decode),
        preempted_time_ns: Opt64::some(0),
        stalled_time_ns: Opt64::some(decode / 20),
        preemptions_recompute: Opt32::some(0),
        preemptions_swap: Opt32::some(0),
        ..RequestRow::default()
    }
}

/// A block's life.
pub(crate) fn life(hash: u64, end: BlockEnd, lifetime: u64) -> BlockRow {
    BlockRow {
        monotonic_ns: START + lifetime,
        prefix_hash: Opt64::some(hash),
        allocated: START,
        last_touched: START.into(),
        end,
        lifetime_ns: lifetime,
        idle_ns: Opt64::some(lifetime / 2),
        sample_every: 1,
        ..BlockRow::default()
    }
}

/// A look-up of a block's content.
pub(crate) fn access(hash: u64, hit: bool) -> AccessRow {
    AccessRow {
        monotonic_ns: START,
        prefix_hash: hash,
        sample_every: 1,
        hit,
        first_admission: true,
        ..AccessRow::default()
    }
}

/// A sample of a gauge, a counter and a histogram.
pub(crate) fn sample(second: u64, total: u64, values: &[u64]) -> Sample {
    let mut histogram = kvlens_core::histogram::SparseHistogram::default();
    values.iter().for_each(|value| histogram.record(*value));
    let mut sample = Sample::default();
    sample.monotonic_ns = START + second * 1_000_000_000;
    sample.interval_ns = 1_000_000_000;
    sample.merged = 1;
    sample.values = vec![
        Value::Gauge(0.5),
        Value::Counter(total),
        Value::Histogram(histogram),
    ];
    sample
}

pub(crate) fn schema(run_id: &str) -> RunSchema {
    let metrics = [
        &catalog::DEVICE_UTILIZATION,
        &catalog::GENERATION_TOKENS,
        &catalog::INTER_TOKEN_LATENCY,
    ];
    let source = SourceInfo::new("engine-0", "made").with_device("none");
    RunSchema::new(
        RunInfo::new(run_id).with_tables(Tables::ALL),
        vec![source],
        metrics.map(Clone::clone).into(),
    )
}

/// When the first row of a batch is.
pub(crate) fn start_of(batch: &Batch) -> u64 {
    match batch {
        Batch::Samples(rows) => rows.first().map_or(0, |row| row.monotonic_ns),
        Batch::Steps(_, rows) => rows.first().map_or(0, |row| row.monotonic_ns),
        Batch::Requests(_, rows) => rows.first().map_or(0, |row| row.monotonic_ns),
        _ => 0,
    }
}

pub(crate) fn batches(made: &Made) -> Vec<Batch> {
    let source = SourceIndex(0);
    let mut out = Vec::new();
    out.extend(made.samples.chunks(100).map(|rows| Batch::Samples(rows.to_vec())));
    out.extend(
        made.steps
            .chunks(1_000)
            .map(|rows| Batch::Steps(source, rows.to_vec())),
    );
    out.extend(
        made.requests
            .chunks(300)
            .map(|rows| Batch::Requests(source, rows.to_vec())),
    );
    out.extend(
        made.blocks
            .chunks(500)
            .map(|rows| Batch::Blocks(source, rows.to_vec())),
    );
    out.extend(
        made.accesses
            .chunks(500)
            .map(|rows| Batch::Accesses(source, rows.to_vec())),
    );
    out
}

fn drive(out: &Path, run_id: &str, made: &Made, exporter: &mut dyn Exporter, finish: bool) -> PathBuf {
    let schema = schema(run_id);
    let mut manifest = Manifest::create(out);
    manifest.begin(&schema).unwrap();
    exporter.begin(&schema).unwrap();
    for batch in batches(made) {
        exporter.write(&batch).unwrap();
    }
    exporter.flush().unwrap();
    if finish {
        let mut end = RunEnd::default();
        end.clean_stop = true;
        exporter.finish(&end).unwrap();
        manifest.finish(&end).unwrap();
    }
    out.join(format!("run_id={run_id}"))
}

/// Parts and row groups so small that a test's run has several.
fn small() -> ParquetOptions {
    ParquetOptions::default()
        .with_part_rows(1_500)
        .with_row_group_rows(700)
}

/// Writes a run as Parquet.
pub(crate) fn parquet(out: &Path, run_id: &str, made: &Made) -> PathBuf {
    drive(
        out,
        run_id,
        made,
        &mut ParquetExporter::create(out, small()),
        true,
    )
}

/// Writes a run as Parquet and leaves it as a kill would: dropping an exporter writes nothing.
pub(crate) fn killed(out: &Path, run_id: &str, made: &Made) -> PathBuf {
    let mut exporter = ParquetExporter::create(out, small());
    let dir = drive(out, run_id, made, &mut exporter, false);
    drop(exporter);
    dir
}

/// Writes a run as CSV.
pub(crate) fn csv(out: &Path, run_id: &str, made: &Made, finish: bool) -> PathBuf {
    drive(
        out,
        run_id,
        made,
        &mut CsvExporter::create(out, CsvOptions::default()),
        finish,
    )
}

/// Writes a run as Arrow IPC.
pub(crate) fn arrow(out: &Path, run_id: &str, made: &Made, finish: bool) -> PathBuf {
    drive(
        out,
        run_id,
        made,
        &mut ArrowExporter::create(out, ArrowOptions::default()),
        finish,
    )
}
