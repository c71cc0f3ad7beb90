//! Nothing on the recording side, and nothing in a collector's reading of it, allocates after warm-up.

#![expect(
    unsafe_code,
    reason = "an allocator that counts can be written in no other way"
)]

use kvlens_core::histogram::SparseHistogram;
use kvlens_core::recorder::Recorder;
use kvlens_core::{AccessRow, Kind, MetricDesc, SourceInfo, StatsSource, StepRow, Unit};
use kvlens_core::{BlockRow, MetricId, Reading, RequestRow, Sink};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting the calling thread's allocations.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged, so its guarantees hold.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Adds histogram deltas up, as a collector does under back-pressure, and looks at everything else.
#[derive(Default)]
struct Totals {
    histogram: SparseHistogram,
    readings: u64,
    rows: usize,
}

impl Sink for Totals {
    fn gauge(&mut self, _metric: MetricId, _value: f64) {
        self.readings += 1;
    }

    fn counter(&mut self, _metric: MetricId, _reading: Reading) {
        self.readings += 1;
    }

    fn histogram(&mut self, _metric: MetricId, delta: &SparseHistogram) {
        self.readings += 1;
        self.histogram.merge(delta).unwrap();
    }

    fn fixed_histogram(&mut self, _metric: MetricId, _delta: &kvlens_core::histogram::FixedHistogram) {}

    fn steps(&mut self, rows: &[StepRow]) {
        self.rows += rows.len();
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        self.rows += rows.len();
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        self.rows += rows.len();
    }

    fn accesses(&mut self, rows: &[AccessRow]) {
        self.rows += rows.len();
    }

    fn epoch(&mut self, _epoch: u64) {}

    fn served_by(&mut self, _member: &str) {}

    fn rows_dropped(&mut self, rows: u64) {
        self.readings += rows;
    }

    fn anomalies(&mut self, _count: u64) {}
}

#[test]
fn recording_and_reading_do_not_allocate_after_warm_up() {
    static COUNT: MetricDesc = MetricDesc::new("count", Kind::Counter, Unit::Count, "Count.");
    static LEVEL: MetricDesc = MetricDesc::new("level", Kind::Gauge, Unit::Count, "Level.");
    static TIME: MetricDesc = MetricDesc::new("time_ns", Kind::Histogram, Unit::Nanoseconds, "Time.");
    let recorder = Recorder::new(SourceInfo::new("engine-0", "test"));
    let (count, mut count_alone) = (
        recorder.counter(&COUNT).unwrap(),
        recorder.counter_writer(&COUNT).unwrap(),
    );
    let level = recorder.gauge(&LEVEL).unwrap();
    let (time, mut time_alone) = (
        recorder.histogram(&TIME).unwrap(),
        recorder.histogram_writer(&TIME).unwrap(),
    );
    let mut steps = recorder.steps(64);
    let mut source = recorder.source().unwrap();
    let (mut totals, mut now) = (Totals::default(), SparseHistogram::default());
    let mut round = |value: u64| {
        for i in 0..100 {
            count.add(i);
            count_alone.inc();
            level.set_u64(value);
            time.record(value * i);
            time_alone.record(value + i);
            steps.push(StepRow::default());
        }
        source.sample(&mut totals).unwrap();
        source.drain(&mut totals).unwrap();
        time.snapshot(&mut now);
        let mut answers = [None; 2];
        time.quantiles(&[0.5, 0.99], &mut answers);
        now.quantiles(&[0.5, 0.99], &mut answers);
    };

    (0..20).for_each(&mut round);
    let before = ALLOCATIONS.get();
    for _ in 0..50 {
        (0..20).for_each(&mut round);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(before > 0, "the allocator counts");
    assert_eq!(totals.histogram.count(), 200 * 20 * 51);
    assert_eq!(totals.rows, 64 * 20 * 51);
}
