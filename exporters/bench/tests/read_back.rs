//! What is written is what is read: random rows through every format, value by value.

mod common;

use common::{expected, parts, read_arrow, read_parquet, rendered};
use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::conformance::{sample_batches, sample_schema};
use kvlens_core::record::{
    BlockEnd, BlockRow, FinishReason, Opt32, Opt64, Release, RequestRow, StepRow, Table, Text, Value,
};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, RunSchema, SourceIndex};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::histogram::HistogramReader;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

/// Small groups and parts, so that a few hundred rows make several of each.
fn small() -> ParquetOptions {
    ParquetOptions::default()
        .with_row_group_rows(50)
        .with_part_rows(120)
        .with_threads(2)
}

fn export(out: &Path, schema: &RunSchema, batches: &[Batch], flush_every: usize) {
    let exporters: [Box<dyn Exporter>; 3] = [
        Box::new(ParquetExporter::create(out, small())),
        Box::new(ArrowExporter::create(out, ArrowOptions::default())),
        Box::new(CsvExporter::create(out, CsvOptions::default())),
    ];
    for mut exporter in exporters {
        exporter.begin(schema).unwrap();
        for (place, batch) in batches.iter().enumerate() {
            exporter.write(batch).unwrap();
            if place % flush_every == 0 {
                exporter.flush().unwrap();
            }
        }
        exporter.finish(&RunEnd::default()).unwrap();
    }
}

fn opt64() -> impl Strategy<Value = Opt64> {
    prop::option::of(prop_oneof![0..1_000_u64, any::<u64>()]).prop_map(Opt64::from)
}

fn opt32() -> impl Strategy<Value = Opt32> {
    prop::option::of(prop_oneof![0..1_000_u32, any::<u32>()]).prop_map(Opt32::from)
}

fn step() -> impl Strategy<Value = StepRow> {
    (
        any::<u64>(),
        any::<u64>(),
        opt64(),
        opt64(),
        any::<u32>(),
        opt32(),
        opt32(),
    )
        .prop_map(|(at, step, device, energy, running, admitted, free)| StepRow {
            monotonic_ns: at,
            step,
            device_time_ns: device,
            energy_mj: energy,
            requests_running: running,
            requests_admitted: admitted,
            kv_blocks_free: free,
            ..StepRow::default()
        })
}

fn request() -> impl Strategy<Value = RequestRow> {
    let reason = prop::sample::select(vec![
        FinishReason::Stop,
        FinishReason::Error,
        FinishReason::Unknown,
    ]);
    let id = prop_oneof![
        any::<u64>().prop_map(|n| n.to_string()),
        "\\PC{0,60}",
        "[,\"\n\r ü日]{0,9}"
    ];
    (
        any::<u64>(),
        any::<u64>(),
        id,
        reason,
        opt32(),
        opt64(),
        any::<u32>(),
    )
        .prop_map(|(at, arrival, id, reason, cached, ttft, prompt)| RequestRow {
            monotonic_ns: at,
            arrival,
            request_id: Text::new(&id),
            finish_reason: reason,
            cached_prompt_tokens: cached,
            time_to_first_token_ns: ttft,
            prompt_tokens: prompt,
            ..RequestRow::default()
        })
}

fn block() -> impl Strategy<Value = BlockRow> {
    let end = prop::sample::select(vec![BlockEnd::Evicted, BlockEnd::Censored, BlockEnd::Unknown]);
    let release = prop::sample::select(vec![Release::Finished, Release::Copied, Release::Unknown]);
    (any::<u64>(), any::<u32>(), opt64(), opt64(), end, release).prop_map(
        |(at, block, hash, freed, end, release)| BlockRow {
            monotonic_ns: at,
            block: block.into(),
            prefix_hash: hash,
            freed,
            end,
            released_by: release,
            ..BlockRow::default()
        },
    )
}

fn source() -> impl Strategy<Value = SourceIndex> {
    (0_u16..2).prop_map(SourceIndex)
}

