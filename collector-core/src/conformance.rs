//! Functions that exercise any source or any exporter: a backend's or exporter's test calls them.
//!
//! They panic with what was broken, as tests do; they belong in tests only.
//!
//! ```
//! use kvlens_core::{catalog, conformance};
//! use kvlens_core::memory::{MemoryExporter, ScriptedSource};
//! conformance::check_source(ScriptedSource::new("demo").with_gauge(&catalog::REQUESTS_RUNNING, [1.0]), 10);
//! conformance::check_exporter(|| MemoryExporter::new());
//! ```

use crate::catalog;
use crate::clock::ClockAnchor;
use crate::error::Error;
use crate::exporter::Exporter;
use crate::histogram::{Config, FixedHistogram, SparseHistogram};
use crate::metric::{Kind, MetricDesc, Unit};
use crate::record::{
    AccessRow, Batch, BlockEnd, BlockRow, FinishReason, RequestRow, Sample, StepRow, Text, Value,
};
use crate::run::{RunEnd, RunInfo, RunSchema, SourceIndex, SourceInfo, Tables};
use crate::source::{MetricId, Reading, Sink, StatsSource};
use std::collections::HashSet;

/// Samples and drains a source several times and checks its contract.
///
/// # Panics
/// When the source breaks the contract: an unstable or malformed metric list, a value for a metric it does not list or of
/// another kind, a metric handed over twice in one sample, a cumulative counter that goes backwards without a new epoch,
/// rows that go back in time.
pub fn check_source(mut source: impl StatsSource, rounds: usize) {
    let (info, metrics) = (source.info().clone(), source.metrics().to_vec());
    assert!(
        !info.name.is_empty() && !info.engine.is_empty(),
        "a source has a name and an engine"
    );
    let mut names = HashSet::new();
    for metric in &metrics {
        metric.check_name().expect("metric names are column names");
        assert!(
            names.insert(&metric.name),
            "metric `{}` is listed twice",
            metric.name
        );
        if let Some(standard) = catalog::find(&metric.name) {
            assert_eq!(
                (standard.kind, standard.unit),
                (metric.kind, metric.unit),
                "`{}` is the catalog's",
                metric.name
            );
        }
    }
    let mut check = Check::new(&metrics);
    for _ in 0..rounds {
        check.seen.clear();
        // An error is allowed at any time; what came before it still counts.
        let _ = source.sample(&mut check);
        let _ = source.drain(&mut check);
        assert_eq!(source.info(), &info, "`info` does not change");
        assert_eq!(source.metrics(), metrics, "`metrics` does not change");
    }
    let boxed: Box<dyn StatsSource> = Box::new(source);
    assert_eq!(boxed.info(), &info, "a boxed source is the same source");
}

struct Check<'a> {
    metrics: &'a [MetricDesc],
    seen: HashSet<usize>,
    totals: Vec<u64>,
    epoch: Option<u64>,
    last_step: u64,
}

impl<'a> Check<'a> {
    fn new(metrics: &'a [MetricDesc]) -> Self {
        Self {
            metrics,
            seen: HashSet::new(),
            totals: vec![0; metrics.len()],
            epoch: None,
            last_step: 0,
        }
    }

    fn take(&mut self, metric: MetricId, kind: Kind) -> &'a MetricDesc {
        let desc = self.metrics.get(metric.0);
        let desc =
            desc.unwrap_or_else(|| panic!("metric {} of {} handed over", metric.0, self.metrics.len()));
        assert_eq!(desc.kind, kind, "`{}` is handed over as what it is", desc.name);
        assert!(
            self.seen.insert(metric.0),
            "`{}` is handed over once a sample",
            desc.name
        );
        desc
    }
}

