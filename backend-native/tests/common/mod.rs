//! Random workloads, and a run that checks everything after every step.
#![expect(dead_code, reason = "each test file uses a part of it")]

use kvlens_core::ManualClock;
use kvlens_core::recorder::{Recorder, RecorderSource};
use kvlens_core::{BlockRow, RequestRow, SourceInfo, StatsSource, StepRow};
use kvlens_core::{MetricId, Reading, Sink, Tables, catalog};
use kvlens_native::device::NullDevice;
use kvlens_native::device::cpu::{CpuDevice, KvDtype};
use kvlens_native::model::ModelShape;
use kvlens_native::{
    BuiltinModel, Device, Engine, EngineConfig, EngineState, Fork, Policy, Preemption, Prompt, Recording,
    RecordingOptions, Request,
};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// A model small enough for thousands of cases, with everything that the large one has.
pub(crate) const TINY: ModelShape = ModelShape {
    layers: 2,
    q_heads: 4,
    kv_heads: 2,
    head_dim: 8,
    hidden: 16,
    vocabulary: 97,
};

/// So many cases; a failure's seed is printed, not kept in a file.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Tokens of the longest request.
pub(crate) const LONGEST: u32 = 64;

/// What happens to an engine before a step.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Add {
        prompt: Vec<u32>,
        max_tokens: u32,
        priority: u32,
    },
    Fork {
        parent: usize,
        token: u32,
        max_tokens: u32,
    },
    Abort {
        which: usize,
    },
    ResetCache,
    /// A prompt that an earlier request's tokens begin with, or are.
    Again {
        which: usize,
        keep: usize,
        max_tokens: u32,
    },
    Steps {
        count: u32,
    },
}

/// Prompts that share beginnings: a few stems, cut anywhere, with an own end.
pub(crate) fn prompt() -> impl Strategy<Value = Vec<u32>> {
    (0_u32..3, 0_usize..40, prop::collection::vec(0_u32..97, 1..12)).prop_map(|(stem, cut, end)| {
        let mut tokens: Vec<u32> = (0..40).map(|i| (stem * 31 + i * 7) % 97).take(cut).collect();
        tokens.extend(end);
        tokens
    })
}

pub(crate) fn events(with_aborts: bool) -> impl Strategy<Value = Vec<Event>> {
    let add = (prompt(), 1_u32..14, 0_u32..3).prop_map(|(prompt, max_tokens, priority)| Event::Add {
        prompt,
        max_tokens,
        priority,
    });
    let fork = (0_usize..16, 0_u32..97, 1_u32..10).prop_map(|(parent, token, max_tokens)| Event::Fork {
        parent,
        token,
        max_tokens,
    });
    let again = (0_usize..16, 1_usize..60, 1_u32..14).prop_map(|(which, keep, max_tokens)| Event::Again {
        which,
        keep,
        max_tokens,
    });
    let steps = (1_u32..5).prop_map(|count| Event::Steps { count });
    let abort = (0_usize..16).prop_map(|which| Event::Abort { which });
    let event = prop_oneof![6 => add, 2 => fork, 4 => steps, u32::from(with_aborts) => abort, 1 => Just(Event::ResetCache), 3 => again];
    prop::collection::vec(event, 1..32)
}

pub(crate) fn configs() -> impl Strategy<Value = EngineConfig> {
    let sizes = (
        prop_oneof![Just(1_u32), Just(2), Just(4), Just(5), Just(16)],
        0_u32..4,
        0_u32..30,
    );
    let limits = (1_u32..9, prop_oneof![Just(1_u32), 2_u32..9, Just(64), Just(64)]);
    let kinds = (any::<bool>(), any::<bool>(), any::<bool>(), 1_u32..4);
    (sizes, limits, kinds).prop_map(
        |((block_size, spare, host), (running, tokens), (cache, swap, priority, every))| {
            // The longest request fits, and not much more.
            let mut config = EngineConfig::new(block_size, LONGEST.div_ceil(block_size) + spare);
            config.host_blocks = host;
            config.max_running = running;
            config.max_step_tokens = tokens;
            config.prefix_caching = cache;
            config.preemption = if swap {
                Preemption::Swap
            } else {
                Preemption::Recompute
            };
            config.policy = if priority { Policy::Priority } else { Policy::Fcfs };
            config.block_sample_every = every;
            config
        },
    )
}

