//! How fast the Mooncake trace is replayed on the simulated device, recording off and on, turn by turn.
//!
//! Whole runs of seconds, not iterations of nanoseconds, so the loop is this file's own. Recording here is the engine's
//! part alone: rows are drained on the same thread and thrown away. An argument picks the cases whose names hold it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::record::AccessRow;
use kvlens_core::recorder::{Overflow, Recorder};
use kvlens_core::{
    BlockRow, ManualClock, MetricId, Reading, RequestRow, Sink, SourceInfo, StatsSource, StepRow, Tables,
};
use kvlens_native::device::sim::{SimDevice, SimSpec};
use kvlens_native::replay::{Pace, Replay, ReplayTotals};
use kvlens_native::trace::{TraceOptions, TraceReader};
use kvlens_native::{Engine, EngineConfig, Recording, RecordingOptions, Request};

const ROUNDS: usize = 5;

/// Counts rows and forgets them.
#[derive(Default)]
struct Discard {
    rows: usize,
}

impl Sink for Discard {
    fn gauge(&mut self, _: MetricId, _: f64) {}
    fn counter(&mut self, _: MetricId, _: Reading) {}
    fn histogram(&mut self, _: MetricId, _: &SparseHistogram) {}
    fn fixed_histogram(&mut self, _: MetricId, _: &FixedHistogram) {}
    fn steps(&mut self, rows: &[StepRow]) {
        self.rows += rows.len();
    }
    fn requests(&mut self, rows: &[RequestRow]) {
        self.rows += rows.len();
    }
    fn blocks(&mut self, rows: &[BlockRow]) {
        self.rows += rows.len();
    }
    fn accesses(&mut self, rows: &[AccessRow]) {
        self.rows += rows.len();
    }
    fn epoch(&mut self, _: u64) {}
    fn served_by(&mut self, _: &str) {}
    fn rows_dropped(&mut self, _: u64) {}
    fn anomalies(&mut self, _: u64) {}
}

struct Case {
    name: &'static str,
    config: EngineConfig,
    arrivals: &'static str,
    limit: u64,
}

fn cases() -> [Case; 3] {
    let config = |block_size, kv_blocks, max_running| {
        let mut config = EngineConfig::new(block_size, kv_blocks);
        config.max_running = max_running;
        config
    };
    [
        Case {
            name: "closed:1, blocks of 512",
            config: config(512, 400_000, 1),
            arrivals: "closed:1",
            limit: u64::MAX,
        },
        Case {
            name: "closed:256, blocks of 16, 1 M blocks",
            config: config(16, 1_000_000, 256),
            arrivals: "closed:256",
            limit: u64::MAX,
        },
        Case {
            name: "closed:256, blocks of 16, 25 k blocks (preempts)",
            config: config(16, 25_000, 256),
            arrivals: "closed:256",
            limit: u64::MAX,
        },
    ]
}

fn run(case: &Case, requests: &[Request], record: bool) -> (Duration, ReplayTotals, usize) {
    let recorder = Recorder::new(SourceInfo::new("engine", "kvlens-native"));
    let options = RecordingOptions::new(Tables::STANDARD).with_overflow(Overflow::Block);
    let recording = if record {
        Recording::new(&recorder, options).unwrap()
    } else {
        Recording::off()
    };
    let reader = Arc::new(Mutex::new((recorder.source().unwrap(), Discard::default())));
    let full = reader.clone();
    recorder.on_full(move || {
        let (source, sink) = &mut *full.lock().unwrap();
        source.drain(sink).unwrap();
    });
    let clock = Arc::new(ManualClock::new(0));
    let device = SimDevice::new(&SimSpec::default(), case.config.block_size, clock.clone());
    let mut engine = Engine::new(case.config.clone(), Box::new(device), clock.clone(), recording).unwrap();
    let began = Instant::now();
    let totals = Replay::new(Pace::Virtual(clock))
        .with_arrivals(case.arrivals.parse().unwrap())
        .with_limit(case.limit)
        .run_all(&mut engine, requests.iter().cloned())
        .unwrap();
    let took = began.elapsed();
    let rows = reader.lock().unwrap().1.rows;
    (took, totals, rows)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces/mooncake_conversation.jsonl");
    let began = Instant::now();
    let Ok(trace) = TraceReader::open(&path, TraceOptions::new()) else {
        eprintln!(
            "SKIPPED: {} is absent; put the published traces there to run this bench",
            path.display()
        );
        return;
    };
    let requests: Vec<Request> = trace.map(Result::unwrap).collect();
    println!(
        "reading the trace: {} requests in {:?}",
        requests.len(),
        began.elapsed()
    );
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_wanted = |case: &Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part));
    for case in cases().iter().filter(|case| is_wanted(case)) {
        let mut times = [Vec::new(), Vec::new()];
        let mut last = None;
        for _ in 0..ROUNDS {
            for record in [false, true] {
                let (took, totals, rows) = run(case, &requests, record);
                times[usize::from(record)].push(took);
                last = Some((totals, rows));
            }
        }
        let (totals, rows) = last.expect("at least one round");
        let [off, on] = times.map(|mut times| median(&mut times));
        let per_step = |took: Duration| took.as_nanos() / u128::from(totals.steps);
        println!(
            "{}: {} steps, {} preemptions, {rows} rows; off {off:?} ({} ns a step), on {on:?} ({} ns), on/off {:.3}",
            case.name,
            totals.steps,
            totals.preemptions,
            per_step(off),
            per_step(on),
            on.as_secs_f64() / off.as_secs_f64(),
        );
    }
}
