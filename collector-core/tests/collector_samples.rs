//! What the collector makes of a source's values: gaps, clamps, epochs, schedule.

use kvlens_core::histogram::{Config, SparseHistogram};
use kvlens_core::memory::{MemoryExporter, ScriptedSource};
use kvlens_core::{
    Collector, CollectorBuilder, Error, Kind, ManualClock, MetricDesc, MetricId, Reading, RequestRow, Result,
    RunInfo, Sink, SourceInfo, StatsSource, StepRow, Table, Tables, Unit, Value, catalog,
};
use std::sync::Arc;
use std::time::Duration;

fn manual(source: impl StatsSource + 'static) -> (Arc<ManualClock>, MemoryExporter, Collector) {
    let (clock, memory) = (Arc::new(ManualClock::new(1_000_000)), MemoryExporter::new());
    let collector = CollectorBuilder::new(RunInfo::new("t"))
        .clock(clock.clone())
        .interval(Duration::from_millis(10))
        .local_source(source)
        .exporter(memory.clone())
        .build()
        .unwrap();
    (clock, memory, collector)
}

/// Ticks a collector so many times, then ends it.
fn run(source: impl StatsSource + 'static, ticks: usize) -> MemoryExporter {
    let (clock, memory, mut collector) = manual(source);
    for _ in 0..ticks {
        clock.advance(10_000_000);
        collector.poll();
    }
    collector.finish();
    memory
}

fn counters(memory: &MemoryExporter, metric: &MetricDesc) -> Vec<Option<u64>> {
    let number = |value| {
        if let Value::Counter(total) = value {
            Some(total)
        } else {
            None
        }
    };
    memory.column(metric).unwrap().into_iter().map(number).collect()
}

#[test]
fn a_source_that_fails_leaves_a_gap_and_not_zeros() {
    let source = ScriptedSource::new("s")
        .with_counter(&catalog::STEPS, [5, 9])
        .failing_after(2);
    let memory = run(source, 3);
    assert_eq!(counters(&memory, &catalog::STEPS), [Some(5), Some(9), None, None]);
    assert_eq!(
        counters(&memory, &catalog::SOURCE_ERRORS)[3],
        Some(2),
        "the last sample of `finish` failed too"
    );
    assert!(memory.end().unwrap().problems[0].contains("the script ends in an error (2 times)"));
}

#[test]
fn a_counter_that_goes_back_is_clamped_and_counted() {
    let memory = run(
        ScriptedSource::new("s").with_counter(&catalog::STEPS, [5, 3, 8]),
        3,
    );
    assert_eq!(
        counters(&memory, &catalog::STEPS)[..3],
        [Some(5), Some(5), Some(8)]
    );
    assert_eq!(counters(&memory, &catalog::ANOMALIES)[2], Some(1));
}

#[test]
fn impossible_gauges_are_clamped_or_null() {
    let source = ScriptedSource::new("s")
        .with_gauge(&catalog::KV_CACHE_USAGE, [1.5, f64::NAN, 0.5])
        .with_gauge(&catalog::REQUESTS_RUNNING, [-1.0, f64::INFINITY, 2.0]);
    let memory = run(source, 3);
    let usage = memory.column(&catalog::KV_CACHE_USAGE).unwrap();
    assert_eq!(usage[..3], [Value::Gauge(1.0), Value::Missing, Value::Gauge(0.5)]);
    let running = memory.column(&catalog::REQUESTS_RUNNING).unwrap();
    assert_eq!(
        running[..3],
        [Value::Gauge(0.0), Value::Missing, Value::Gauge(2.0)]
    );
    assert_eq!(counters(&memory, &catalog::ANOMALIES)[2], Some(4));
}

#[test]
fn hits_never_exceed_queries() {
    let source = ScriptedSource::new("s")
        .with_counter(&catalog::PREFIX_CACHE_QUERIES, [10, 20])
        .with_counter(&catalog::PREFIX_CACHE_HITS, [12, 15]);
    let memory = run(source, 2);
    assert_eq!(
        counters(&memory, &catalog::PREFIX_CACHE_HITS)[..2],
        [Some(10), Some(15)]
    );
    assert_eq!(memory.end().unwrap().anomalies, 1);
}

#[derive(Debug)]
struct Restarting {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    readings: Vec<(u64, u64)>,
}

