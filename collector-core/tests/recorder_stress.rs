//! Several threads record while one reads: nothing is lost, nothing is counted twice.

mod recorder_sink;

use kvlens_core::recorder::Recorder;
use kvlens_core::{Kind, MetricDesc, SourceInfo, StatsSource, Unit};
use recorder_sink::Kept;
use std::sync::atomic::{AtomicBool, Ordering};

static COUNT: MetricDesc = MetricDesc::new("count", Kind::Counter, Unit::Count, "Count.");
static SHARED: MetricDesc = MetricDesc::new("shared_ns", Kind::Histogram, Unit::Nanoseconds, "Shared.");
static ALONE: MetricDesc = MetricDesc::new("alone_ns", Kind::Histogram, Unit::Nanoseconds, "Alone.");

/// More than have a shard of their own, so that some share one.
const THREADS: u64 = 80;
const EACH: u64 = 2_000;

#[test]
fn totals_are_exact_while_a_reader_takes_deltas() {
    let recorder = Recorder::new(SourceInfo::new("engine-0", "test"));
    let (count, shared) = (
        recorder.counter(&COUNT).unwrap(),
        recorder.histogram(&SHARED).unwrap(),
    );
    recorder.histogram_writer(&ALONE).unwrap();
    let mut source = recorder.source().unwrap();
    let mut kept = Kept::default();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (recorder, count, shared, done) = (&recorder, &count, &shared, &done);
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut alone = recorder.histogram_writer(&ALONE).unwrap();
                    for i in 0..EACH {
                        count.add(i);
                        shared.record(thread * 1_000 + i);
                        alone.record(i);
                        if i % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                source.sample(&mut kept).unwrap();
                let total = kept.counters[&0];
                assert!(total >= last, "a counter never goes back");
                last = total;
            }
            source.sample(&mut kept).unwrap();
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });

    let one_sum = EACH * (EACH - 1) / 2;
    assert_eq!(
        (kept.counters[&0], count.value()),
        (THREADS * one_sum, THREADS * one_sum)
    );
    let handle = &shared;
    let (shared, alone) = (&kept.histograms[&1], &kept.histograms[&2]);
    assert_eq!((shared.count(), alone.count()), (THREADS * EACH, THREADS * EACH));
    assert_eq!(alone.sum(), THREADS * one_sum);
    assert_eq!(
        shared.sum(),
        THREADS * one_sum + EACH * 1_000 * THREADS * (THREADS - 1) / 2
    );
    // A record that races a reading can have its extreme in one interval and its bucket in the next: what intervals add
    // up to is off by at most a bucket. What is asked of the handle itself is exact.
    let largest = (THREADS - 1) * 1_000 + EACH - 1;
    for (found, largest) in [(alone, EACH - 1), (shared, largest)] {
        let bucket = |value: Option<u64>| found.config().index(value.unwrap());
        assert_eq!(bucket(found.min()), bucket(Some(0)));
        assert_eq!(bucket(found.max()), bucket(Some(largest)));
    }
    let whole = handle.quantiles(&[], &mut []);
    assert_eq!((whole.min, whole.max), (Some(0), Some(largest)));
    assert_eq!((whole.count, whole.sum), (shared.count(), shared.sum()));
}

#[test]
fn threads_that_come_and_go_use_slots_again() {
    let recorder = Recorder::new(SourceInfo::new("engine-0", "test"));
    let (count, shared) = (
        recorder.counter(&COUNT).unwrap(),
        recorder.histogram(&SHARED).unwrap(),
    );
    for round in 0..300 {
        let (count, shared) = (count.clone(), shared.clone());
        let thread = std::thread::spawn(move || {
            count.inc();
            shared.record(round);
        });
        thread.join().unwrap();
    }
    assert_eq!(count.value(), 300);
    let mut answers = [None];
    let all = shared.quantiles(&[1.0], &mut answers);
    assert_eq!(
        (all.count, all.sum, all.min, all.max),
        (300, 300 * 299 / 2, Some(0), Some(299))
    );
}