/// Everything that a source handed over.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) counters: HashMap<usize, u64>,
    pub(crate) gauges: HashMap<usize, f64>,
    pub(crate) histograms: HashMap<usize, (u64, u64)>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) requests: Vec<RequestRow>,
    pub(crate) blocks: Vec<BlockRow>,
    pub(crate) accesses: Vec<kvlens_core::record::AccessRow>,
    pub(crate) dropped: u64,
}

impl Sink for Recorded {
    fn gauge(&mut self, metric: MetricId, value: f64) {
        self.gauges.insert(metric.0, value);
    }
    fn counter(&mut self, metric: MetricId, reading: Reading) {
        if let Reading::Cumulative(value) = reading {
            self.counters.insert(metric.0, value);
        }
    }
    fn histogram(&mut self, metric: MetricId, delta: &kvlens_core::histogram::SparseHistogram) {
        let entry = self.histograms.entry(metric.0).or_default();
        entry.0 += delta.count();
        entry.1 += delta.sum();
    }
    fn fixed_histogram(&mut self, _: MetricId, _: &kvlens_core::histogram::FixedHistogram) {}
    fn steps(&mut self, rows: &[StepRow]) {
        self.steps.extend_from_slice(rows);
    }
    fn requests(&mut self, rows: &[RequestRow]) {
        self.requests.extend_from_slice(rows);
    }
    fn blocks(&mut self, rows: &[BlockRow]) {
        self.blocks.extend_from_slice(rows);
    }
    fn accesses(&mut self, rows: &[kvlens_core::record::AccessRow]) {
        self.accesses.extend_from_slice(rows);
    }
    fn epoch(&mut self, _: u64) {}
    fn served_by(&mut self, _: &str) {}
    fn rows_dropped(&mut self, rows: u64) {
        self.dropped += rows;
    }
    fn anomalies(&mut self, _: u64) {}
}

/// An engine with everything recorded.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
    source: RecorderSource,
    pub(crate) recorded: Recorded,
    /// Tokens generated, by request.
    pub(crate) generated: HashMap<u64, Vec<u32>>,
    /// Whole prompts, by request.
    pub(crate) prompts: HashMap<u64, Vec<u32>>,
    pub(crate) finished: Vec<u64>,
    next_id: u64,
    pub(crate) last: EngineState,
}

pub(crate) fn cpu(config: &EngineConfig) -> Box<dyn Device> {
    CpuDevice::boxed(Arc::new(BuiltinModel::with_shape(3, TINY)), config, KvDtype::F16)
}

pub(crate) fn null(_: &EngineConfig) -> Box<dyn Device> {
    Box::new(NullDevice::new())
}

impl Bench {
    pub(crate) fn new(config: EngineConfig, device: impl FnOnce(&EngineConfig) -> Box<dyn Device>) -> Self {
        let device = device(&config);
        Self::on_clock(config, device, Arc::new(ManualClock::new(0)))
    }

    pub(crate) fn on_clock(config: EngineConfig, device: Box<dyn Device>, clock: Arc<ManualClock>) -> Self {
        let recorder = Recorder::new(SourceInfo::new("engine", "kvlens-native"));
        let options = RecordingOptions::new(Tables::ALL).with_almost_hits();
        let recording = Recording::new(&recorder, options).unwrap();
        let source = recorder.source().unwrap();
        let engine = Engine::new(config, device, clock.clone(), recording).unwrap();
        let last = engine.state();
        Self {
            engine,
            clock,
            source,
            recorded: Recorded::default(),
            generated: HashMap::new(),
            prompts: HashMap::new(),
            finished: Vec::new(),
            next_id: 0,
            last,
        }
    }

