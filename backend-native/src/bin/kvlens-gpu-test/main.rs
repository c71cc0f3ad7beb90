//! Checks every kernel on a real GPU against plain loops, on random ragged shapes, and the engine on it against
//! the engine on the CPU.
//!
//! `kvlens-gpu-test [seed] [quick]`: builds without CUDA, runs where the driver is. `quick` leaves out bf16 and the
//! engine, as a sanitizer wants. Exit status 1 if a check failed, 2 if there is no GPU.
#![expect(clippy::cast_precision_loss, reason = "counts of a test are far below 2^53")]

mod attention;
mod data;
mod engine;
mod moves;
mod ops;
mod reference;
mod report;

use std::process::ExitCode;

use half::{bf16, f16};
use kvlens_native::cuda::{Element, Gpu, Result};

use crate::{data::Random, report::Report};

/// Checks of a whole run: per type, then those that no type changes.
const CHECKS: usize = 2 * (moves::CHECKS + 5 * attention::SHAPES) + ops::CHECKS + engine::CHECKS;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(1);
    let gpu = match Gpu::open(0) {
        Ok(gpu) => gpu,
        Err(error) => {
            println!("skipped {CHECKS} GPU checks: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{:?}, seed {seed}", gpu.info());
    match check_all(&gpu, seed, arguments.iter().any(|a| a == "quick")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAIL {error} ({error:?})");
            ExitCode::FAILURE
        }
    }
}

fn check_all(
    gpu: &Gpu,
    seed: u64,
    quick: bool,
) -> std::result::Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let mut report = Report::default();
    ops::check_ops(gpu, &mut Random(seed), &mut report)?;
    check::<f16>(gpu, seed, &mut report)?;
    if !quick {
        check::<bf16>(gpu, seed ^ 0x5555, &mut report)?;
        engine::check_engine(seed, &mut report)?;
        report.equal("every check ran", report.count() == CHECKS);
    }
    gpu.synchronize()?;
    Ok(report.finish())
}

fn check<T: Element>(gpu: &Gpu, seed: u64, report: &mut Report) -> Result<()> {
    let mut random = Random(seed);
    moves::check_moves::<T>(gpu, &mut random, report)?;
    attention::check_decode::<T>(gpu, &mut random, report)?;
    attention::check_prefill::<T>(gpu, &mut random, report)
}
