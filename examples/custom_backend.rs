//! Reads an engine that can't be changed: implement `StatsSource`, with a metric of its own beside the standard ones.
//!
//! `cargo run --example custom_backend`

use kvlens::core::memory::MemoryExporter;
use kvlens::core::{
    CollectorBuilder, Kind, MetricDesc, MetricId, Reading, Result, RunInfo, Sink, SourceInfo, StatsSource,
    Unit, Value, catalog, conformance,
};

static DRAFT_QUEUE: MetricDesc = MetricDesc::new(
    "my_engine_draft_queue",
    Kind::Gauge,
    Unit::Requests,
    "Requests that wait for a draft.",
);

/// The engine, with whatever counters it has.
#[derive(Debug)]
struct MyEngine {
    info: SourceInfo,
    metrics: Vec<MetricDesc>,
    tokens_so_far: u64,
}

impl MyEngine {
    fn new() -> Self {
        let info = SourceInfo::new("my-engine", "my-engine").with_model("my-model");
        Self {
            info,
            metrics: vec![catalog::GENERATION_TOKENS.clone(), DRAFT_QUEUE.clone()],
            tokens_so_far: 0,
        }
    }
}

impl StatsSource for MyEngine {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn metrics(&self) -> &[MetricDesc] {
        &self.metrics
    }

    fn sample(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.tokens_so_far += 100;
        sink.counter(MetricId(0), Reading::Cumulative(self.tokens_so_far));
        sink.gauge(MetricId(1), 2.0);
        Ok(())
    }

    fn drain(&mut self, _sink: &mut dyn Sink) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn main() -> Result<()> {
    // What every backend's test should call.
    conformance::check_source(MyEngine::new(), 10);

    let memory = MemoryExporter::new();
    let builder = CollectorBuilder::new(RunInfo::new("demo"))
        .source(MyEngine::new())
        .exporter(memory.clone());
    let mut collector = builder.build()?;
    collector.tick();
    let report = collector.finish();
    println!(
        "{:?} tokens in {} samples",
        report.sources[0].counter(&catalog::GENERATION_TOKENS),
        memory.samples().len()
    );
    assert_eq!(memory.column(&DRAFT_QUEUE), Some(vec![Value::Gauge(2.0); 2]));
    Ok(())
}
