//! pyarrow, Polars and `DuckDB` read what we write: every table, every format, equal sums.

use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::record::{AccessRow, BlockRow, Opt64, StepRow};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, Sample, SourceIndex, Tables, Value};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_export_bench::{Ids, Requests, Samples, run_schema};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use serde_json::json;
use std::path::Path;
use std::process::Command;

const ROWS: usize = 3_000;

#[test]
fn foreign_readers_agree() {
    let out = tempfile::tempdir().unwrap();
    let mut schema = run_schema("foreign");
    schema.run.tables = Tables::ALL;
    let samples = Samples::new(1, &schema).batch(200);
    let mut requests = Requests::new(2, Ids::Random).batch(ROWS);
    requests[7].request_id = "größe, \"日本\"\nzwei".into();
    requests[8].request_id = "".into();
    let step = |n: u64| StepRow {
        monotonic_ns: n * 1_000,
        step: n,
        energy_mj: if n.is_multiple_of(3) {
            Opt64::NONE
        } else {
            n.into()
        },
        ..StepRow::default()
    };
    let steps: Vec<_> = (0..ROWS as u64).map(step).collect();
    // `blocks` has no rows at all: its files must still be readable.
    let blocks: Vec<BlockRow> = Vec::new();
    let accesses = vec![
        AccessRow {
            hit: true,
            position: 3,
            ..AccessRow::default()
        };
        10
    ];
    let expected = json!({
        "samples": {"rows": samples.len(), "sums": {"merged": samples.len(), "interval_ns": samples.iter().map(|s| s.interval_ns).sum::<u64>()}, "histograms": {"step_time_ns": histogram(&samples, &schema)}},
        "requests": {"rows": ROWS, "sums": {
            "prompt_tokens": requests.iter().map(|r| u64::from(r.prompt_tokens)).sum::<u64>(),
            "e2e_latency_ns": requests.iter().filter_map(|r| r.e2e_latency_ns.get()).sum::<u64>(),
            "monotonic_ns": requests.iter().map(|r| r.monotonic_ns).sum::<u64>(),
        }},
        "steps": {"rows": ROWS, "above": {"step": [2_000, ROWS - 2_001], "energy_mj": [1_500, (1_501..ROWS).filter(|n| n % 3 != 0).count()]}, "sums": {
            "step": steps.iter().map(|s| s.step).sum::<u64>(),
            "energy_mj": steps.iter().filter_map(|s| s.energy_mj.get()).sum::<u64>(),
        }},
        "blocks": {"rows": 0, "sums": {"tokens": 0}},
        "accesses": {"rows": 10, "sums": {"position": 30}},
    });
    let source = SourceIndex(0);
    let batches = [
        Batch::Samples(samples),
        Batch::Requests(source, requests),
        Batch::Steps(source, steps),
        Batch::Blocks(source, blocks),
        Batch::Accesses(source, accesses),
    ];
    export(out.path(), &schema, &batches);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/foreign-readers.sh");
    let done = Command::new("sh")
        .arg(script)
        .arg(out.path())
        .arg(expected.to_string())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    if done.status.code() == Some(77) {
        eprintln!("skipped: foreign readers need python3 and a package index: {text}");
        return;
    }
    assert!(done.status.success(), "{text}");
    eprintln!("{text}");
}

fn histogram(samples: &[Sample], schema: &kvlens_core::RunSchema) -> [u64; 2] {
    let place = schema
        .metrics
        .iter()
        .position(|metric| metric.name == "step_time_ns")
        .unwrap();
    let mut sums = [0, 0];
    for sample in samples {
        if let Value::Histogram(histogram) = &sample.values[place] {
            sums[0] += histogram.count();
            sums[1] += histogram.sum();
        }
    }
    assert!(sums[0] > 0);
    sums
}

fn export(out: &Path, schema: &kvlens_core::RunSchema, batches: &[Batch]) {
    let parquet = ParquetOptions::default()
        .with_row_group_rows(700)
        .with_part_rows(1_400);
    let exporters: [Box<dyn Exporter>; 3] = [
        Box::new(ParquetExporter::create(out, parquet)),
        Box::new(ArrowExporter::create(out, ArrowOptions::default())),
        Box::new(CsvExporter::create(out, CsvOptions::default())),
    ];
    for mut exporter in exporters {
        exporter.begin(schema).unwrap();
        batches.iter().for_each(|batch| exporter.write(batch).unwrap());
        exporter.finish(&RunEnd::default()).unwrap();
    }
}
