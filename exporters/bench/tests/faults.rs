//! Full disks, directories that can't be written, runs that are there already: clear errors, and no row lost or doubled.

mod common;

use common::{read_arrow, read_parquet};
use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::conformance::sample_schema;
use kvlens_core::record::{StepRow, Table};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, SourceIndex};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::{Manifest, RunManifest};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn exporters(out: &Path) -> Vec<Box<dyn Exporter>> {
    let parquet = ParquetOptions::default()
        .with_row_group_rows(2_000)
        .with_part_rows(6_000);
    vec![
        Box::new(ParquetExporter::create(out, parquet)),
        Box::new(ArrowExporter::create(out, ArrowOptions::default())),
        Box::new(CsvExporter::create(out, CsvOptions::default())),
        Box::new(Manifest::create(out)),
    ]
}

fn chain(error: &kvlens_core::Error) -> String {
    error.chain()
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a-file");
    fs::write(&file, "").unwrap();
    for mut exporter in exporters(&file) {
        let text = chain(&exporter.begin(&sample_schema()).unwrap_err());
        assert!(
            text.contains("could not make the run directory") && text.contains("a-file"),
            "{text}"
        );
    }
}

#[test]
fn a_run_that_is_there_already_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for mut exporter in exporters(dir.path()) {
        exporter.begin(&sample_schema()).unwrap();
        exporter.finish(&RunEnd::default()).unwrap();
    }
    let before = listing(dir.path());
    for mut exporter in exporters(dir.path()) {
        let text = chain(&exporter.begin(&sample_schema()).unwrap_err());
        assert!(text.contains("already"), "{}: {text}", exporter.name());
    }
    assert_eq!(listing(dir.path()), before);
}

#[test]
fn a_run_that_is_still_being_written_is_not_recovered() {
    let dir = tempfile::tempdir().unwrap();
    let mut alive = exporters(dir.path());
    for exporter in &mut alive {
        exporter.begin(&sample_schema()).unwrap();
        exporter.write(&steps(0)).unwrap();
        exporter.flush().unwrap();
    }
    let run = dir.path().join("run_id=conformance");
    let before = listing(&run);
    let refused = [
        kvlens_parquet::recover(&run).unwrap_err().to_string(),
        kvlens_arrow::recover(&run).unwrap_err().to_string(),
        kvlens_csv::recover(&run).unwrap_err().to_string(),
    ];
    assert!(
        refused.iter().all(|text| text.contains("is still being written")),
        "{refused:?}"
    );
    assert_eq!(listing(&run), before);
    drop(alive);
    assert_eq!(kvlens_parquet::recover(&run).unwrap().tables["steps"].rows(), 500);
}

#[test]
fn an_unusable_run_id_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut schema = sample_schema();
    schema.run.run_id = "../escape".into();
    for mut exporter in exporters(dir.path()) {
        let text = chain(&exporter.begin(&schema).unwrap_err());
        assert!(text.contains("run id `../escape` is not usable"), "{text}");
    }
}

