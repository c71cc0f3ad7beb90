//! Several ways to read one engine: the best that answers serves, and every sample says which.

use kvlens_core::memory::{MemoryExporter, ScriptedSource};
use kvlens_core::{
    CollectorBuilder, Fallback, ManualClock, MetricDesc, MetricId, Reading, Result, RunInfo, Sink,
    SourceInfo, StatsSource, Value, catalog, conformance,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A member that fails while it is broken, and counts how often it was asked.
#[derive(Debug)]
struct Flaky {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    broken: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl StatsSource for Flaky {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert!(!self.broken.load(Ordering::Relaxed), "broken");
        sink.counter(MetricId(0), Reading::Cumulative(7));
        Ok(())
    }

    fn drain(&mut self, _sink: &mut dyn Sink) -> Result<()> {
        Ok(())
    }
}

#[test]
fn it_falls_back_and_comes_back() {
    let (broken, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let best = Flaky {
        info: SourceInfo::new("best", "test"),
        metrics: vec![catalog::STEPS.clone()],
        broken: broken.clone(),
        asked: asked.clone(),
    };
    let second = ScriptedSource::new("second")
        .with_gauge(&catalog::REQUESTS_RUNNING, (1..100).map(f64::from))
        .with_counter(&catalog::STEPS, 0..100);
    let clock = Arc::new(ManualClock::new(0));
    let members: Vec<Box<dyn StatsSource>> = vec![Box::new(best), Box::new(second)];
    let fallback = Fallback::new(SourceInfo::new("engine", "test"), members, clock.clone());
    let memory = MemoryExporter::new();
    let builder = CollectorBuilder::new(RunInfo::new("t")).clock(clock.clone());
    let mut collector = builder
        .local_source(fallback)
        .exporter(memory.clone())
        .build()
        .unwrap();

    let seconds = |s: u64| clock.advance(s * 1_000_000_000);
    collector.tick();
    collector.tick();
    assert_eq!(asked.load(Ordering::Relaxed), 1, "it waits before it tries again");
    seconds(1);
    collector.tick();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    seconds(1);
    collector.tick();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "the wait has doubled");
    broken.store(false, Ordering::Relaxed);
    seconds(1);
    collector.tick();
    collector.finish();

    let by: Vec<_> = memory
        .samples()
        .iter()
        .map(|sample| sample.served_by.clone().unwrap().to_string())
        .collect();
    assert_eq!(by, ["second", "second", "second", "second", "best", "best"]);
    let running = memory.column(&catalog::REQUESTS_RUNNING).unwrap();
    assert_eq!(
        (&running[3], &running[4]),
        (&Value::Gauge(4.0), &Value::Missing),
        "`best` does not know it"
    );
}

#[test]
fn it_passes_the_conformance_suite() {
    let member = |name| -> Box<dyn StatsSource> {
        Box::new(
            ScriptedSource::new(name)
                .with_counter(&catalog::STEPS, [1, 2, 3])
                .failing_after(2),
        )
    };
    let info = SourceInfo::new("engine", "test");
    conformance::check_source(
        Fallback::new(info, vec![member("a"), member("b")], ManualClock::new(0)),
        6,
    );
}

#[test]
fn when_all_fail_there_is_a_gap() {
    let member: Box<dyn StatsSource> = Box::new(ScriptedSource::new("only").failing_after(0));
    let fallback = Fallback::new(
        SourceInfo::new("engine", "test"),
        vec![member],
        ManualClock::new(0),
    );
    let mut collector = CollectorBuilder::new(RunInfo::new("t"))
        .local_source(fallback)
        .build()
        .unwrap();
    collector.tick();
    let problems = collector.finish().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("source `only`: the script ends in an error"));
    assert!(problems[1].contains("every member failed lately"));
}
