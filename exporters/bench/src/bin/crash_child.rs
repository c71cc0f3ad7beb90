//! Writes numbered rows into every table and every format until it is killed: `crash_child OUT SEED`.
//!
//! After each flush of all exporters it prints how many rows each table has. `tests/kill.rs` kills it.

use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::record::{AccessRow, BlockRow, RequestRow, StepRow, Text};
use kvlens_core::{
    Batch, Exporter, RunInfo, RunSchema, Sample, SourceIndex, SourceInfo, Tables, Value, catalog,
};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use std::io::Write;
use std::ops::Range;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, out, seed] = args.as_slice() else {
        return Err("usage: crash_child OUT SEED".into());
    };
    let mut random: u64 = seed.parse()?;
    let run = RunInfo::new("killed").with_tables(Tables::ALL);
    let schema = RunSchema::new(
        run,
        vec![SourceInfo::new("engine-0", "test")],
        vec![catalog::STEPS.clone()],
    );
    let options = ParquetOptions::default()
        .with_row_group_rows(700)
        .with_part_rows(2_100);
    let mut exporters: [Box<dyn Exporter>; 4] = [
        Box::new(Manifest::create(out)),
        Box::new(ParquetExporter::create(out, options)),
        Box::new(ArrowExporter::create(out, ArrowOptions::default())),
        Box::new(CsvExporter::create(out, CsvOptions::default())),
    ];
    for exporter in &mut exporters {
        exporter.begin(&schema)?;
    }
    let mut next = 0;
    loop {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let rows = next..next + 1 + u32::try_from(random >> 33)? % 300;
        for batch in batches(rows.clone()) {
            for exporter in &mut exporters {
                exporter.write(&batch)?;
            }
        }
        next = rows.end;
        if random >> 62 == 0 {
            for exporter in &mut exporters {
                exporter.flush()?;
            }
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "{next}")?;
            stdout.flush()?;
        }
    }
}

fn batches(rows: Range<u32>) -> [Batch; 5] {
    let source = SourceIndex(0);
    let at = |n: u32| u64::from(n) * 1_000;
    let sample = |n: u32| {
        let mut sample = Sample::default();
        sample.monotonic_ns = at(n);
        sample.merged = 1;
        sample.values = vec![Value::Counter(u64::from(n))];
        sample
    };
    let step = |n| StepRow {
        monotonic_ns: at(n),
        step: u64::from(n),
        ..StepRow::default()
    };
    let request = |n| RequestRow {
        monotonic_ns: at(n),
        request_id: Text::new(&format!("line\n\"{n}\"")),
        prompt_tokens: n,
        ..RequestRow::default()
    };
    let block = |n| BlockRow {
        monotonic_ns: at(n),
        block: n.into(),
        ..BlockRow::default()
    };
    let access = |n| AccessRow {
        monotonic_ns: at(n),
        position: n,
        ..AccessRow::default()
    };
    [
        Batch::Samples(rows.clone().map(sample).collect()),
        Batch::Steps(source, rows.clone().map(step).collect()),
        Batch::Requests(source, rows.clone().map(request).collect()),
        Batch::Blocks(source, rows.clone().map(block).collect()),
        Batch::Accesses(source, rows.map(access).collect()),
    ]
}