impl StatsSource for Restarting {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        if let Some((epoch, total)) = self.readings.pop() {
            sink.epoch(epoch);
            sink.counter(MetricId(0), Reading::Cumulative(total));
            sink.gauge(MetricId(0), 1.0);
            sink.gauge(MetricId(99), 1.0);
        }
        Ok(())
    }

    fn drain(&mut self, _sink: &mut dyn Sink) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_restarted_engine_goes_on_counting() {
    let (info, metrics) = (SourceInfo::new("s", "test"), vec![catalog::STEPS.clone()]);
    let memory = run(
        Restarting {
            info,
            metrics,
            readings: vec![(2, 30), (2, 4), (1, 10)],
        },
        3,
    );
    assert_eq!(
        counters(&memory, &catalog::STEPS)[..3],
        [Some(10), Some(14), Some(40)]
    );
    assert_eq!(
        counters(&memory, &catalog::ANOMALIES)[2],
        Some(6),
        "a wrong kind and a wrong id, three times"
    );
}

#[test]
fn a_late_tick_counts_what_it_missed() {
    let source = ScriptedSource::new("s").with_counter(&catalog::STEPS, [1, 2]);
    let (clock, memory, mut collector) = manual(source);
    clock.advance(35_000_000);
    collector.poll();
    assert_eq!(collector.next_tick_ns(), 40_000_000);
    clock.advance(6_000_000);
    collector.poll();
    collector.finish();
    let samples = memory.samples();
    assert_eq!(
        (samples[0].interval_ns, samples[0].overshoot_ns),
        (35_000_000, 25_000_000)
    );
    assert_eq!(
        (samples[1].interval_ns, samples[1].overshoot_ns),
        (6_000_000, 1_000_000)
    );
    assert_eq!(counters(&memory, &catalog::TICKS_MISSED)[1], Some(2));
}

#[test]
fn summaries_add_up_the_whole_run() {
    let source = ScriptedSource::new("s").with_histogram(&catalog::STEP_TIME, [&[5, 7], &[], &[9]]);
    let (clock, _, mut collector) = manual(source);
    for _ in 0..3 {
        clock.advance(10_000_000);
        collector.poll();
    }
    let report = collector.finish();
    let Value::Histogram(whole) = report.sources[0].value(&catalog::STEP_TIME) else {
        panic!("known")
    };
    let mut expected = SparseHistogram::new(Config::DEFAULT);
    [5, 7, 9].iter().for_each(|value| expected.record(*value));
    assert_eq!(*whole, expected);
}

#[test]
fn tables_that_are_off_are_not_written() {
    let memory = MemoryExporter::new();
    let tables = Tables::ALL.without(Table::Steps).without(Table::Samples);
    let source = ScriptedSource::new("s")
        .with_steps(vec![StepRow::default()])
        .with_requests(vec![RequestRow::default()]);
    let builder = CollectorBuilder::new(RunInfo::new("t").with_tables(tables)).local_source(source);
    let mut collector = builder.exporter(memory.clone()).build().unwrap();
    collector.poll();
    collector.finish();
    assert_eq!(
        (
            memory.steps().len(),
            memory.samples().len(),
            memory.requests().len()
        ),
        (0, 0, 1)
    );
}

#[test]
fn wrong_settings_are_named() {
    let build = |builder: CollectorBuilder| builder.build().map(|_| ()).unwrap_err();
    let new = || CollectorBuilder::new(RunInfo::new("t"));
    let error = build(new().interval(Duration::from_micros(10)));
    assert!(
        matches!(
            error,
            Error::Config {
                setting: "interval",
                ..
            }
        ),
        "{error}"
    );
    let twice = new()
        .local_source(ScriptedSource::new("a"))
        .local_source(ScriptedSource::new("a"));
    assert!(build(twice).to_string().contains("`a` twice"));
    let other = MetricDesc::new("steps", Kind::Gauge, Unit::Steps, "Not the catalog's.");
    let conflict = new()
        .local_source(ScriptedSource::new("a").with_counter(&catalog::STEPS, []))
        .local_source(ScriptedSource::new("b").with_gauge(&other, []));
    assert!(matches!(build(conflict), Error::MetricConflict { .. }));
    let unnamed = MetricDesc::new("Bad name", Kind::Gauge, Unit::Steps, "Not a column.");
    let error = build(new().local_source(ScriptedSource::new("a").with_gauge(&unnamed, [])));
    assert!(matches!(error, Error::MetricName { .. }));
}