#[test]
fn a_newer_manifest_is_refused_by_name_and_unknown_fields_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.json");
    fs::write(
        &path,
        r#"{"schema_version": 1, "run_id": "r", "from_the_future": [1]}"#,
    )
    .unwrap();
    assert_eq!(RunManifest::read(dir.path()).unwrap().run_id, "r");
    fs::write(&path, r#"{"schema_version": 99, "nothing": "else"}"#).unwrap();
    let text = RunManifest::read(dir.path()).unwrap_err().to_string();
    assert!(text.contains("run.json") && text.contains("version 99"), "{text}");
    fs::write(&path, "{").unwrap();
    assert!(
        RunManifest::read(dir.path())
            .unwrap_err()
            .to_string()
            .contains("is not a manifest")
    );
    let missing = RunManifest::read(dir.path().join("nowhere"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("is not a run"), "{missing}");
}

/// A file system of a few megabytes, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and a word about it, where this process may not mount.
    fn mount(megabytes: u32) -> Option<Self> {
        let path = tempfile::tempdir().unwrap().keep();
        let size = format!("size={megabytes}m");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        let _ = fs::remove_dir(&path);
        eprintln!("skipped: mounting a small tmpfs is not allowed here; run as root to test a full disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

fn steps(from: u64) -> Batch {
    let row = |n| StepRow {
        monotonic_ns: n,
        step: n,
        prefill_kv_tokens: n.wrapping_mul(0x9E37_79B9_7F4A_7C15).into(),
        ..StepRow::default()
    };
    Batch::Steps(SourceIndex(0), (from..from + 500).map(row).collect())
}

/// Writes until the disk is full; says how many rows were accepted and what the error was.
fn fill(exporter: &mut dyn Exporter) -> (u64, String) {
    exporter.begin(&sample_schema()).unwrap();
    let mut accepted = 0;
    for _ in 0..20_000 {
        let written = exporter.write(&steps(accepted));
        if let Err(error) = written.and_then(|()| {
            accepted += 500;
            exporter.flush()
        }) {
            return (accepted, chain(&error));
        }
    }
    panic!("{}: the disk never filled up", exporter.name());
}

#[test]
fn a_full_disk_is_told_and_survived_when_room_comes_back() {
    for format in ["parquet", "arrow", "csv"] {
        let Some(disk) = SmallDisk::mount(6) else { return };
        let ballast = disk.0.join("ballast");
        fs::write(&ballast, vec![1; 3 << 20]).unwrap();
        let mut exporter = exporters(&disk.0)
            .into_iter()
            .find(|exporter| exporter.name() == format)
            .unwrap();
        let (accepted, text) = fill(exporter.as_mut());
        assert!(text.contains("No space left on device"), "{format}: {text}");
        assert!(
            exporter.write(&steps(accepted)).is_err(),
            "{format}: a batch is refused while the disk is full"
        );
        fs::remove_file(&ballast).unwrap();
        exporter.write(&steps(accepted)).unwrap();
        exporter.finish(&RunEnd::default()).unwrap();
        assert_numbered(
            &disk.0.join("run_id=conformance"),
            format,
            accepted + 500,
            accepted + 500,
        );
    }
}

#[test]
fn what_fits_on_a_full_disk_is_whole() {
    for format in ["parquet", "arrow", "csv"] {
        let Some(disk) = SmallDisk::mount(3) else { return };
        let mut exporter = exporters(&disk.0)
            .into_iter()
            .find(|exporter| exporter.name() == format)
            .unwrap();
        let (accepted, _) = fill(exporter.as_mut());
        let ended = exporter.finish(&RunEnd::default());
        drop(exporter);
        let run = disk.0.join("run_id=conformance");
        // A recovery needs room for what it writes: the disk grows.
        let grown = Command::new("mount")
            .args(["-o", "remount,size=20m"])
            .arg(&disk.0)
            .status()
            .unwrap();
        assert!(grown.success());
        match format {
            "parquet" => drop(kvlens_parquet::recover(&run).unwrap()),
            "arrow" => drop(kvlens_arrow::recover(&run).unwrap()),
            _ => drop(kvlens_csv::recover(&run).unwrap()),
        }
        // The last flush failed, the one before did not.
        let least = if ended.is_ok() {
            accepted
        } else {
            accepted.saturating_sub(500)
        };
        assert_numbered(&run, format, least, accepted);
    }
}

fn assert_numbered(run: &Path, format: &str, least: u64, most: u64) {
    let numbers: Vec<u64> = match format {
        "csv" => {
            let text = fs::read_to_string(run.join("steps.csv")).unwrap();
            assert!(text.ends_with('\n'));
            text.lines()
                .skip(1)
                .map(|line| line.split(',').nth(3).unwrap().parse().unwrap())
                .collect()
        }
        "arrow" => column(&read_arrow(run, Table::Steps)),
        _ => column(&read_parquet(run, Table::Steps)),
    };
    for (place, number) in (0_u64..).zip(&numbers) {
        assert_eq!(*number, place, "{format}");
    }
    let rows = numbers.len() as u64;
    assert!(
        (least..=most).contains(&rows),
        "{format}: {rows} rows, expected {least} to {most}"
    );
}

fn column(batches: &[arrow_array::RecordBatch]) -> Vec<u64> {
    use arrow_array::cast::AsArray;
    let values = |batch: &arrow_array::RecordBatch| {
        batch
            .column_by_name("step")
            .unwrap()
            .as_primitive::<arrow_array::types::UInt64Type>()
            .values()
            .to_vec()
    };
    batches.iter().flat_map(values).collect()
}

fn listing(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(listing(&entry.path()));
        } else {
            found.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}
