//! Records an engine of your own: register handles once, touch only them on the hot path.
//!
//! `cargo run --example embed`

use kvlens::core::recorder::Recorder;
use kvlens::core::{Clock, SourceInfo, StepRow, SystemClock, catalog};
use kvlens::{Format, RunBuilder};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let recorder = Recorder::new(SourceInfo::new("engine-0", "my-engine"));
    let running = recorder.gauge(&catalog::REQUESTS_RUNNING)?;
    let mut tokens = recorder.counter_writer(&catalog::GENERATION_TOKENS)?;
    let mut step_time = recorder.histogram_writer(&catalog::STEP_TIME)?;
    let mut steps = recorder.steps(4096);

    let clock = std::sync::Arc::new(SystemClock::new());
    let out = std::env::temp_dir().join(format!("kvlens-embed-{}", std::process::id()));
    let run = RunBuilder::new(&out)
        .formats([Format::Parquet])
        .collector(|c| c.clock(clock.clone()));
    let run = run.recorder(&recorder)?.start()?;

    for step in 0..1000 {
        let start = clock.monotonic_ns();
        // … the engine's step …
        let time = clock.monotonic_ns() - start;
        running.set_u64(8);
        tokens.add(8);
        step_time.record(time);
        steps.push(StepRow {
            monotonic_ns: start,
            step,
            step_time_ns: time.into(),
            requests_running: 8,
            generation_tokens: 8,
            ..StepRow::default()
        });
    }

    let report = run.stop();
    println!("{} steps recorded under {}", report.rows["steps"], out.display());
    assert_eq!(
        report.sources[0].counter(&catalog::GENERATION_TOKENS),
        Some(8_000)
    );
    std::fs::remove_dir_all(&out)?;
    Ok(())
}
