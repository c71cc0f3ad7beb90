//! A seeded stream of requests and samples.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "made-up numbers, far from the limits of their types"
)]

use kvlens_core::histogram::{Config, SparseHistogram};
use kvlens_core::record::{FinishReason, Opt32, Opt64, Text};
use kvlens_core::{
    Kind, RequestRow, RunInfo, RunSchema, Sample, SourceIndex, SourceInfo, Unit, Value, catalog,
};

/// The run that the rows belong to: one source, every standard metric.
pub fn run_schema(run_id: &str) -> RunSchema {
    let mut run = RunInfo::new(run_id);
    run.clock.wall_ns = 1_790_000_000_000_000_000;
    let sources = vec![SourceInfo::new("engine-0", "kvlens-native")];
    RunSchema::new(run, sources, catalog::all().cloned().collect())
}

/// Where request ids come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// A number, in order of arrival.
    Number,
    /// `chatcmpl-` and 32 random hexadecimal digits, as vLLM's server gives.
    Random,
}

#[derive(Debug)]
struct Rng(u64);

impl Rng {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }
}

/// Makes finished requests of a busy engine: about 40 finish a second, step times of 25 ms.
#[derive(Debug)]
pub struct Requests {
    rng: Rng,
    ids: Ids,
    now_ns: u64,
    number: u64,
}

impl Requests {
    /// Starts a stream; the same seed gives the same rows.
    pub fn new(seed: u64, ids: Ids) -> Self {
        Self {
            rng: Rng(seed),
            ids,
            now_ns: 60_000_000_000,
            number: 1_000,
        }
    }

    /// Makes the next rows.
    pub fn batch(&mut self, rows: usize) -> Vec<RequestRow> {
        (0..rows).map(|_| self.row()).collect()
    }

    fn row(&mut self) -> RequestRow {
        let rng = &mut self.rng;
        self.now_ns += (-rng.unit().ln() * 25e6) as u64;
        self.number += 1;
        let prompt = rng.log_normal(2_000.0, 1.0).clamp(8.0, 128_000.0) as u32;
        let generated = rng.log_normal(220.0, 0.8).clamp(1.0, 2_048.0) as u32;
        let cached = (f64::from(prompt) * if rng.chance(0.6) { rng.unit() } else { 0.0 }) as u32 / 16 * 16;
        let preempted = rng.chance(0.01);
        let queue = if rng.chance(0.3) {
            2_000 + rng.next() % 20_000
        } else {
            rng.log_normal(30e6, 1.5) as u64
        };
        let prefill =
            (f64::from(prompt - cached) * 45_000.0 * (1.0 + 0.1 * rng.normal().abs())) as u64 + 8_000_000;
        let decode: u64 = (f64::from(generated - 1) * rng.log_normal(25e6, 0.15)) as u64;
        let stalled = if rng.chance(0.5) {
            (decode as f64 * 0.2 * rng.unit()) as u64
        } else {
            0
        };
        let away = if preempted {
            rng.log_normal(400e6, 0.7) as u64
        } else {
            0
        };
        let e2e = queue + prefill + decode + away;
        let last_step = self.now_ns / 25_000_000;
        let mut row = RequestRow {
            monotonic_ns: self.now_ns,
            arrival: self.now_ns.saturating_sub(e2e),
            prompt_tokens: prompt,
            generation_tokens: generated,
            ..RequestRow::default()
        };
        row.request_id = match self.ids {
            Ids::Number => Text::number(self.number.saturating_sub(rng.next() % 256)),
            Ids::Random => Text::new(&format!("chatcmpl-{:016x}{:016x}", rng.next(), rng.next())),
        };
        row.finish_reason = if rng.chance(0.8) {
            FinishReason::Stop
        } else {
            FinishReason::Length
        };
        row.cached_prompt_tokens = Opt32::some(cached);
        row.almost_hit_tokens = Opt32::some(if cached > 0 { (rng.next() % 16) as u32 } else { 0 });
        row.computed_prompt_tokens = Opt32::some(prompt - cached);
        row.recomputed_tokens = Opt32::some(if preempted { prompt } else { 0 });
        row.max_tokens = Opt32::some(2_048);
        row.time_to_first_token_ns = Opt64::some(queue + prefill);
        row.time_per_output_token_ns = (generated > 1)
            .then(|| decode / u64::from(generated - 1).max(1))
            .into();
        row.inter_token_latency_max_ns = Opt64::some(rng.log_normal(60e6, 0.5) as u64);
        row.e2e_latency_ns = Opt64::some(e2e);
        row.queue_time_ns = Opt64::some(queue);
        row.prefill_time_ns = Opt64::some(prefill);
        row.decode_time_ns = Opt64::some(decode);
        row.preempted_time_ns = Opt64::some(away);
        row.stalled_time_ns = Opt64::some(stalled);
        row.preemptions_recompute = Opt32::some(u32::from(preempted));
        row.preemptions_swap = Opt32::some(0);
        row.prefill_steps = Opt32::some((prompt - cached) / 2_048 + 1);
        row.first_step = Opt64::some(last_step.saturating_sub((e2e - queue) / 25_000_000));
        row.last_step = Opt64::some(last_step);
        row
    }
}

/// Makes samples of one source, one a second, every metric known.
#[derive(Debug)]
pub struct Samples {
    rng: Rng,
    columns: Vec<(Kind, Unit, f64)>,
    now_ns: u64,
}

impl Samples {
    /// Starts a stream; the same seed gives the same samples.
    pub fn new(seed: u64, schema: &RunSchema) -> Self {
        let mut rng = Rng(seed);
        let column = |metric: &kvlens_core::MetricDesc| (metric.kind, metric.unit, 100.0 * rng.unit());
        let columns = schema.metrics.iter().map(column).collect();
        Self {
            rng,
            columns,
            now_ns: 0,
        }
    }

    /// Makes the next samples.
    pub fn batch(&mut self, rows: usize) -> Vec<Sample> {
        (0..rows).map(|_| self.row()).collect()
    }

    fn row(&mut self) -> Sample {
        self.now_ns += 1_000_000_000 + self.rng.next() % 200_000;
        let mut sample = Sample::default();
        sample.source = SourceIndex(0);
        sample.monotonic_ns = self.now_ns;
        sample.interval_ns = 1_000_000_000;
        sample.overshoot_ns = self.rng.next() % 200_000;
        sample.merged = 1;
        let rng = &mut self.rng;
        sample.values = self
            .columns
            .iter_mut()
            .map(|(kind, unit, state)| value(rng, *kind, *unit, state))
            .collect();
        sample
    }
}

fn value(rng: &mut Rng, kind: Kind, unit: Unit, state: &mut f64) -> Value {
    match kind {
        Kind::Counter => {
            *state += (rng.next() % 100) as f64;
            Value::Counter(*state as u64)
        }
        Kind::Gauge if unit == Unit::Ratio => {
            *state = (*state + rng.normal()).clamp(0.0, 100.0);
            Value::Gauge((*state * 279.0).round() / 27_900.0)
        }
        Kind::Gauge => {
            *state = (*state + rng.normal()).max(0.0);
            Value::Gauge(state.round())
        }
        Kind::Histogram => {
            let mut histogram = SparseHistogram::new(Config::DEFAULT);
            for _ in 0..20 {
                histogram.record(rng.log_normal(25e6, 0.3) as u64);
            }
            Value::Histogram(histogram)
        }
    }
}