    pub(crate) fn add(&mut self, prompt: Vec<u32>, max_tokens: u32, priority: u32) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request::new(id, Prompt::tokens(prompt.clone()), max_tokens)
            .with_arrival_ns(kvlens_core::Clock::monotonic_ns(&self.clock))
            .with_priority(priority);
        self.engine.add(request).unwrap();
        self.prompts.insert(id, prompt);
        self.generated.insert(id, Vec::new());
        id
    }

    /// Forks a request where that is allowed; the child's prompt is its parent's tokens with another last one.
    pub(crate) fn fork(&mut self, parent: u64, token: u32, max_tokens: u32) -> Option<u64> {
        let id = self.next_id;
        self.engine
            .fork(Fork {
                parent,
                id,
                token,
                max_tokens,
            })
            .ok()?;
        self.next_id += 1;
        let mut prompt = self.prompts[&parent].clone();
        prompt.extend(&self.generated[&parent]);
        *prompt.last_mut().unwrap() = token;
        self.prompts.insert(id, prompt);
        self.generated.insert(id, Vec::new());
        Some(id)
    }

    /// Runs a step and checks what must hold after it.
    pub(crate) fn step(&mut self) {
        self.clock.advance(1_000);
        let before = self.engine.state();
        let summary = self.engine.step().unwrap();
        self.clock.advance(10);
        self.engine
            .audit()
            .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
        let state = self.engine.state();
        assert_eq!(
            state.kv_blocks_used + state.kv_blocks_cached + state.kv_blocks_free,
            state.kv_blocks_total
        );
        assert!(state.kv_blocks_allocated >= before.kv_blocks_allocated);
        assert!(
            !self.engine.has_work() || summary.requests > 0 || before.requests_running == 0,
            "a step gets on"
        );
        for output in self.engine.outputs() {
            self.generated
                .get_mut(&output.request)
                .unwrap()
                .push(output.token);
            if output.finished.is_some() {
                self.finished.push(output.request);
            }
        }
        self.last = state;
        self.source.drain(&mut self.recorded).unwrap();
    }

    pub(crate) fn run_to_end(&mut self) {
        let mut steps = 0;
        while self.engine.has_work() {
            self.step();
            steps += 1;
            assert!(steps < 20_000, "the engine gets on: {:?}", self.last);
        }
    }

    pub(crate) fn finish(&mut self) {
        self.engine.finish().unwrap();
        self.source.drain(&mut self.recorded).unwrap();
        self.source.sample(&mut self.recorded).unwrap();
    }

    pub(crate) fn counter(&self, metric: &kvlens_core::MetricDesc) -> u64 {
        let at = self
            .source
            .metrics()
            .iter()
            .position(|m| m.name == metric.name)
            .unwrap();
        self.recorded.counters[&at]
    }

    pub(crate) fn gauge(&self, metric: &kvlens_core::MetricDesc) -> f64 {
        let at = self
            .source
            .metrics()
            .iter()
            .position(|m| m.name == metric.name)
            .unwrap();
        self.recorded.gauges[&at]
    }

    /// A histogram's count and sum.
    pub(crate) fn histogram(&self, metric: &kvlens_core::MetricDesc) -> (u64, u64) {
        let at = self
            .source
            .metrics()
            .iter()
            .position(|m| m.name == metric.name)
            .unwrap();
        self.recorded.histograms[&at]
    }

    pub(crate) fn play(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Add {
                    prompt,
                    max_tokens,
                    priority,
                } => {
                    self.add(prompt.clone(), *max_tokens, *priority);
                }
                Event::Fork {
                    parent,
                    token,
                    max_tokens,
                } => {
                    let live = self.live();
                    if let Some(parent) = live.get(parent % live.len().max(1)) {
                        let room =
                            LONGEST as usize - self.prompts[parent].len() - self.generated[parent].len();
                        let max_tokens = (*max_tokens).min(u32::try_from(room).unwrap());
                        if max_tokens > 0 {
                            self.fork(*parent, *token, max_tokens);
                        }
                    }
                }
                Event::Abort { which } => {
                    let live = self.live();
                    if let Some(id) = live.get(which % live.len().max(1)) {
                        self.engine.abort(*id).unwrap();
                        self.engine.audit().unwrap();
                        self.finished.push(*id);
                    }
                }
                Event::Again {
                    which,
                    keep,
                    max_tokens,
                } => self.add_again(*which, *keep, *max_tokens),
                Event::ResetCache => {
                    self.engine.reset_prefix_cache();
                    self.engine.audit().unwrap();
                }
                Event::Steps { count } => (0..*count).for_each(|_| self.step()),
            }
        }
        self.run_to_end();
        self.finish();
    }

    fn add_again(&mut self, which: usize, keep: usize, max_tokens: u32) {
        let Some(which) = (which as u64).checked_rem(self.next_id) else {
            return;
        };
        let mut prompt = self.prompts[&which].clone();
        prompt.extend(&self.generated[&which]);
        prompt.truncate(keep.min(LONGEST as usize - max_tokens as usize));
        self.add(prompt, max_tokens, 0);
    }

    fn live(&self) -> Vec<u64> {
        (0..self.next_id)
            .filter(|id| !self.finished.contains(id))
            .collect()
    }
}

/// The prefix-cache hits that a recorded run counts, first admissions and others.
pub(crate) fn hits(bench: &Bench) -> (u64, u64) {
    (
        bench.counter(&catalog::PREFIX_CACHE_HITS),
        bench.counter(&catalog::PREFIX_CACHE_HITS_PREEMPTED),
    )
}