fn batch() -> impl Strategy<Value = Batch> {
    let rows = 0..90_usize;
    prop_oneof![
        (source(), prop::collection::vec(step(), rows.clone()))
            .prop_map(|(source, rows)| Batch::Steps(source, rows)),
        (source(), prop::collection::vec(request(), rows.clone()))
            .prop_map(|(source, rows)| Batch::Requests(source, rows)),
        (source(), prop::collection::vec(block(), rows))
            .prop_map(|(source, rows)| Batch::Blocks(source, rows)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_come_back(batches in prop::collection::vec(batch(), 0..12), flush_every in 1..5_usize) {
        let out = tempfile::tempdir().unwrap();
        let schema = sample_schema();
        export(out.path(), &schema, &batches, flush_every);
        let run = out.path().join("run_id=conformance");
        for table in [Table::Steps, Table::Requests, Table::Blocks] {
            let own = batches.iter().filter(|batch| batch.table() == table);
            let want: Vec<_> = own.flat_map(|batch| expected(&schema, batch)).collect();
            prop_assert_eq!(&rendered(&read_parquet(&run, table)), &want);
            prop_assert_eq!(&rendered(&read_arrow(&run, table)), &want);
            prop_assert_eq!(&read_csv(&run, table), &want);
        }
    }
}

/// Reads a CSV file with another crate's reader; times are turned back into nanoseconds by another crate too.
fn read_csv(run: &Path, table: Table) -> Vec<Vec<Option<String>>> {
    let text = fs::read(run.join(format!("{}.csv", table.name()))).unwrap();
    let lines = common_csv::parse(&text);
    let header: Vec<_> = lines[0].iter().map(|field| field.clone().unwrap()).collect();
    let is_time = |name: &str| {
        matches!(
            name,
            "timestamp" | "arrival" | "allocated" | "cached" | "last_touched" | "freed"
        )
    };
    let mut rows = Vec::new();
    for line in &lines[1..] {
        assert_eq!(line.len(), header.len(), "every line has a field a column");
        let fields = line.iter().zip(&header).map(|(field, name)| match field {
            Some(text) if is_time(name) => {
                let at: jiff::Timestamp = text.parse().unwrap();
                Some(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX).to_string())
            }
            other => other.clone(),
        });
        rows.push(fields.collect());
    }
    rows
}

/// A CSV parser on `csv-core` that tells an empty field from empty text in quotes.
mod common_csv {
    pub(crate) fn parse(text: &[u8]) -> Vec<Vec<Option<String>>> {
        let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
        while at < text.len() {
            let quoted = text[at] == b'"';
            let (field, next) = if quoted {
                quoted_field(text, at + 1)
            } else {
                plain_field(text, at)
            };
            line.push(if field.is_empty() && !quoted {
                None
            } else {
                Some(field)
            });
            if text[next] == b'\n' {
                lines.push(std::mem::take(&mut line));
            }
            at = next + 1;
        }
        lines
    }

    fn plain_field(text: &[u8], from: usize) -> (String, usize) {
        let end = from
            + text[from..]
                .iter()
                .position(|byte| matches!(byte, b',' | b'\n'))
                .unwrap();
        (String::from_utf8(text[from..end].to_vec()).unwrap(), end)
    }

    fn quoted_field(text: &[u8], mut at: usize) -> (String, usize) {
        let mut field = Vec::new();
        loop {
            match (text[at], text.get(at + 1)) {
                (b'"', Some(b'"')) => at += 1,
                (b'"', _) => return (String::from_utf8(field).unwrap(), at + 1),
                _ => {}
            }
            field.push(text[at]);
            at += 1;
        }
    }
}

#[test]
fn samples_come_back_with_their_histograms() {
    let out = tempfile::tempdir().unwrap();
    let schema = sample_schema();
    let batches = sample_batches(&schema);
    export(out.path(), &schema, &batches, 1);
    let run = out.path().join("run_id=conformance");
    let samples: Vec<_> = batches
        .iter()
        .filter_map(|batch| {
            if let Batch::Samples(samples) = batch {
                Some(samples.clone())
            } else {
                None
            }
        })
        .flatten()
        .collect();
    for batches in [
        read_parquet(&run, Table::Samples),
        read_arrow(&run, Table::Samples),
    ] {
        let mut row = 0;
        for batch in &batches {
            for (place, metric) in schema.metrics.iter().enumerate() {
                let column = batch.column_by_name(&metric.name).unwrap();
                for (at, sample) in samples[row..row + batch.num_rows()].iter().enumerate() {
                    let value = &sample.values[place];
                    if matches!(value, Value::Histogram(_) | Value::Fixed(_)) {
                        let reader = HistogramReader::try_new(&metric.name, column).unwrap();
                        assert_eq!(&reader.value(at).unwrap(), value, "{}", metric.name);
                    } else {
                        assert_eq!(column.is_null(at), *value == Value::Missing, "{}", metric.name);
                    }
                }
            }
            row += batch.num_rows();
        }
        assert_eq!(row, samples.len());
    }
}

#[test]
fn a_run_without_rows_can_be_read() {
    let out = tempfile::tempdir().unwrap();
    let schema = sample_schema();
    export(out.path(), &schema, &[], 1);
    let run = out.path().join("run_id=conformance");
    for table in Table::ALL {
        assert_eq!(
            parts(&run, table).len(),
            1,
            "a glob finds a part of {}",
            table.name()
        );
        let rows = |batches: Vec<arrow_array::RecordBatch>| {
            batches
                .iter()
                .map(arrow_array::RecordBatch::num_rows)
                .sum::<usize>()
        };
        assert_eq!(rows(read_parquet(&run, table)), 0);
        assert_eq!(rows(read_arrow(&run, table)), 0);
        let csv = fs::read_to_string(run.join(format!("{}.csv", table.name()))).unwrap();
        assert_eq!(csv.lines().count(), 1, "a header");
    }
}

#[test]
fn exporters_keep_the_contract() {
    let dirs = std::cell::RefCell::new(Vec::new());
    let fresh = || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_path_buf();
        dirs.borrow_mut().push(dir);
        path
    };
    kvlens_core::conformance::check_exporter(|| ParquetExporter::create(fresh(), small()));
    kvlens_core::conformance::check_exporter(|| ArrowExporter::create(fresh(), ArrowOptions::default()));
    kvlens_core::conformance::check_exporter(|| CsvExporter::create(fresh(), CsvOptions::default()));
    kvlens_core::conformance::check_exporter(|| kvlens_schema::Manifest::create(fresh()));
    let kept = std::cell::RefCell::new(Vec::new());
    kvlens_core::conformance::check_exporter(|| {
        let (exporter, batches) = kvlens_arrow::channel(64);
        kept.borrow_mut().push(batches);
        exporter
    });
}
