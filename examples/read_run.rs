//! Reads a run back with Arrow: a table's file is record batches, and so is a run that is still going on.
//!
//! `cargo run --example read_run`

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use kvlens::core::memory::ScriptedSource;
use kvlens::core::{StepRow, catalog};
use kvlens::schema::histogram::HistogramReader;
use kvlens::{Format, RunBuilder};
use std::error::Error;
use std::fs::File;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::temp_dir().join(format!("kvlens-read-{}", std::process::id()));
    let directory = record(&out)?;

    let mut tokens = 0;
    for batch in arrow_ipc::reader::FileReader::try_new(File::open(directory.join("steps.arrow"))?, None)? {
        let batch = batch?;
        let column = batch
            .column_by_name("generation_tokens")
            .ok_or("no such column")?;
        tokens += column
            .as_primitive::<UInt32Type>()
            .values()
            .iter()
            .map(|n| u64::from(*n))
            .sum::<u64>();
    }

    // A histogram column is a struct with ready percentiles, for any reader; ours gives the whole distribution.
    let samples = arrow_ipc::reader::FileReader::try_new(File::open(directory.join("samples.arrow"))?, None)?;
    for batch in samples {
        let batch = batch?;
        let column = batch.column_by_name("step_time_ns").ok_or("no such column")?;
        let p99 = column
            .as_struct()
            .column_by_name("p99")
            .ok_or("no percentile")?
            .as_primitive::<UInt64Type>()
            .clone();
        let histograms = HistogramReader::try_new("step_time_ns", column)?;
        for row in (0..batch.num_rows()).filter(|row| p99.is_valid(*row)) {
            println!(
                "p99 {} ns, as a distribution: {:?}",
                p99.value(row),
                histograms.value(row)?
            );
        }
    }

    println!("{tokens} tokens");
    assert_eq!(tokens, 300);
    std::fs::remove_dir_all(&out)?;
    Ok(())
}

/// Records a little run to read.
fn record(out: &std::path::Path) -> kvlens::core::Result<std::path::PathBuf> {
    let steps = (0..100)
        .map(|step| StepRow {
            step,
            generation_tokens: 3,
            ..StepRow::default()
        })
        .collect();
    let source = ScriptedSource::new("engine-0")
        .with_histogram(&catalog::STEP_TIME, [&[1_000_000, 2_000_000, 40_000_000]])
        .with_steps(steps);
    let run = RunBuilder::new(out)
        .formats([Format::Arrow])
        .source(source)
        .start()?;
    let directory = run.directory().to_owned();
    run.stop();
    Ok(directory)
}
