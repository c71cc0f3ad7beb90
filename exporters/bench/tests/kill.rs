//! `kill -9` at random moments: every row flushed before it is there afterwards, none twice, in every table and format.

mod common;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_schema::DataType;
use common::{read_arrow, read_parquet};
use kvlens_core::record::Table;
use kvlens_schema::{Recovery, RunManifest};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KILLS: u64 = 20;

/// The column that numbers the rows of a table.
fn number_column(table: Table) -> &'static str {
    match table {
        Table::Samples => "steps",
        Table::Steps => "step",
        Table::Requests => "prompt_tokens",
        Table::Blocks => "block",
        Table::Accesses => "position",
    }
}

#[test]
fn every_flushed_row_survives_once() {
    let mut longest = 0;
    for seed in 1..=KILLS {
        let out = tempfile::tempdir().unwrap();
        let flushed = run_and_kill(out.path(), seed);
        let run = out.path().join("run_id=killed");
        assert!(!RunManifest::read(&run).unwrap().clean_stop);
        let first = recover(&run);
        check(&run, flushed, &first);
        let second = recover(&run);
        for (format, recovery) in ["parquet", "arrow", "csv"].iter().zip(&second) {
            assert!(
                recovery.is_clean(),
                "{format}: a second recovery finds nothing to do: {recovery:?}"
            );
        }
        check(&run, flushed, &second);
        longest = longest.max(flushed);
    }
    assert!(
        longest > 5_000,
        "some child lived long enough to seal parts: {longest}"
    );
}

/// Starts the child, kills it at a random moment after its first flush; says how many rows it had flushed at least.
fn run_and_kill(out: &Path, seed: u64) -> u64 {
    let child = Command::new(env!("CARGO_BIN_EXE_crash_child"))
        .args([out.as_os_str(), seed.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn();
    let mut child: Child = child.unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let flushed = Arc::new(Mutex::new(0));
    let told = Arc::clone(&flushed);
    let listener = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            *told.lock().unwrap() = line.parse().unwrap();
        }
    });
    // Later each time, so that the kills fall before, among and after the first sealed parts.
    while *flushed.lock().unwrap() < 1 + (seed - 1) * 300 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_micros(seed * 7_919 % 10_000));
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
    *flushed.lock().unwrap()
}

fn recover(run: &Path) -> [Recovery; 3] {
    [
        kvlens_parquet::recover(run).unwrap(),
        kvlens_arrow::recover(run).unwrap(),
        kvlens_csv::recover(run).unwrap(),
    ]
}

fn check(run: &Path, flushed: u64, [parquet, arrow, csv]: &[Recovery; 3]) {
    for table in Table::ALL {
        let name = table.name();
        let found = [
            ("parquet", parquet, read_parquet(run, table)),
            ("arrow", arrow, read_arrow(run, table)),
        ];
        for (format, recovery, batches) in found {
            let numbers = numbers(&batches, number_column(table));
            assert_numbered(&numbers, flushed, &format!("{format} {name}"));
            assert_eq!(
                recovery.tables[name].rows(),
                numbers.len() as u64,
                "{format} {name}: the report is right"
            );
        }
        assert!(
            csv.tables[name].rows() >= flushed,
            "csv {name}: {:?} < {flushed}",
            csv.tables[name]
        );
        let text = std::fs::read_to_string(run.join(format!("{name}.csv"))).unwrap();
        assert!(text.ends_with('\n'), "csv {name} ends in a whole line");
    }
}

/// Rows are 0, 1, 2, …: none is missing before the last flush, none is there twice.
fn assert_numbered(numbers: &[u64], flushed: u64, what: &str) {
    for (place, number) in (0_u64..).zip(numbers) {
        assert_eq!(*number, place, "{what}: row {place} of {}", numbers.len());
    }
    assert!(
        numbers.len() as u64 >= flushed,
        "{what}: {} rows, {flushed} were flushed",
        numbers.len()
    );
}

fn numbers(batches: &[RecordBatch], column: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    for batch in batches {
        let column = batch.column_by_name(column).unwrap();
        match column.data_type() {
            DataType::UInt32 => numbers.extend(
                column
                    .as_primitive::<UInt32Type>()
                    .values()
                    .iter()
                    .map(|n| u64::from(*n)),
            ),
            _ => numbers.extend(column.as_primitive::<UInt64Type>().values()),
        }
    }
    numbers
}
