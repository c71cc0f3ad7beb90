//! One tick of a collector: a source with 100 metrics read, put right, merged into the summary and handed on.

use criterion::{Criterion, criterion_group, criterion_main};
use kvlens_bench::pin;
use kvlens_core::recorder::{CounterWriter, Gauge, HistogramWriter, Recorder};
use kvlens_core::run::RunEnd;
use kvlens_core::{
    Batch, Collector, CollectorBuilder, Exporter, Kind, MetricDesc, Result, RunInfo, RunSchema, SourceInfo,
    Unit,
};

/// What an engine holds: 60 counters, 25 gauges and 15 histograms.
struct Engine {
    counters: Vec<CounterWriter>,
    gauges: Vec<Gauge>,
    histograms: Vec<HistogramWriter>,
}

/// Takes everything and keeps nothing: the tick alone is measured.
#[derive(Debug)]
struct Nowhere;

impl Exporter for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }

    fn begin(&mut self, _schema: &RunSchema) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _batch: &Batch) -> Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        Ok(())
    }
}

fn set_up() -> Result<(Engine, Collector)> {
    let recorder = Recorder::new(SourceInfo::new("engine-0", "bench"));
    let desc = |kind, at| MetricDesc::owned(format!("metric_{kind}_{at}"), kind, Unit::Count, "A metric.");
    let engine = Engine {
        counters: (0..60)
            .map(|at| recorder.counter_writer(&desc(Kind::Counter, at)))
            .collect::<Result<_>>()?,
        gauges: (0..25)
            .map(|at| recorder.gauge(&desc(Kind::Gauge, at)))
            .collect::<Result<_>>()?,
        histograms: (0..15)
            .map(|at| recorder.histogram_writer(&desc(Kind::Histogram, at)))
            .collect::<Result<_>>()?,
    };
    let builder = CollectorBuilder::new(RunInfo::new("bench")).local_source(recorder.source()?);
    Ok((engine, builder.exporter(Nowhere).build()?))
}

impl Engine {
    /// What an engine does between two ticks: `records` values in every histogram.
    fn work(&mut self, records: u64) {
        self.counters.iter_mut().for_each(|counter| counter.add(3));
        self.gauges.iter().for_each(|gauge| gauge.set_u64(7));
        for histogram in &mut self.histograms {
            (0..records).for_each(|at| histogram.record(5_000_000 + at * at * 1_000));
        }
    }
}

fn tick(criterion: &mut Criterion) {
    pin(0);
    let mut group = criterion.benchmark_group("tick of 100 metrics");
    for records in [0, 10, 1_000] {
        let (mut engine, mut collector) = set_up().expect("the names are column names");
        group.bench_function(format!("{records} values a histogram"), |bencher| {
            bencher.iter_custom(|times| {
                let one = |_| {
                    engine.work(records);
                    let started = std::time::Instant::now();
                    collector.tick();
                    started.elapsed()
                };
                (0..times).map(one).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tick);
criterion_main!(benches);