impl Sink for Check<'_> {
    fn gauge(&mut self, metric: MetricId, _value: f64) {
        self.take(metric, Kind::Gauge);
    }

    fn counter(&mut self, metric: MetricId, reading: Reading) {
        let desc = self.take(metric, Kind::Counter);
        if let Reading::Cumulative(total) = reading {
            let last = std::mem::replace(&mut self.totals[metric.0], total);
            assert!(
                total >= last,
                "`{}` went from {last} to {total} without a new epoch",
                desc.name
            );
        }
    }

    fn histogram(&mut self, metric: MetricId, delta: &SparseHistogram) {
        self.take(metric, Kind::Histogram);
        let counted: u64 = delta.buckets().map(|(_, count)| count).sum();
        assert_eq!(counted, delta.count(), "a histogram's count is its buckets'");
    }

    fn fixed_histogram(&mut self, metric: MetricId, delta: &FixedHistogram) {
        self.take(metric, Kind::Histogram);
        assert!(delta.boundaries().is_sorted(), "boundaries ascend");
    }

    fn steps(&mut self, rows: &[StepRow]) {
        for row in rows {
            assert!(row.monotonic_ns >= self.last_step, "steps come oldest first");
            self.last_step = row.monotonic_ns;
        }
    }

    fn requests(&mut self, rows: &[RequestRow]) {
        assert!(
            rows.iter().all(|row| !row.request_id.as_str().is_empty()),
            "a request has an identifier"
        );
    }

    fn blocks(&mut self, rows: &[BlockRow]) {
        assert!(
            rows.iter().all(|row| row.sample_every > 0),
            "a block row says how many lives it stands for"
        );
    }

    fn accesses(&mut self, rows: &[AccessRow]) {
        assert!(
            rows.iter().all(|row| row.sample_every > 0),
            "a look-up says how many it stands for"
        );
    }

    fn epoch(&mut self, epoch: u64) {
        if self.epoch.replace(epoch).is_some_and(|before| before != epoch) {
            self.totals.fill(0);
        }
    }

    fn served_by(&mut self, member: &str) {
        assert!(!member.is_empty(), "a member has a name");
    }

    fn rows_dropped(&mut self, _rows: u64) {}

    fn anomalies(&mut self, _count: u64) {}
}

/// Runs an exporter through its life and checks its contract; `fresh` makes a new one with a new destination each time.
///
/// # Panics
/// When the exporter breaks the contract: calls out of order that succeed, batches of the contract that fail.
pub fn check_exporter<E: Exporter>(mut fresh: impl FnMut() -> E) {
    let schema = sample_schema();
    check_order(fresh(), &schema);
    let mut exporter: Box<dyn Exporter> = Box::new(fresh());
    exporter.begin(&schema).expect("begin");
    for batch in sample_batches(&schema) {
        exporter
            .write(&batch)
            .unwrap_or_else(|error| panic!("{:?}: {}", batch.table(), error.chain()));
        exporter.flush().expect("flush after every batch");
    }
    exporter
        .finish(&RunEnd {
            clean_stop: true,
            ..RunEnd::default()
        })
        .expect("finish");

    let mut empty = fresh();
    empty.begin(&schema).expect("begin");
    empty
        .finish(&RunEnd::default())
        .expect("a run without records can end");
}

fn check_order(mut exporter: impl Exporter, schema: &RunSchema) {
    assert!(!exporter.name().is_empty(), "an exporter has a name");
    let batch = Batch::Steps(SourceIndex(0), vec![StepRow::default()]);
    assert!(
        matches!(exporter.write(&batch), Err(Error::NotBegun { .. })),
        "write before begin"
    );
    assert!(
        matches!(exporter.flush(), Err(Error::NotBegun { .. })),
        "flush before begin"
    );
    assert!(
        matches!(exporter.finish(&RunEnd::default()), Err(Error::NotBegun { .. })),
        "finish before begin"
    );
    exporter.begin(schema).expect("begin");
    exporter.finish(&RunEnd::default()).expect("finish");
    assert!(
        matches!(exporter.write(&batch), Err(Error::Finished { .. })),
        "write after finish"
    );
    assert!(
        matches!(exporter.flush(), Err(Error::Finished { .. })),
        "flush after finish"
    );
    assert!(
        matches!(exporter.finish(&RunEnd::default()), Err(Error::Finished { .. })),
        "finish twice"
    );
    assert!(
        matches!(exporter.begin(schema), Err(Error::Finished { .. })),
        "begin after finish"
    );
}

/// A run of two sources with every standard metric and one of a source's own.
pub fn sample_schema() -> RunSchema {
    let sources = vec![
        SourceInfo::new("engine-0", "conformance"),
        SourceInfo::new("engine-1 \"ü\"", "conformance"),
    ];
    let mut metrics: Vec<MetricDesc> = catalog::all().cloned().collect();
    metrics.push(MetricDesc::new(
        "my_ratio",
        Kind::Gauge,
        Unit::Ratio,
        "A metric of the source's own.",
    ));
    let mut run = RunInfo::new("conformance").with_tables(Tables::ALL);
    run.clock = ClockAnchor {
        monotonic_ns: 0,
        wall_ns: 1_790_000_000_000_000_000,
        uncertainty_ns: 40,
    };
    RunSchema::new(run, sources, metrics)
}

