//! What handles record is what a source hands over.

mod recorder_sink;

use kvlens_core::histogram::{Config, SparseHistogram};
use kvlens_core::recorder::{Counter, CounterWriter, Gauge, Histogram, HistogramWriter, Recorder, RowWriter};
use kvlens_core::{Error, Kind, MetricDesc, SourceInfo, StatsSource, StepRow, Unit};
use recorder_sink::Kept;

static HITS: MetricDesc = MetricDesc::new("hits", Kind::Counter, Unit::Tokens, "Hits.");
static RUNNING: MetricDesc = MetricDesc::new("running", Kind::Gauge, Unit::Requests, "Running.");
static TIME: MetricDesc = MetricDesc::new("time_ns", Kind::Histogram, Unit::Nanoseconds, "Time.");

fn recorder() -> Recorder {
    Recorder::new(SourceInfo::new("engine-0", "test"))
}

#[test]
fn counters_of_all_handles_add_up() {
    let recorder = recorder();
    let shared = recorder.counter(&HITS).unwrap();
    let (mut one, mut two) = (
        recorder.counter_writer(&HITS).unwrap(),
        recorder.counter_writer(&HITS).unwrap(),
    );
    shared.add(1);
    shared.clone().inc();
    one.add(10);
    two.inc();
    assert_eq!(shared.value(), 13);

    let mut source = recorder.source().unwrap();
    let mut kept = Kept::default();
    source.sample(&mut kept).unwrap();
    assert_eq!(kept.counters[&0], 13);
}

#[test]
fn a_dropped_writers_part_is_kept_and_used_again() {
    let recorder = recorder();
    for _ in 0..1000 {
        recorder.counter_writer(&HITS).unwrap().add(2);
        recorder.histogram_writer(&TIME).unwrap().record(7);
    }
    let mut source = recorder.source().unwrap();
    let mut kept = Kept::default();
    source.sample(&mut kept).unwrap();
    assert_eq!(kept.counters[&0], 2000);
    let time = &kept.histograms[&1];
    assert_eq!(
        (time.count(), time.sum(), time.min(), time.max()),
        (1000, 7000, Some(7), Some(7))
    );
}

#[test]
fn a_gauge_is_missing_until_set_and_after_clear() {
    let recorder = recorder();
    let gauge = recorder.gauge(&RUNNING).unwrap();
    let again = recorder.gauge(&RUNNING).unwrap();
    let mut source = recorder.source().unwrap();
    let mut sample = || {
        let mut kept = Kept::default();
        source.sample(&mut kept).unwrap();
        kept.gauges.get(&0).copied()
    };
    assert_eq!(sample(), None);
    gauge.set_u64(3);
    assert_eq!(sample(), Some(3.0));
    assert_eq!(again.value(), Some(3.0));
    again.clear();
    assert_eq!(sample(), None);
    gauge.set(f64::NAN);
    assert!(sample().unwrap().is_nan(), "NaN is the collector's to judge");
}

#[test]
fn histograms_are_handed_over_once() {
    let recorder = recorder();
    let shared = recorder.histogram(&TIME).unwrap();
    let mut writer = recorder.histogram_writer(&TIME).unwrap();
    let mut source = recorder.source().unwrap();
    let mut kept = Kept::default();

    shared.record(5);
    writer.record(1_000_000);
    source.sample(&mut kept).unwrap();
    let first = kept.last_delta[&0].clone();
    assert_eq!(
        (first.count(), first.sum(), first.min(), first.max()),
        (2, 1_000_005, Some(5), Some(1_000_000))
    );

    source.sample(&mut kept).unwrap();
    assert!(kept.last_delta[&0].is_empty());

    writer.record(70);
    source.sample(&mut kept).unwrap();
    let third = &kept.last_delta[&0];
    assert_eq!(
        (third.count(), third.sum(), third.min(), third.max()),
        (1, 70, Some(70), Some(70))
    );

    let mut now = SparseHistogram::default();
    shared.snapshot(&mut now);
    assert_eq!(
        (now.count(), now.sum(), now.min(), now.max()),
        (3, 1_000_075, Some(5), Some(1_000_000))
    );
    assert_eq!(now, kept.histograms[&0], "deltas add up to the total");
}

#[test]
fn values_at_the_ends_of_the_range_are_recorded() {
    let ends = [
        0,
        0,
        1,
        Config::DEFAULT.max_value(),
        Config::DEFAULT.max_value() + 1,
        u64::MAX,
    ];
    let recorder = recorder();
    let mut writer = recorder.histogram_writer(&TIME).unwrap();
    let mut source = recorder.source().unwrap();
    let mut kept = Kept::default();
    for (at, value) in ends.into_iter().enumerate() {
        writer.record(value);
        source.sample(&mut kept).unwrap();
        let delta = &kept.last_delta[&0];
        assert_eq!(
            (delta.count(), delta.min(), delta.max()),
            (1, Some(value), Some(value)),
            "value {at}"
        );
    }
    assert_eq!(kept.histograms[&0].count(), 6);
}

#[test]
fn registering_says_what_is_wrong() {
    let recorder = recorder();
    recorder.counter(&HITS).unwrap();
    assert!(matches!(recorder.gauge(&HITS), Err(Error::MetricKind { .. })));
    let bytes = MetricDesc::new("hits", Kind::Counter, Unit::Bytes, "Other unit.");
    assert!(matches!(
        recorder.counter(&bytes),
        Err(Error::MetricConflict { .. })
    ));
    let gauge = MetricDesc::new("hits", Kind::Gauge, Unit::Tokens, "Other kind.");
    assert!(matches!(
        recorder.gauge(&gauge),
        Err(Error::MetricConflict { .. })
    ));
    let name = MetricDesc::new("Hits!", Kind::Counter, Unit::Tokens, "Bad name.");
    assert!(matches!(
        recorder.counter_writer(&name),
        Err(Error::MetricName { .. })
    ));

    let source = recorder.source().unwrap();
    assert!(matches!(recorder.source(), Err(Error::SourceTaken { .. })));
    assert!(matches!(
        recorder.gauge(&RUNNING),
        Err(Error::RegisteredLate { .. })
    ));
    assert!(
        recorder.counter(&HITS).is_ok(),
        "a known metric gives further handles"
    );
    drop(source);
    assert!(matches!(recorder.source(), Err(Error::SourceTaken { .. })));
}

#[test]
fn noop_handles_do_nothing() {
    let (counter, gauge, histogram) = (Counter::noop(), Gauge::noop(), Histogram::noop());
    counter.add(3);
    gauge.set(1.0);
    histogram.record(3);
    assert_eq!((counter.value(), gauge.value()), (0, None));
    let mut out = SparseHistogram::default();
    out.record(1);
    histogram.snapshot(&mut out);
    assert!(out.is_empty());
    CounterWriter::noop().inc();
    HistogramWriter::noop().record(1);
    let mut rows = RowWriter::noop();
    rows.push(StepRow::default());
    assert_eq!(rows.try_push(StepRow::default()), Ok(()));
    assert_eq!(
        (rows.slots(), rows.capacity(), rows.dropped()),
        (usize::MAX, usize::MAX, 0)
    );
}
