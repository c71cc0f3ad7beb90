//! One step event of 192 bytes, handed to another thread: what the pushing thread pays.
//!
//! *Local*: the same thread drains between measurements, so that only instructions count. *Full*: there is no room, and
//! the event is dropped.

use crate::{Op, Row};
use kvlens_core::histogram::{FixedHistogram, SparseHistogram};
use kvlens_core::recorder::Recorder;
use kvlens_core::{
    AccessRow, BlockRow, MetricId, Reading, RequestRow, Sink, SourceInfo, StatsSource, StepRow,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The row that ratios refer to.
pub const REFERENCE: &str = "rtrb push, local";

/// Events per run.
const EVENTS: usize = 1024;
const CAPACITY: usize = 4096;

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("kvlens RowWriter push, local", EVENTS, ours_local),
        Row::new("kvlens RowWriter push, full", EVENTS, ours_full),
        Row::new(REFERENCE, EVENTS, || {
            let (mut events, mut drain) = rtrb::RingBuffer::new(CAPACITY);
            local(
                move |event| events.push(event).is_ok(),
                move || while drain.pop().is_ok() {},
            )
        }),
        Row::new("rtrb push, full", EVENTS, || {
            let (mut events, drain) = rtrb::RingBuffer::new(EVENTS);
            while events.push(event(0)).is_ok() {}
            local(
                move |event| events.push(event).is_ok(),
                move || {
                    black_box(drain.slots());
                },
            )
        }),
    ];
    rows.extend(peers());
    rows
}

fn event(step: u64) -> StepRow {
    StepRow {
        step,
        step_time_ns: (step ^ 7).into(),
        ..StepRow::default()
    }
}

/// Times pushes; drains outside the time.
fn local(
    mut push: impl FnMut(StepRow) -> bool + Send + 'static,
    mut drain: impl FnMut() + Send + 'static,
) -> Op {
    let mut round = 0;
    Box::new(move |_| {
        round += 1;
        let start = Instant::now();
        for step in round..round + EVENTS as u64 {
            black_box(push(event(step)));
        }
        let took: Duration = start.elapsed();
        drain();
        took
    })
}

fn ours_local() -> Op {
    let recorder = Recorder::new(SourceInfo::new("bench", "bench"));
    let (mut steps, mut source) = (recorder.steps(CAPACITY), recorder.source().expect("the first"));
    let push = move |event| {
        steps.push(event);
        true
    };
    local(push, move || {
        source.drain(&mut Nowhere).expect("a recorder can always be read");
    })
}

fn ours_full() -> Op {
    let recorder = Recorder::new(SourceInfo::new("bench", "bench"));
    let mut steps = recorder.steps(EVENTS);
    while steps.try_push(event(0)).is_ok() {}
    let push = move |event| {
        steps.push(event);
        true
    };
    local(push, || {})
}

#[cfg(feature = "peers")]
fn peers() -> Vec<Row> {
    use std::sync::{Arc, mpsc};
    vec![
        Row::new("crossbeam ArrayQueue push, local", EVENTS, || {
            let queue = Arc::new(crossbeam_queue::ArrayQueue::new(CAPACITY));
            let drain = queue.clone();
            local(
                move |event| queue.push(event).is_ok(),
                move || while drain.pop().is_some() {},
            )
        }),
        Row::new("crossbeam-channel try_send, local", EVENTS, || {
            let (events, drain) = crossbeam_channel::bounded(CAPACITY);
            local(
                move |event| events.try_send(event).is_ok(),
                move || while drain.try_recv().is_ok() {},
            )
        }),
        Row::new("std sync_channel try_send, local", EVENTS, || {
            let (events, drain) = mpsc::sync_channel(CAPACITY);
            local(
                move |event| events.try_send(event).is_ok(),
                move || while drain.try_recv().is_ok() {},
            )
        }),
    ]
}

#[cfg(not(feature = "peers"))]
fn peers() -> Vec<Row> {
    vec![]
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn gauge(&mut self, _metric: MetricId, _value: f64) {}
    fn counter(&mut self, _metric: MetricId, _reading: Reading) {}
    fn histogram(&mut self, _metric: MetricId, _delta: &SparseHistogram) {}
    fn fixed_histogram(&mut self, _metric: MetricId, _delta: &FixedHistogram) {}
    fn steps(&mut self, rows: &[StepRow]) {
        black_box(rows.last());
    }
    fn requests(&mut self, _rows: &[RequestRow]) {}
    fn blocks(&mut self, _rows: &[BlockRow]) {}
    fn accesses(&mut self, _rows: &[AccessRow]) {}
    fn epoch(&mut self, _epoch: u64) {}
    fn served_by(&mut self, _member: &str) {}
    fn rows_dropped(&mut self, _rows: u64) {}
    fn anomalies(&mut self, _count: u64) {}
}