/// Batches of every table: full values, missing values, extremes, text that wants quoting.
pub fn sample_batches(schema: &RunSchema) -> Vec<Batch> {
    let mut batches = vec![Batch::Samples(vec![
        filled_sample(schema, SourceIndex(0), 1_000),
        empty_sample(schema, SourceIndex(1), 1_500),
        filled_sample(schema, SourceIndex(0), 2_000),
    ])];
    batches.push(Batch::Steps(
        SourceIndex(0),
        vec![StepRow::default(), full_step(7), full_step(u64::from(u32::MAX))],
    ));
    batches.push(Batch::Requests(
        SourceIndex(1),
        vec![
            RequestRow::default(),
            full_request("a,\"b\"\nü"),
            full_request("42"),
        ],
    ));
    batches.push(Batch::Accesses(
        SourceIndex(0),
        vec![AccessRow::default(), full_access()],
    ));
    batches.push(Batch::Blocks(
        SourceIndex(0),
        vec![BlockRow::default(), full_block()],
    ));
    batches
}

fn empty_sample(schema: &RunSchema, source: SourceIndex, at: u64) -> Sample {
    let values = vec![Value::Missing; schema.metrics.len()];
    Sample {
        source,
        monotonic_ns: at,
        interval_ns: 500,
        merged: 1,
        values,
        ..Sample::default()
    }
}

fn filled_sample(schema: &RunSchema, source: SourceIndex, at: u64) -> Sample {
    let mut sample = empty_sample(schema, source, at);
    sample.served_by = Some("member, 1".into());
    for (value, metric) in sample.values.iter_mut().zip(&schema.metrics) {
        *value = match metric.kind {
            Kind::Counter => Value::Counter(at),
            Kind::Gauge if metric.unit == Unit::Ratio => Value::Gauge(0.25),
            Kind::Gauge => Value::Gauge(12.0),
            Kind::Histogram if metric.name == "step_tokens" => {
                Value::Fixed(FixedHistogram::new([1, 8, 64].into(), vec![0, 3, 2, 1], 200))
            }
            Kind::Histogram => Value::Histogram(histogram(at)),
        };
    }
    sample
}

fn histogram(seed: u64) -> SparseHistogram {
    let mut out = SparseHistogram::new(Config::DEFAULT);
    (0..20).for_each(|at| out.record(seed.wrapping_mul(at * at * 1_000)));
    out
}

fn full_step(step: u64) -> StepRow {
    StepRow {
        monotonic_ns: 1_000 + step,
        step,
        step_time_ns: 900.into(),
        kv_blocks_total: 100.into(),
        kv_blocks_used: 60.into(),
        kv_blocks_cached: 30.into(),
        kv_blocks_free: 10.into(),
        prefix_cache_queries: 64.into(),
        prefix_cache_hits: 32.into(),
        energy_mj: (1 << 40).into(),
        ..StepRow::default()
    }
}

fn full_request(id: &str) -> RequestRow {
    RequestRow {
        monotonic_ns: 9_000,
        arrival: 1_000,
        request_id: Text::new(id),
        finish_reason: FinishReason::Length,
        prompt_tokens: 64,
        cached_prompt_tokens: 32.into(),
        generation_tokens: 5,
        time_to_first_token_ns: 3_000.into(),
        e2e_latency_ns: 8_000.into(),
        ..RequestRow::default()
    }
}

fn full_access() -> AccessRow {
    AccessRow {
        monotonic_ns: 9_000,
        prefix_hash: u64::MAX,
        position: 3,
        sample_every: 1,
        hit: true,
        ..AccessRow::default()
    }
}

fn full_block() -> BlockRow {
    BlockRow {
        monotonic_ns: 9_000,
        block: 3.into(),
        prefix_hash: 0xdead_beef_dead_beef.into(),
        allocated: 1_000,
        cached: 2_000.into(),
        last_touched: 4_000.into(),
        freed: 4_000.into(),
        end: BlockEnd::Evicted,
        lifetime_ns: 8_000,
        idle_ns: 5_000.into(),
        sample_every: 1,
        ..BlockRow::default()
    }
}
