//! Exporters beside arrow-rs used plainly on the same columns: 100 000 requests and 10 000 samples a round, to /dev/shm
//! where it is there.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, RunSchema, SourceIndex, Table, Tables};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_export_bench::{Ids, Plain, Requests, Samples, run_schema};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use std::path::Path;
use tempfile::TempDir;

type Make = fn(&Path, &RunSchema, Table) -> Box<dyn Exporter>;

const WRITERS: [(&str, Make); 6] = [
    ("parquet, 1 thread", |out, _, _| {
        Box::new(ParquetExporter::create(out, ParquetOptions::default()))
    }),
    ("parquet, 2 threads", |out, _, _| {
        Box::new(ParquetExporter::create(
            out,
            ParquetOptions::default().with_threads(2),
        ))
    }),
    ("arrow", |out, _, _| {
        Box::new(ArrowExporter::create(out, ArrowOptions::default()))
    }),
    ("arrow-rs ipc", |out, schema, table| {
        Box::new(Plain::ipc(&out.join("plain.arrow"), schema, table).unwrap())
    }),
    ("csv", |out, _, _| {
        Box::new(CsvExporter::create(out, CsvOptions::default()))
    }),
    ("arrow-rs csv", |out, schema, _| {
        Box::new(Plain::csv(&out.join("plain.csv"), schema).unwrap())
    }),
];

fn out() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn export(c: &mut Criterion, table: Table, schema: &RunSchema, batches: &[Batch]) {
    let mut group = c.benchmark_group(table.name());
    let rows: usize = batches.iter().map(Batch::len).sum();
    group
        .throughput(Throughput::Elements(rows as u64))
        .sample_size(10);
    for (name, make) in WRITERS {
        // CSV of arrow-rs has no columns for histograms.
        if table == Table::Samples && name == "arrow-rs csv" {
            continue;
        }
        let setup = || {
            let dir = out();
            let exporter = make(dir.path(), schema, table);
            (dir, exporter)
        };
        let run = |(dir, mut exporter): (TempDir, Box<dyn Exporter>)| {
            exporter.begin(schema).unwrap();
            batches.iter().for_each(|batch| exporter.write(batch).unwrap());
            exporter.finish(&RunEnd::default()).unwrap();
            dir
        };
        group.bench_function(name, |b| b.iter_batched(setup, run, BatchSize::PerIteration));
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    let mut schema = run_schema("bench");
    schema.run.tables = Tables::NONE.with(Table::Requests);
    let mut requests = Requests::new(1, Ids::Number);
    let batches: Vec<_> = (0..25)
        .map(|_| Batch::Requests(SourceIndex(0), requests.batch(4_096)))
        .collect();
    export(c, Table::Requests, &schema, &batches);

    schema.run.tables = Tables::NONE.with(Table::Samples);
    let mut samples = Samples::new(1, &schema);
    let batches: Vec<_> = (0..10).map(|_| Batch::Samples(samples.batch(1_000))).collect();
    export(c, Table::Samples, &schema, &batches);
}

criterion_group!(benches, all);
criterion_main!(benches);
