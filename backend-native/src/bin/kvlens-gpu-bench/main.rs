//! Measures the kernels on a real GPU and prints Markdown tables.
//!
//! `kvlens-gpu-bench [decode] [moves] [prefill] [engine]`, all of them by default. Builds without CUDA, runs where the
//! driver is; exit status 2 if there is no GPU.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "sizes of a benchmark are far below every limit, and rates are rounded anyway"
)]

mod clock;
mod decode;
mod engine;
mod fill;
mod moves;
mod prefill;
mod rows;
mod spy;

use std::{process::ExitCode, time::Instant};

use half::f16;
use kvlens_native::cuda::{Gpu, KvLayout};

use crate::fill::Fill;

fn main() -> ExitCode {
    let gpu = match Gpu::open(0) {
        Ok(gpu) => gpu,
        Err(error) => {
            println!("every measurement skipped: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&gpu) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAIL {error} ({error:?})");
            ExitCode::FAILURE
        }
    }
}

fn run(gpu: &Gpu) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| a == name);
    let info = gpu.info();
    println!(
        "{}, driver for CUDA {}.{}",
        info.name, info.driver.0, info.driver.1
    );
    let start = Instant::now();
    gpu.warm_up::<f16>(&KvLayout::try_new(1, 1, 16, 1, 128)?, false)?;
    println!("kernels loaded in {} ms", start.elapsed().as_millis());
    let mut fill = Fill::new(7);
    let ceiling = moves::copy_ceiling(gpu, &mut fill)?;
    println!("copy ceiling: {ceiling:.0} GB/s, read and written");
    if wanted("decode") {
        decode::run(gpu, ceiling, &mut fill)?;
    }
    if wanted("moves") {
        moves::run(gpu, ceiling, &mut fill)?;
    }
    if wanted("prefill") {
        prefill::run(gpu, &mut fill)?;
    }
    if wanted("engine") {
        engine::run()?;
    }
    Ok(())
}
