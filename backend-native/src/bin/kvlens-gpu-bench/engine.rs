//! Whole steps of the engine: how much of a step the GPU is busy, and what the host adds.

use std::{sync::Arc, time::Instant};

use kvlens_core::SystemClock;
use kvlens_native::{
    BuiltinModel, Engine, EngineConfig, Prompt, Recording, Request,
    cuda::{CudaDevice, Gpu},
    device::cpu::KvDtype,
    model::{DEFAULT_SEED, DEFAULT_SHAPE, ModelShape},
};

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Four layers of the sizes of Llama 3 8B, without its wider feed-forward part; weights random.
const LARGE: ModelShape = ModelShape {
    layers: 4,
    q_heads: 32,
    kv_heads: 8,
    head_dim: 128,
    hidden: 4096,
    vocabulary: 32_000,
};
const STEPS: usize = 200;
const PROMPT: u32 = 1000;

/// Measures decode steps of two models and several batches, and prints a table.
pub(crate) fn run() -> Outcome<()> {
    println!("\n## Engine, decode steps, contexts of {PROMPT} tokens and more\n");
    println!(
        "| model | batch | wall, us a step | GPU busy, us | share | tokens/s |\n|---|---|---|---|---|---|"
    );
    for (name, shape) in [("built-in", DEFAULT_SHAPE), ("4 layers of 4096", LARGE)] {
        let model = BuiltinModel::with_shape(DEFAULT_SEED, shape);
        for batch in [1, 16, 64, 256] {
            let (wall_us, busy_us) = decode_steps(&model, batch)?;
            let share = busy_us / wall_us;
            let rate = f64::from(batch) / wall_us * 1e6;
            println!("| {name} | {batch} | {wall_us:.0} | {busy_us:.0} | {share:.2} | {rate:.0} |");
        }
    }
    Ok(())
}

/// Median wall time of a decode step, and of the GPU's part by events, in microseconds.
fn decode_steps(model: &BuiltinModel, batch: u32) -> Outcome<(f64, f64)> {
    let blocks = batch * (PROMPT + STEPS as u32 + 32).div_ceil(16) + 64;
    let mut config = EngineConfig::new(16, blocks);
    config.prefix_caching = false;
    config.max_running = batch;
    let device = CudaDevice::boxed(Gpu::open(0)?, model, &config, KvDtype::F16)?;
    let busy = Arc::default();
    let device = Box::new(super::spy::Spy::new(device, Arc::clone(&busy)));
    let mut engine = Engine::new(config, device, Arc::new(SystemClock::new()), Recording::off())?;
    for id in 0..batch {
        let prompt: Vec<u32> = (0..PROMPT).map(|i| i * 7 + id * 13).collect();
        engine.add(Request::new(
            u64::from(id),
            Prompt::tokens(prompt),
            STEPS as u32 + 8,
        ))?;
    }
    let mut wall = Vec::new();
    while engine.has_work() {
        let start = Instant::now();
        let summary = engine.step()?;
        if summary.requests == batch && summary.tokens == batch {
            wall.push(start.elapsed().as_nanos() as f64 / 1e3);
        }
    }
    engine.finish()?;
    let mut busy = std::mem::take(&mut *busy.lock().expect("no panic before"));
    Ok((median(&mut wall), median(&mut busy)))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
