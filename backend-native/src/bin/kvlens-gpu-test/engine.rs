//! The engine on the GPU against the engine on the CPU: the same tokens.

use std::{collections::BTreeMap, sync::Arc};

use kvlens_core::SystemClock;
use kvlens_native::{
    BuiltinModel, Device, Engine, EngineConfig, Preemption, Prompt, Recording, Request,
    cuda::{CudaDevice, Gpu},
    device::cpu::{CpuDevice, KvDtype},
};

use crate::{data::Random, report::Report};

/// Checks of [`check_engine`].
pub(crate) const CHECKS: usize = CASES.len() + 1;
/// Tokens that may differ: sums are added in another order, and a near-tie then falls the other way.
const DIFFERENT: f64 = 1e-3;
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
        let (expected, _) = generate(&config, cpu, seed)?;
        let (found, preempted) = generate(&config, cuda, seed)?;
        let different = compare(&expected, &found);
        report.error(
            &format!("engine, {name}, {preempted} preemptions: tokens unlike the CPU's"),
            different,
            DIFFERENT,
        );
        if host_blocks > 0 {
            report.equal("engine: requests were preempted", preempted > 0);
        }
    }
    Ok(())
}

/// Runs a hundred requests; a quarter share a prefix.
fn generate(config: &EngineConfig, device: Box<dyn Device>, seed: u64) -> Outcome<(Tokens, u32)> {
    let mut random = Random(seed);
    let mut engine = Engine::new(
        config.clone(),
        device,
        Arc::new(SystemClock::new()),
        Recording::off(),
    )?;
    let shared: Vec<u32> = (0..64).map(|_| random.between(0, 1023)).collect();
    for id in 0..SEQUENCES {
        let mut prompt = if id % 4 == 0 { shared.clone() } else { Vec::new() };
        prompt.extend((0..random.between(5, 300)).map(|_| random.between(0, 1023)));
        engine.add(Request::new(id, Prompt::tokens(prompt), TOKENS))?;
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
