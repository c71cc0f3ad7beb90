//! Runs of many files, as few: the same rows, the same figures; and what is refused.

use kvlens_analysis::summary::summary;
use kvlens_analysis::{Run, ScanOptions};
use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_compact::{CompactError, CompactOptions, compact};
use kvlens_core::conformance::{sample_batches, sample_schema};
use kvlens_core::record::{StepRow, Table};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, JobInfo, RunSchema, SourceIndex};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use std::fs;
use std::path::{Path, PathBuf};

fn schema(run_id: &str) -> RunSchema {
    let mut schema = sample_schema();
    run_id.clone_into(&mut schema.run.run_id);
    schema
}

fn parquet(out: &Path) -> Box<dyn Exporter> {
    let options = ParquetOptions::default().with_part_rows(50);
    Box::new(ParquetExporter::create(out, options))
}

/// Steps of two sources that take turns, so that rows are nearly in order.
fn steps(round: u64, source: u16) -> Batch {
    let row = |step| StepRow {
        step,
        monotonic_ns: 10_000_000 + step * 1_000 + u64::from(source),
        step_time_ns: 900.into(),
        requests_running: 3,
        generation_tokens: 2,
        ..StepRow::default()
    };
    Batch::Steps(
        SourceIndex(source),
        (round * 30..(round + 1) * 30).map(row).collect(),
    )
}

fn record(out: &Path, schema: &RunSchema, mut exporters: Vec<Box<dyn Exporter>>, finish: bool) -> PathBuf {
    exporters.insert(0, Box::new(Manifest::create(out)));
    for exporter in &mut exporters {
        exporter.begin(schema).unwrap();
    }
    for exporter in &mut exporters {
        // Steps are made below: those of the standard batches go back and forth in time.
        for batch in sample_batches(schema)
            .into_iter()
            .filter(|batch| batch.table() != Table::Steps)
        {
            exporter.write(&batch).unwrap();
        }
    }
    for round in 0..40 {
        for exporter in &mut exporters {
            for batch in [steps(round, 0), steps(round, 1)] {
                exporter.write(&batch).unwrap();
            }
        }
    }
    let mut end = RunEnd::default();
    end.clean_stop = true;
    for mut exporter in exporters.into_iter().rev() {
        if finish {
            exporter.finish(&end).unwrap();
        } else {
            exporter.flush().unwrap();
        }
    }
    out.join(format!("run_id={}", schema.run.run_id))
}

