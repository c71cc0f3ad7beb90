//! Rows come out in order, once, or are counted.

mod recorder_sink;

use kvlens_core::recorder::{Overflow, Recorder};
use kvlens_core::{BlockRow, RequestRow, SourceInfo, StatsSource, StepRow};
use recorder_sink::Kept;

fn recorder() -> Recorder {
    Recorder::new(SourceInfo::new("engine-0", "test"))
}

fn step(step: u64) -> StepRow {
    StepRow {
        step,
        ..StepRow::default()
    }
}

#[test]
fn a_full_ring_drops_the_newest_and_counts_it() {
    let recorder = recorder();
    let mut steps = recorder.steps(4);
    let mut source = recorder.source().unwrap();
    let mut kept = Kept::default();
    for round in 0..10 {
        assert_eq!((steps.capacity(), steps.slots()), (4, 4));
        (0..6).for_each(|i| steps.push(step(round * 6 + i)));
        assert_eq!(steps.slots(), 0);
        source.drain(&mut kept).unwrap();
    }
    let numbers: Vec<u64> = kept.steps.iter().map(|row| row.step).collect();
    let expected: Vec<u64> = (0..60).filter(|n| n % 6 < 4).collect();
    assert_eq!(numbers, expected);
    assert_eq!((kept.dropped, steps.dropped()), (20, 20));
}

#[test]
fn try_push_gives_the_row_back_uncounted() {
    let recorder = recorder();
    let mut steps = recorder.steps(0);
    assert_eq!(steps.capacity(), 1, "a ring of nothing would drop everything");
    assert_eq!(steps.try_push(step(1)), Ok(()));
    assert_eq!(steps.try_push(step(2)), Err(step(2)));
    assert_eq!(steps.dropped(), 0);
}

#[test]
fn every_table_and_every_writer_is_drained() {
    let recorder = recorder();
    let (mut one, mut two) = (recorder.steps(2), recorder.steps(2));
    let mut source = recorder.source().unwrap();
    let (mut requests, mut blocks) = (recorder.requests(2), recorder.blocks(2));
    one.push(step(1));
    two.push(step(2));
    requests.push(RequestRow::default());
    blocks.push(BlockRow::default());
    drop((one, two, requests, blocks));
    let mut kept = Kept::default();
    source.drain(&mut kept).unwrap();
    source.drain(&mut kept).unwrap();
    assert_eq!(
        (kept.steps.len(), kept.requests, kept.blocks, kept.dropped),
        (2, 1, 1, 0)
    );
}

#[test]
fn a_blocking_writer_loses_nothing_while_it_is_read() {
    const ROWS: u64 = 20_000;
    let recorder = recorder();
    let mut steps = recorder.steps(8).with_overflow(Overflow::Block);
    let mut source = recorder.source().unwrap();
    let writer = std::thread::spawn(move || {
        (0..ROWS).for_each(|n| steps.push(step(n)));
        steps.dropped()
    });
    let mut kept = Kept::default();
    while !writer.is_finished() {
        source.drain(&mut kept).unwrap();
        std::thread::yield_now();
    }
    source.drain(&mut kept).unwrap();
    assert_eq!(writer.join().unwrap(), 0);
    assert!(kept.steps.iter().map(|row| row.step).eq(0..ROWS));
}

#[test]
fn a_blocking_writer_gives_up_without_a_reader() {
    let recorder = recorder();
    let mut steps = recorder.steps(1).with_overflow(Overflow::Block);
    steps.push(step(0));
    steps.push(step(1));
    assert_eq!(steps.dropped(), 1, "no source yet");

    let source = recorder.source().unwrap();
    let writer = std::thread::spawn(move || {
        steps.push(step(2));
        steps.dropped()
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(!writer.is_finished(), "it waits for the source to make room");
    drop(source);
    assert_eq!(writer.join().unwrap(), 2, "the source is gone");
}

#[test]
fn a_writer_on_the_collector_s_own_thread_makes_room_itself() {
    use kvlens_core::memory::MemoryExporter;
    use kvlens_core::{CollectorBuilder, RunInfo};
    use std::sync::{Arc, Mutex};

    let recorder = recorder();
    let mut steps = recorder.steps(8).with_overflow(Overflow::Block);
    let memory = MemoryExporter::new();
    let builder = CollectorBuilder::new(RunInfo::new("t")).local_source(recorder.source().unwrap());
    let collector = Arc::new(Mutex::new(Some(
        builder.exporter(memory.clone()).build().unwrap(),
    )));
    let driven = collector.clone();
    assert!(recorder.on_full(move || driven.lock().unwrap().as_mut().unwrap().poll()));
    assert!(!recorder.on_full(|| ()), "it is said once");
    (0..1_000).for_each(|n| steps.push(step(n)));
    collector.lock().unwrap().take().unwrap().finish();
    let numbers: Vec<u64> = memory.steps().iter().map(|row| row.step).collect();
    assert_eq!((numbers, steps.dropped()), ((0..1_000).collect(), 0));
}
