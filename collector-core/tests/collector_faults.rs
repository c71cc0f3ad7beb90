//! Sources that panic or hang, exporters that fail, panic, lag or stall: each is isolated, and the rest is whole.

use kvlens_core::collector::{Isolated, RowPolicy};
use kvlens_core::memory::{MemoryExporter, ScriptedSource};
use kvlens_core::run::RunEnd;
use kvlens_core::{
    Batch, CollectorBuilder, Error, Exporter, MetricDesc, Result, RunInfo, RunSchema, Sink, SourceInfo,
    StatsSource, StepRow, Table, Value, catalog, conformance,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A source that does what it is told before it counts one step.
#[derive(Debug)]
struct Told {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    script: Vec<Told1>,
    total: u64,
}

#[derive(Debug)]
enum Told1 {
    Answer,
    Panic,
    WaitFor(Receiver<()>),
}

impl Told {
    fn new(name: &str, mut script: Vec<Told1>) -> Self {
        script.reverse();
        Self {
            info: SourceInfo::new(name, "test"),
            metrics: vec![catalog::STEPS.clone()],
            script,
            total: 0,
        }
    }
}

impl StatsSource for Told {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        match self.script.pop() {
            Some(Told1::Panic) => panic!("told to"),
            Some(Told1::WaitFor(signal)) => drop(signal.recv()),
            Some(Told1::Answer) | None => {}
        }
        self.total += 1;
        sink.counter(
            kvlens_core::MetricId(0),
            kvlens_core::Reading::Cumulative(self.total),
        );
        Ok(())
    }

    fn drain(&mut self, _sink: &mut dyn Sink) -> Result<()> {
        Ok(())
    }
}

fn steps_of(memory: &MemoryExporter, source: u16) -> Vec<Value> {
    let column = memory
        .schema()
        .unwrap()
        .metrics
        .iter()
        .position(|metric| metric.name == "steps")
        .unwrap();
    let samples = memory.samples();
    let of = samples.iter().filter(|sample| sample.source.0 == source);
    of.map(|sample| sample.values[column].clone()).collect()
}

#[test]
fn a_panicking_source_harms_no_other() {
    let memory = MemoryExporter::new();
    let script = vec![Told1::Answer, Told1::Panic, Told1::Answer];
    let mut collector = CollectorBuilder::new(RunInfo::new("t"))
        .local_source(Told::new("bad", script))
        .source(Told::new("good", vec![]))
        .exporter(memory.clone())
        .build()
        .unwrap();
    (0..3).for_each(|_| collector.tick());
    let report = collector.finish();
    let count = Value::Counter;
    assert_eq!(
        steps_of(&memory, 0),
        [count(1), Value::Missing, count(2), count(3)]
    );
    assert_eq!(steps_of(&memory, 1), [count(1), count(2), count(3), count(4)]);
    assert_eq!(report.problems, ["`bad` panicked: told to"]);
}

#[test]
fn a_hanging_source_is_left_behind_and_loses_nothing() {
    let memory = MemoryExporter::new();
    let (release, signal) = channel();
    let mut collector = CollectorBuilder::new(RunInfo::new("t"))
        .source_timeout(Duration::from_millis(250))
        .source(Told::new("slow", vec![Told1::Answer, Told1::WaitFor(signal)]))
        .source(Told::new("good", vec![]))
        .exporter(memory.clone())
        .build()
        .unwrap();
    (0..3).for_each(|_| collector.tick());
    release.send(()).unwrap();
    let answered = |collector: &mut kvlens_core::Collector| {
        collector.tick();
        collector.summaries()[0].counter(&catalog::STEPS) >= Some(3)
    };
    while !answered(&mut collector) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let report = collector.finish();
    assert_eq!(
        steps_of(&memory, 0)[..3],
        [Value::Counter(1), Value::Missing, Value::Missing]
    );
    assert_eq!(
        steps_of(&memory, 1)[2],
        Value::Counter(3),
        "the other source went on"
    );
    assert!(
        report.problems[0].contains("source `slow` did not answer within 250ms"),
        "{:?}",
        report.problems
    );
}

#[test]
fn wrappers_pass_the_conformance_suite() {
    let scripted = || ScriptedSource::new("s").with_counter(&catalog::STEPS, [1, 2, 3]);
    conformance::check_source(Isolated::new(scripted(), Duration::from_secs(5)), 5);
    conformance::check_source(Box::new(scripted()), 5);
    conformance::check_exporter(MemoryExporter::new);
    conformance::check_exporter(|| Box::new(MemoryExporter::new()));
}

