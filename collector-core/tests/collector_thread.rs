//! The collector on its own thread: interval, flush, stop, drop.

use kvlens_core::memory::{MemoryExporter, ScriptedSource};
use kvlens_core::{CollectorBuilder, CollectorHandle, RunInfo, StepRow, catalog};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn spawn(source: ScriptedSource) -> (MemoryExporter, CollectorHandle) {
    let memory = MemoryExporter::new();
    let builder = CollectorBuilder::new(RunInfo::new("t")).interval(Duration::from_millis(1));
    (
        memory.clone(),
        builder.local_source(source).exporter(memory).spawn().unwrap(),
    )
}

#[test]
fn it_samples_until_it_is_stopped() {
    let (memory, handle) = spawn(ScriptedSource::new("s").with_counter(&catalog::STEPS, 0..100_000));
    while memory.samples().len() < 20 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let seen = handle.summaries(PATIENCE).unwrap()[0]
        .counter(&catalog::STEPS)
        .unwrap();
    let report = handle.stop().unwrap();
    assert!(report.sources[0].counter(&catalog::STEPS).unwrap() >= seen);
    assert_eq!(report.rows["samples"], memory.samples().len() as u64);
    let end = memory.end().unwrap();
    assert!(end.clean_stop && end.problems.is_empty(), "{end:?}");
}

#[test]
fn flush_reaches_the_exporter() {
    let (memory, handle) = spawn(ScriptedSource::new("s").with_steps(vec![StepRow::default(); 3]));
    assert!(handle.flush(PATIENCE));
    assert_eq!(
        memory.steps().len(),
        3,
        "less than a batch, and written all the same"
    );
    assert!(memory.flushes() >= 1);
    drop(handle);
}

#[test]
fn a_dropped_handle_keeps_the_data_and_says_so() {
    let (memory, handle) = spawn(ScriptedSource::new("s").with_steps(vec![StepRow::default(); 3]));
    drop(handle);
    let end = memory.end().expect("ended");
    assert!(!end.clean_stop);
    assert!(!memory.samples().is_empty(), "a last sample was taken");
}

#[test]
fn a_dropped_collector_keeps_the_data_and_says_so() {
    let memory = MemoryExporter::new();
    let source = ScriptedSource::new("s").with_steps(vec![StepRow::default(); 3]);
    drop(
        CollectorBuilder::new(RunInfo::new("t"))
            .local_source(source)
            .exporter(memory.clone())
            .build()
            .unwrap(),
    );
    assert!(!memory.end().unwrap().clean_stop);
    assert_eq!(memory.steps().len(), 3);
}