/// Everything that a summary says, but where the run is and what it is called.
fn figures(run: &Run) -> serde_json::Value {
    let json = summary(run, ScanOptions::default()).unwrap().json().unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for place in ["directory", "format", "run_id"] {
        json["run"].as_object_mut().unwrap().remove(place);
    }
    json
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn a_run_of_many_parts_becomes_one_of_few_with_the_same_figures() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = record(dir.path(), &schema("r"), vec![parquet(dir.path())], true);
    let before = Run::open(&source).unwrap();
    let done = compact(
        &before,
        out.path(),
        &CompactOptions::default().with_group_rows(1_000),
    )
    .unwrap();
    let steps = done.tables["steps"];
    assert!(steps.files_before >= 40, "{steps:?}");
    assert_eq!((steps.files_after, done.tables.len()), (1, Table::ALL.len()));
    let after = Run::open(&done.path).unwrap();
    assert_eq!(figures(&after), figures(&before));
    let mut last = i64::MIN;
    after
        .scan(Table::Steps)
        .unwrap()
        .for_each(|batch| {
            let times = kvlens_analysis::Cols::new(batch).numbers("timestamp")?;
            for row in 0..batch.num_rows() {
                let at = times.get(row).map_or(0, |at| i64::try_from(at).unwrap());
                assert!(at >= last, "sorted");
                last = at;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(
        files(out.path()).len(),
        Table::ALL.len() + 1,
        "a file a table, and the manifest"
    );
    assert_eq!(done.remove_source().unwrap(), Vec::<PathBuf>::new());
    assert!(!source.exists());
}

#[test]
fn arrow_files_are_compacted_and_csv_is_refused() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arrow = Box::new(ArrowExporter::create(dir.path(), ArrowOptions::default()));
    let source = record(dir.path(), &schema("a"), vec![arrow], true);
    let before = Run::open(&source).unwrap();
    let done = compact(&before, out.path(), &CompactOptions::default()).unwrap();
    assert_eq!(figures(&Run::open(&done.path).unwrap()), figures(&before));

    let csv = Box::new(CsvExporter::create(dir.path(), CsvOptions::default()));
    let source = record(dir.path(), &schema("c"), vec![csv], true);
    let refused = compact(
        &Run::open(source).unwrap(),
        out.path(),
        &CompactOptions::default(),
    )
    .unwrap_err();
    assert!(matches!(refused, CompactError::Csv { .. }), "{refused}");
}

#[test]
fn a_source_with_more_in_it_stays() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let csv = Box::new(CsvExporter::create(dir.path(), CsvOptions::default()));
    let source = record(dir.path(), &schema("both"), vec![parquet(dir.path()), csv], true);
    let before = files(&source);
    let done = compact(
        &Run::open(&source).unwrap(),
        out.path(),
        &CompactOptions::default(),
    )
    .unwrap();
    assert_eq!(done.remove_source().unwrap(), std::slice::from_ref(&source));
    assert_eq!(files(&source), before);
}

#[test]
fn what_cannot_be_compacted_whole_is_refused_and_left_alone() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = record(dir.path(), &schema("open"), vec![parquet(dir.path())], false);
    let refused = compact(&Run::open(open).unwrap(), out.path(), &CompactOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("kvlens recover"), "{refused}");

    let source = record(dir.path(), &schema("hurt"), vec![parquet(dir.path())], true);
    let hurt = source.join("steps/part-00007.parquet");
    let bytes = fs::read(&hurt).unwrap();
    fs::write(&hurt, &bytes[..bytes.len() / 2]).unwrap();
    let before = files(&source);
    let refused = compact(
        &Run::open(&source).unwrap(),
        out.path(),
        &CompactOptions::default(),
    )
    .unwrap_err();
    assert!(refused.to_string().contains("part-00007.parquet"), "{refused}");
    assert_eq!(files(&source), before);
    assert_eq!(files(out.path()), Vec::<PathBuf>::new(), "no draft is left");

    fs::write(&hurt, &bytes).unwrap();
    compact(
        &Run::open(&source).unwrap(),
        out.path(),
        &CompactOptions::default(),
    )
    .unwrap();
    let again = compact(
        &Run::open(&source).unwrap(),
        out.path(),
        &CompactOptions::default(),
    )
    .unwrap_err();
    assert!(matches!(again, CompactError::Exists { .. }), "{again}");
}

#[test]
fn processes_that_know_different_metrics_become_one_run() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for rank in 0..3 {
        let mut schema = schema(&format!("p{rank}"));
        schema.run.job = Some(
            JobInfo::new("the job/of today")
                .with_rank(rank)
                .with_world_size(3),
        );
        if rank == 1 {
            let more = schema.metrics.pop().unwrap();
            schema.metrics.insert(0, more);
        }
        if rank == 2 {
            schema.metrics.truncate(5);
        }
        record(dir.path(), &schema, vec![parquet(dir.path())], true);
    }
    let before = Run::open(dir.path()).unwrap();
    let done = compact(&before, out.path(), &CompactOptions::default()).unwrap();
    assert_eq!(done.run_id, "job-the-job-of-today");
    assert_eq!(done.tables["steps"].rows, 3 * 2 * 40 * 30);
    let after = Run::open(&done.path).unwrap();
    assert_eq!(figures(&after), figures(&before));
    assert_eq!(after.job(), before.job());
    assert_eq!(after.manifest().members.len(), 3);
    done.remove_source().unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}