/// An exporter that does what it is told on every write.
#[derive(Debug)]
struct Unruly {
    inner: MemoryExporter,
    on_write: OnWrite,
}

#[derive(Debug)]
enum OnWrite {
    Fail,
    Panic,
    WaitFor(Receiver<()>),
}

impl Exporter for Unruly {
    fn name(&self) -> &'static str {
        "unruly"
    }

    fn begin(&mut self, schema: &RunSchema) -> Result<()> {
        self.inner.begin(schema)
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        match &self.on_write {
            OnWrite::Fail => return Err(Error::export("unruly", "no space left")),
            OnWrite::Panic => panic!("told to"),
            OnWrite::WaitFor(signal) => drop(signal.recv()),
        }
        self.inner.write(batch)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }

    fn finish(&mut self, end: &RunEnd) -> Result<()> {
        self.inner.finish(end)
    }
}

/// Runs 2,000 steps in batches of 100 and 20 samples through an unruly and a good exporter.
fn run(
    on_write: OnWrite,
    policy: RowPolicy,
) -> (MemoryExporter, MemoryExporter, kvlens_core::collector::RunReport) {
    // Only a test of stalls is in a hurry; elsewhere a slow machine must not look like one.
    let stalls = matches!(&on_write, OnWrite::WaitFor(_)) && policy == RowPolicy::Wait;
    let stall_timeout = if stalls {
        Duration::from_millis(400)
    } else {
        Duration::from_secs(60)
    };
    let (bad, good) = (MemoryExporter::new(), MemoryExporter::new());
    let mut source = ScriptedSource::new("s").with_histogram(&catalog::STEP_TIME, [&[5]; 20]);
    for batch in 0..20_u64 {
        let row = |at| StepRow {
            step: batch * 100 + at,
            ..StepRow::default()
        };
        source = source.with_steps((0..100).map(row).collect());
    }
    let mut collector = CollectorBuilder::new(RunInfo::new("t"))
        .row_policy(policy)
        .stall_timeout(stall_timeout)
        .batch_rows(100)
        // Every sample is handed over at once, and can wait for its exporter.
        .flush_interval(Duration::ZERO)
        .local_source(source)
        .exporter(good.clone())
        .exporter(Unruly {
            inner: bad.clone(),
            on_write,
        })
        .build()
        .unwrap();
    for _ in 0..20 {
        collector.tick();
        collector.poll();
    }
    (bad, good, collector.finish())
}

fn recorded(memory: &MemoryExporter) -> (usize, u64) {
    let times = memory.column(&catalog::STEP_TIME).unwrap();
    let count = |value: &Value| {
        if let Value::Histogram(delta) = value {
            delta.count()
        } else {
            0
        }
    };
    (memory.steps().len(), times.iter().map(count).sum())
}

#[test]
fn a_failing_exporter_leaves_the_others_whole() {
    let (bad, good, report) = run(OnWrite::Fail, RowPolicy::Wait);
    assert_eq!(recorded(&good), (2_000, 20));
    assert!(bad.end().is_some(), "it may still save what it can");
    let text = report.problems.join("\n");
    assert!(text.contains("exporter `unruly`: no space left"), "{text}");
    assert!(
        text.contains("failed 8 times in a row and is written to no more"),
        "{text}"
    );
    assert!(
        text.contains("exporter `unruly` did not write 2000 rows of `steps`"),
        "{text}"
    );
    assert!(
        good.end()
            .unwrap()
            .problems
            .iter()
            .any(|problem| problem.contains("no space left"))
    );
}

#[test]
fn a_panicking_exporter_leaves_the_others_whole() {
    let (bad, good, report) = run(OnWrite::Panic, RowPolicy::Wait);
    assert_eq!(recorded(&good), (2_000, 20));
    assert!(bad.end().is_none(), "it is not called again");
    assert!(
        report.problems[0].contains("`unruly` panicked: told to"),
        "{:?}",
        report.problems
    );
}

#[test]
fn a_stalled_exporter_is_given_up_and_the_others_are_whole() {
    let (never, signal): (Sender<()>, _) = channel();
    let (_, good, report) = run(OnWrite::WaitFor(signal), RowPolicy::Wait);
    assert_eq!(recorded(&good), (2_000, 20));
    let text = report.problems.join("\n");
    assert!(
        text.contains("exporter `unruly` made no progress for 400ms and was given up"),
        "{text}"
    );
    drop(never);
}

