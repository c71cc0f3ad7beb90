//! The engine on the GPU against the engine on the CPU: the same tokens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use kvlens_core::SystemClock;
use kvlens_native::{
    BuiltinModel, Device, Engine, EngineConfig, Model, Preemption, Prompt, Recording, Request,
    cuda::{CudaDevice, Gpu},
    device::cpu::{CpuDevice, KvDtype},
    model::{ModelShape, Qkv},
    reference::dot,
};

use crate::{data::Random, report::Report};

/// Checks of [`check_engine`].
pub(crate) const CHECKS: usize = 2 * CASES.len() + 1;
/// Tokens that may differ: sums are added in another order, and a near-tie then falls the other way.
const DIFFERENT: f64 = 1e-3;
/// Standard deviations of the scores between two tokens that count as nearly equal.
const NEAR_TIE: f64 = 1e-2;
const SEQUENCES: u64 = 100;
const TOKENS: u32 = 120;

/// KV blocks, host blocks, preemption, prefix caching, and the type of K and V.
type Case = (&'static str, u32, u32, Preemption, bool, KvDtype);

/// With room for all, and with so little that requests are preempted; a hundred requests of 120 tokens each.
const CASES: [Case; 5] = [
    (
        "room for all",
        4000,
        0,
        Preemption::Recompute,
        false,
        KvDtype::F16,
    ),
    (
        "prefix caching",
        4000,
        0,
        Preemption::Recompute,
        true,
        KvDtype::F16,
    ),
    (
        "preemption by recompute",
        220,
        0,
        Preemption::Recompute,
        true,
        KvDtype::F16,
    ),
    (
        "preemption by swap",
        220,
        800,
        Preemption::Swap,
        false,
        KvDtype::F16,
    ),
    ("bf16", 4000, 0, Preemption::Recompute, true, KvDtype::Bf16),
];

type Tokens = BTreeMap<u64, Vec<u32>>;
type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Generates on both devices and compares.
pub(crate) fn check_engine(seed: u64, report: &mut Report) -> Outcome<()> {
    let model = Arc::new(BuiltinModel::default());
    for case in CASES {
        let (name, blocks, host_blocks, preemption, prefix_caching, dtype) = case;
        let mut config = EngineConfig::new(16, blocks);
        config.host_blocks = host_blocks;
        config.preemption = preemption;
        config.prefix_caching = prefix_caching;
        config.max_running = 64;
        config.max_step_tokens = 512;
        let cpu = CpuDevice::boxed(model.clone(), &config, dtype);
        let cuda = CudaDevice::boxed(Gpu::open(0)?, &model, &config, dtype)?;
        let prompts = prompts(seed);
        let (expected, _) = generate(&config, cpu, &prompts)?;
        let (found, preempted) = generate(&config, cuda, &prompts)?;
        let different = compare(&expected, &found);
        report.error(
            &format!("engine, {name}, {preempted} preemptions: tokens unlike the CPU's"),
            different,
            DIFFERENT,
        );
        let gap = widest_gap(&config, dtype, &prompts, &expected, &found)?;
        report.error(
            &format!("engine, {name}: gap of the scores where sequences parted"),
            gap,
            NEAR_TIE,
        );
        if host_blocks > 0 {
            report.equal("engine: requests were preempted", preempted > 0);
        }
    }
    Ok(())
}

/// A hundred prompts; a quarter share a prefix.
fn prompts(seed: u64) -> Tokens {
    let mut random = Random(seed);
    let shared: Vec<u32> = (0..64).map(|_| random.between(0, 1023)).collect();
    let mut prompt = |id: u64| {
        let mut prompt = if id.is_multiple_of(4) {
            shared.clone()
        } else {
            Vec::new()
        };
        prompt.extend((0..random.between(5, 300)).map(|_| random.between(0, 1023)));
        (id, prompt)
    };
    (0..SEQUENCES).map(&mut prompt).collect()
}

/// Runs all prompts; returns the tokens that follow each, and the preemptions.
fn generate(config: &EngineConfig, device: Box<dyn Device>, prompts: &Tokens) -> Outcome<(Tokens, u32)> {
    let mut engine = Engine::new(
        config.clone(),
        device,
        Arc::new(SystemClock::new()),
        Recording::off(),
    )?;
    for (&id, prompt) in prompts {
        engine.add(Request::new(id, Prompt::tokens(prompt.clone()), TOKENS))?;
    }
    let (mut tokens, mut preempted) = (Tokens::new(), 0);
    while engine.has_work() {
        preempted += engine.step()?.preempted;
        for output in engine.outputs() {
            tokens.entry(output.request).or_default().push(output.token);
        }
    }
    engine.finish()?;
    Ok((tokens, preempted))
}

/// How close the CPU's scores of both tokens are where a sequence parted, in standard deviations of all scores;
/// the largest such gap.
fn widest_gap(
    config: &EngineConfig,
    dtype: KvDtype,
    prompts: &Tokens,
    expected: &Tokens,
    found: &Tokens,
) -> Outcome<f64> {
    let mut widest = 0.0_f64;
    for (id, expected) in expected {
        let found = found.get(id).map_or(&[][..], Vec::as_slice);
        let Some(at) = expected.iter().zip(found).position(|(a, b)| a != b) else {
            continue;
        };
        let mut history = prompts[id].clone();
        history.extend(&expected[..at]);
        let witness = Arc::new(Witness {
            inner: BuiltinModel::default(),
            scores: Mutex::default(),
        });
        let device = CpuDevice::boxed(witness.clone(), config, dtype);
        let mut engine = Engine::new(
            config.clone(),
            device,
            Arc::new(SystemClock::new()),
            Recording::off(),
        )?;
        engine.add(Request::new(0, Prompt::tokens(history), 1))?;
        while engine.has_work() {
            engine.step()?;
        }
        let scores = witness.scores.lock().expect("no panic before");
        let gap = scores[expected[at] as usize] - scores[found[at] as usize];
        let variance = scores.iter().map(|s| s * s).sum::<f32>() / scores.len() as f32;
        widest = widest.max(f64::from(gap.abs() / variance.sqrt()));
    }
    Ok(widest)
}

/// The built-in model, remembering the scores of the last choice.
#[derive(Debug)]
struct Witness {
    inner: BuiltinModel,
    scores: Mutex<Vec<f32>>,
}

impl Model for Witness {
    fn shape(&self) -> ModelShape {
        self.inner.shape()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn embed(&self, token: u32, position: u32, hidden: &mut [f32]) {
        self.inner.embed(token, position, hidden);
    }

    fn qkv(&self, layer: usize, position: u32, hidden: &[f32], scratch: &mut [f32], out: Qkv<'_>) {
        self.inner.qkv(layer, position, hidden, scratch, out);
    }

    fn absorb(&self, layer: usize, attention: &[f32], hidden: &mut [f32], scratch: &mut [f32]) {
        self.inner.absorb(layer, attention, hidden, scratch);
    }

    fn next_token(&self, hidden: &[f32]) -> u32 {
        let rows = self.inner.unembedding().chunks_exact(hidden.len());
        *self.scores.lock().expect("no panic before") = rows.map(|row| dot(row, hidden)).collect();
        self.inner.next_token(hidden)
    }
}

/// The share of tokens that differ before the histories do: what follows a different token has no say.
fn compare(expected: &Tokens, found: &Tokens) -> f64 {
    let (mut different, mut same) = (0.0, 0.0);
    for (id, expected) in expected {
        let found = found.get(id).map_or(&[][..], Vec::as_slice);
        let alike = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
        same += alike as f64;
        different += f64::from(u8::from(alike < expected.len()));
    }
    different / (same + different)
}
