//! Device time of replayed graphs.

use cudarc::driver::sys::CUevent_flags;
use kvlens_native::cuda::{Gpu, Result, StepGraph};

/// Replays of a measurement; the median counts.
const REPLAYS: usize = 30;

/// Median time in seconds of one replay of what `enqueue` launches: kernels over buffers that it borrows.
pub(crate) fn replayed(gpu: &Gpu, mut enqueue: impl FnMut() -> Result<()>) -> Result<f64> {
    enqueue()?;
    gpu.synchronize()?;
    let graph = StepGraph::capture(gpu, enqueue)?;
    // SAFETY: what was captured borrows its buffers from the caller, who waits for this function.
    median(gpu, || unsafe { graph.replay() })
}

/// Median time in seconds between events around `run`.
pub(crate) fn median(gpu: &Gpu, run: impl FnMut() -> Result<()>) -> Result<f64> {
    median_of(gpu, REPLAYS, run)
}

/// The same with a chosen number of repeats.
pub(crate) fn median_of(gpu: &Gpu, repeats: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let stream = gpu.stream();
    let mark = || {
        stream
            .record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))
            .expect("an event")
    };
    for _ in 0..3 {
        run()?;
    }
    gpu.synchronize()?;
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let start = mark();
        run()?;
        let end = mark();
        gpu.synchronize()?;
        times.push(f64::from(start.elapsed_ms(&end).expect("both events are over")) / 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