#[test]
fn a_lagging_exporter_gets_coarser_samples_with_the_same_totals() {
    let (release, signal) = channel();
    let free = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        while release.send(()).is_ok() {
            std::thread::sleep(Duration::from_micros(50));
        }
    });
    let (bad, good, report) = run(OnWrite::WaitFor(signal), RowPolicy::DropNewest);
    free.join().unwrap();
    assert_eq!(recorded(&bad).1, 20, "no value is lost: {:?}", report.problems);
    assert_eq!(recorded(&good).1, 20);
    let merged: u32 = bad.samples().iter().map(|sample| sample.merged).sum();
    assert_eq!(merged, 21, "20 samples and the last one");
    assert!(bad.samples().len() < 21, "while it lagged, samples were merged");
    let lost = report
        .rows_lost
        .get(&("unruly".to_owned(), "steps".to_owned()))
        .copied()
        .unwrap_or(0);
    assert_eq!(
        recorded(&bad).0 as u64 + lost,
        2_000,
        "rows are written or counted as dropped"
    );
}

/// Accepts everything and has no room for the last steps of it when the run ends.
#[derive(Debug)]
struct Full(MemoryExporter);

impl Exporter for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn begin(&mut self, run: &RunSchema) -> Result<()> {
        self.0.begin(run)
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.0.write(batch)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        Err(Error::export("full", "no space left"))
    }

    fn unwritten(&self, table: Table) -> u64 {
        if table == Table::Steps { 7 } else { 0 }
    }
}

#[test]
fn what_was_accepted_and_not_written_is_lost_too() {
    let first = MemoryExporter::new();
    let row = |step| StepRow {
        step,
        ..StepRow::default()
    };
    let collector = CollectorBuilder::new(RunInfo::new("t"))
        .local_source(ScriptedSource::new("s").with_steps((0..10).map(row).collect()))
        .exporter(first.clone())
        .exporter(Box::new(Full(MemoryExporter::new())) as Box<dyn Exporter>)
        .build()
        .unwrap();
    collector.add_problem("the owner met something");
    let report = collector.finish();
    assert_eq!((report.rows["steps"], report.rows_kept()["steps"]), (10, 3));
    assert_eq!(report.rows_kept()["samples"], 1);
    let line = "exporter `full` did not write 7 rows of `steps`".to_owned();
    let end = first.end().unwrap();
    assert_eq!((end.rows["steps"], end.rows_dropped["steps"]), (10, 7));
    for problems in [&report.problems, &end.problems] {
        assert!(problems.contains(&line), "{problems:?}");
        assert_eq!(problems[0], "the owner met something");
    }
}

/// Writes a batch whenever it is let, and says what it did.
#[derive(Debug)]
struct Behind {
    let_go: Receiver<()>,
    did: Sender<&'static str>,
}

impl Exporter for Behind {
    fn name(&self) -> &'static str {
        "behind"
    }

    fn begin(&mut self, _run: &RunSchema) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _batch: &Batch) -> Result<()> {
        let _ = self.let_go.recv();
        let _ = self.did.send("write");
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let _ = self.did.send("flush");
        Ok(())
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        Ok(())
    }
}

/// A queue that is always full has no room for a flush, and what is not flushed is lost with the process.
#[test]
fn an_exporter_that_is_always_behind_flushes_all_the_same() {
    let (go, let_go) = channel();
    let (did, done) = channel();
    let mut collector = CollectorBuilder::new(RunInfo::new("t"))
        .source(Told::new("engine-0", vec![]))
        .exporter(Behind { let_go, did })
        .row_policy(RowPolicy::DropNewest)
        .flush_interval(Duration::ZERO)
        .build()
        .unwrap();
    // Batches of samples until there is room for none: only then is a flush asked for.
    (0..10_000).for_each(|_| collector.tick());
    collector.poll();
    go.send(()).unwrap();
    let next = || done.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!([next(), next()], ["write", "flush"]);
    drop(go);
    collector.finish();
}

#[test]
fn when_one_exporter_can_t_begin_those_before_it_end() {
    let memory = MemoryExporter::new();
    let used = MemoryExporter::new();
    used.clone().begin(&conformance::sample_schema()).unwrap();
    let builder = CollectorBuilder::new(RunInfo::new("t"))
        .exporter(memory.clone())
        .exporter(used);
    assert!(builder.build().is_err());
    assert!(!memory.end().unwrap().clean_stop);
}
