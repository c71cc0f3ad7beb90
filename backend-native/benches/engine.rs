//! What the engine costs without a device: steps, admissions, block pool operations; recording off and on.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::record::{AccessRow, Release};
use kvlens_core::recorder::{Recorder, RecorderSource};
use kvlens_core::{
    BlockRow, ManualClock, MetricId, Reading, RequestRow, Sink, SourceInfo, StatsSource, StepRow, Tables,
};
use kvlens_native::device::NullDevice;
use kvlens_native::device::cpu::{CpuDevice, KvDtype};
use kvlens_native::{
    BlockHash, BlockHasher, BlockPool, BuiltinModel, Engine, EngineConfig, Lives, Prompt, Recording,
    RecordingOptions, Request, Span,
};
use std::hint::black_box;
use std::sync::Arc;

/// Takes everything and keeps nothing.
struct Discard;

impl Sink for Discard {
    fn gauge(&mut self, _: MetricId, _: f64) {}
    fn counter(&mut self, _: MetricId, _: Reading) {}
    fn histogram(&mut self, _: MetricId, _: &SparseHistogram) {}
    fn fixed_histogram(&mut self, _: MetricId, _: &FixedHistogram) {}
    fn steps(&mut self, rows: &[StepRow]) {
        black_box(rows);
    }
    fn requests(&mut self, rows: &[RequestRow]) {
        black_box(rows);
    }
    fn blocks(&mut self, rows: &[BlockRow]) {
        black_box(rows);
    }
    fn accesses(&mut self, rows: &[AccessRow]) {
        black_box(rows);
    }
    fn epoch(&mut self, _: u64) {}
    fn served_by(&mut self, _: &str) {}
    fn rows_dropped(&mut self, rows: u64) {
        assert_eq!(rows, 0, "the bench drains in time");
    }
    fn anomalies(&mut self, _: u64) {}
}

struct Case {
    engine: Engine,
    source: Option<RecorderSource>,
    clock: Arc<ManualClock>,
    next_id: u64,
    steps: u32,
    /// Steps between two drains, few enough that no row is dropped.
    drain_every: u32,
}

impl Case {
    fn new(config: EngineConfig, record: bool, drain_every: u32) -> Self {
        let recorder = Recorder::new(SourceInfo::new("engine", "kvlens-native"));
        let tables = if record { Tables::ALL } else { Tables::NONE };
        let recording = Recording::new(&recorder, RecordingOptions::new(tables)).unwrap();
        let source = record.then(|| recorder.source().unwrap());
        let clock = Arc::new(ManualClock::new(0));
        let device = Box::new(NullDevice::new());
        Self {
            engine: Engine::new(config, device, clock.clone(), recording).unwrap(),
            source,
            clock,
            next_id: 0,
            steps: 0,
            drain_every,
        }
    }

    fn add(&mut self, prompt: Prompt, max_tokens: u32) {
        self.engine
            .add(Request::new(self.next_id, prompt, max_tokens))
            .unwrap();
        self.next_id += 1;
    }

    fn step(&mut self) {
        self.clock.advance(1_000);
        black_box(self.engine.step().unwrap());
        self.steps += 1;
        if self.steps.is_multiple_of(self.drain_every)
            && let Some(source) = &mut self.source
        {
            source.drain(&mut Discard).unwrap();
        }
    }
}

/// Steps in which `running` requests decode one token each.
fn decode(c: &mut Criterion) {
    for running in [1_u32, 256] {
        let mut group = c.benchmark_group(format!("decode/{running}"));
        group.throughput(Throughput::Elements(1));
        for record in [false, true] {
            let name = if record { "recording on" } else { "recording off" };
            group.bench_function(name, |b| {
                let mut config = EngineConfig::new(16, 400_000);
                config.max_running = running;
                let mut case = Case::new(config, record, 1024);
                b.iter(|| {
                    while case.engine.state().requests_running + case.engine.state().requests_waiting
                        < running
                    {
                        let id = case.next_id;
                        case.add(Prompt::spans([Span::new(id, 600)]), 500);
                    }
                    case.step();
                });
            });
        }
        group.finish();
    }
}

