//! Writes a large run for benchmarks: `write_benchmark_run DIR [STEPS] [REQUESTS]`.

use kvlens_core::record::{FinishReason, Opt32, Opt64, Text};
use kvlens_core::run::RunEnd;
use kvlens_core::{
    Batch, Exporter, RequestRow, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow, Table, Tables,
};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;

const BATCH: u64 = 8_192;

fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times and counts made up on the spot"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// An engine whose load goes up and down; its state moves a little each step.
struct Engine {
    random: fastrand::Rng,
    at: u64,
    running: f64,
    used: f64,
}

impl Engine {
    fn step(&mut self, step: u64) -> StepRow {
        self.running = (self.running + normal(&mut self.random)).clamp(1.0, 256.0);
        self.used = (self.used + 20.0 * normal(&mut self.random)).clamp(0.0, 25_000.0);
        let small = |value: f64| u32::try_from(whole(value)).unwrap_or(0);
        let prefill = if self.random.f64() < 0.1 {
            self.random.u32(16..2_048)
        } else {
            0
        };
        let running = small(self.running);
        let time = whole(8e6 * (0.25 * normal(&mut self.random)).exp() + f64::from(prefill) * 10e3);
        let used = small(self.used);
        let row = StepRow {
            monotonic_ns: self.at,
            step,
            step_time_ns: Opt64::some(time),
            device_time_ns: Opt64::some(time - time / 20),
            schedule_time_ns: Opt64::some(40_000 + self.random.u64(0..20_000)),
            prefill_kv_tokens: Opt64::some(u64::from(prefill) * 3),
            decode_kv_tokens: Opt64::some(u64::from(running) * 1_400),
            kv_tokens_used: Opt64::some(u64::from(used) * 15),
            requests_running: running,
            requests_waiting: if running > 200 { self.random.u32(0..20) } else { 0 },
            requests_swapped: Opt32::some(0),
            requests_admitted: Opt32::some(u32::from(prefill > 0)),
            requests_finished: u32::from(prefill > 0),
            prefill_requests: Opt32::some(u32::from(prefill > 0)),
            decode_requests: running,
            prefill_tokens: Opt32::some(prefill),
            decode_tokens: running,
            prompt_tokens: prefill * 2,
            generation_tokens: running,
            recomputed_tokens: Opt32::some(0),
            prefix_cache_queries: Opt32::some(prefill * 2),
            prefix_cache_hits: Opt32::some(prefill),
            kv_blocks_total: Opt32::some(27_900),
            kv_blocks_used: Opt32::some(used),
            kv_blocks_cached: Opt32::some(2_000 + self.random.u32(0..30)),
            kv_blocks_free: Opt32::some(25_900_u32.saturating_sub(used)),
            kv_blocks_allocated: Opt32::some(prefill / 16 + running / 16),
            kv_blocks_evicted: Opt32::some(prefill / 32),
            kv_blocks_swapped_out: Opt32::some(0),
            kv_blocks_swapped_in: Opt32::some(0),
            preemptions_recompute: Opt32::some(u32::from(self.random.f64() < 0.001)),
            preemptions_swap: Opt32::some(0),
            ..StepRow::default()
        };
        self.at += time + 20_000;
        row
    }

    fn request(&mut self, id: u64) -> RequestRow {
        self.at += 80_000_000;
        let mut time = |median: f64, sigma: f64| whole(median * (sigma * normal(&mut self.random)).exp());
        let (queue, prefill, decode) = (time(10e6, 1.5), time(300e6, 0.8), time(4e9, 0.9));
        let tokens = time(250.0, 0.7).max(2);
        RequestRow {
            monotonic_ns: self.at,
            arrival: self.at.saturating_sub(queue + prefill + decode),
            request_id: Text::number(id),
            finish_reason: if id.is_multiple_of(100) {
                FinishReason::Length
            } else {
                FinishReason::Stop
            },
            prompt_tokens: u32::try_from(time(900.0, 1.0)).unwrap_or(0),
            cached_prompt_tokens: Opt32::some(256),
            computed_prompt_tokens: Opt32::some(600),
            recomputed_tokens: Opt32::some(0),
            generation_tokens: u32::try_from(tokens).unwrap_or(2),
            time_to_first_token_ns: Opt64::some(queue + prefill),
            time_per_output_token_ns: Opt64::some(decode / (tokens - 1)),
            inter_token_latency_max_ns: Opt64::some(decode / tokens * 3),
            e2e_latency_ns: Opt64::some(queue + prefill + decode),
            queue_time_ns: Opt64::some(queue),
            prefill_time_ns: Opt64::some(prefill),
            decode_time_ns: Opt64::some(decode),
            preempted_time_ns: Opt64::some(0),
            stalled_time_ns: Opt64::some(decode / 30),
            preemptions_recompute: Opt32::some(0),
            preemptions_swap: Opt32::some(0),
            ..RequestRow::default()
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let out = args
        .next()
        .ok_or("usage: write_benchmark_run DIR [STEPS] [REQUESTS]")?;
    let steps = args.next().map_or(Ok(10_000_000), |text| text.parse::<u64>())?;
    let requests = args.next().map_or(Ok(1_000_000), |text| text.parse::<u64>())?;
    let tables = Tables::NONE.with(Table::Steps).with(Table::Requests);
    let info = RunInfo::new("benchmark").with_tables(tables);
    let schema = RunSchema::new(info, vec![SourceInfo::new("engine-0", "made")], vec![]);
    let mut exporters: [Box<dyn Exporter>; 2] = [
        Box::new(Manifest::create(&out)),
        Box::new(ParquetExporter::create(
            &out,
            ParquetOptions::default().with_threads(2),
        )),
    ];
    for exporter in &mut exporters {
        exporter.begin(&schema)?;
    }
    let start = 1_790_000_000_000_000_000;
    let mut engine = Engine {
        random: fastrand::Rng::with_seed(1),
        at: start,
        running: 64.0,
        used: 9_000.0,
    };
    for first in (0..steps).step_by(usize::try_from(BATCH)?) {
        let rows = (first..steps.min(first + BATCH))
            .map(|step| engine.step(step))
            .collect();
        let batch = Batch::Steps(SourceIndex(0), rows);
        exporters
            .iter_mut()
            .try_for_each(|exporter| exporter.write(&batch))?;
    }
    engine.at = start;
    for first in (0..requests).step_by(usize::try_from(BATCH)?) {
        let rows = (first..requests.min(first + BATCH))
            .map(|id| engine.request(id))
            .collect();
        let batch = Batch::Requests(SourceIndex(0), rows);
        exporters
            .iter_mut()
            .try_for_each(|exporter| exporter.write(&batch))?;
    }
    let mut end = RunEnd::default();
    end.clean_stop = true;
    exporters
        .iter_mut()
        .try_for_each(|exporter| exporter.finish(&end))?;
    Ok(())
}