/// Requests of 12 k tokens, half of them cached: admission, one step, end.
fn admission(c: &mut Criterion) {
    for block_size in [16, 512] {
        let mut group = c.benchmark_group(format!("admission/block_size {block_size}"));
        group.throughput(Throughput::Elements(12_288));
        for record in [false, true] {
            let name = if record { "recording on" } else { "recording off" };
            group.bench_function(name, |b| {
                let mut config = EngineConfig::new(block_size, 1_600_000 / block_size);
                config.max_step_tokens = 16_384;
                let mut case = Case::new(config, record, 16);
                b.iter(|| {
                    let own = 1_000 + case.next_id * 12;
                    let span = |i: u64| Span::new(if i < 12 { i } else { own + i }, 512);
                    case.add(Prompt::spans((0..24).map(span).collect::<Vec<_>>()), 1);
                    case.step();
                    assert!(!case.engine.has_work());
                });
            });
        }
        group.finish();
    }
}

fn block_pool(c: &mut Criterion) {
    let mut group = c.benchmark_group("block_pool");
    let blocks = 400_000_u32;
    group.throughput(Throughput::Elements(u64::from(blocks)));
    let hashes: Vec<BlockHash> = {
        let mut hasher = BlockHasher::new(16);
        (0..blocks)
            .map(|i| hasher.name(BlockHash::NONE, u64::from(i), |tokens| tokens.fill(i)))
            .collect()
    };
    let filled = || {
        let mut pool = BlockPool::new(blocks, Lives::off());
        for (hash, now) in hashes.iter().zip(0..) {
            let id = pool.allocate(now).unwrap();
            pool.cache(id, *hash, now);
        }
        pool
    };
    group.bench_function("allocate and name", |b| {
        b.iter_batched(|| (), |()| filled(), BatchSize::LargeInput);
    });
    group.bench_function("look up, hit, release", |b| {
        b.iter_batched_ref(
            filled,
            |pool| {
                for hash in &hashes {
                    let id = pool.lookup(*hash).unwrap();
                    pool.hit(id, 1);
                    pool.release(id, 2, 2, Release::Finished, 16);
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("evict and allocate", |b| {
        b.iter_batched_ref(
            || {
                let mut pool = filled();
                (1..=blocks).for_each(|id| {
                    pool.release(id, 2, 2, Release::Finished, 16);
                });
                pool
            },
            |pool| while pool.allocate(3).is_some() {},
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn hashing(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    for block_size in [16_u32, 512] {
        group.throughput(Throughput::Elements(u64::from(block_size)));
        group.bench_function(format!("block of {block_size}"), |b| {
            let mut hasher = BlockHasher::new(block_size);
            let mut parent = BlockHash::NONE;
            let span = Prompt::spans([Span::new(7, block_size)]);
            b.iter(|| parent = hasher.name(parent, 0, |tokens| span.read(0, tokens)));
        });
    }
    group.finish();
}

/// The CPU device with the built-in model: prefills, and decodes after a context.
fn cpu(c: &mut Criterion) {
    let mut group = c.benchmark_group("cpu");
    group.throughput(Throughput::Elements(256));
    let case = || {
        let config = EngineConfig::new(16, 1_024);
        let device = CpuDevice::boxed(Arc::new(BuiltinModel::default()), &config, KvDtype::F16);
        let clock = Arc::new(ManualClock::new(0));
        Engine::new(config, device, clock, Recording::off()).unwrap()
    };
    let run = |engine: &mut Engine, id: u64, prompt: u32, max_tokens: u32| {
        let prompt = Prompt::spans([Span::new(id, prompt)]);
        engine.add(Request::new(id, prompt, max_tokens)).unwrap();
        while engine.has_work() {
            black_box(engine.step().unwrap());
        }
    };
    let mut id = 0;
    group.bench_function("prefill of 256", |b| {
        let mut engine = case();
        b.iter(|| {
            id += 1;
            run(&mut engine, id, 256, 1);
        });
    });
    group.bench_function("256 decodes after 256 cached", |b| {
        let mut engine = case();
        run(&mut engine, 0, 256, 1);
        b.iter(|| run(&mut engine, 0, 257, 256));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = decode, admission, block_pool, hashing, cpu
}
criterion_main!(benches);
