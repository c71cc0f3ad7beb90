//! A disk that fills up in mid-run: the run goes on, the message is clear, what fitted is whole.

#![cfg(target_os = "linux")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// A file system of so many bytes; unmounted when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn kvlens(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvlens"))
        .args(args)
        .output()
        .unwrap()
}

/// Copies a run to where there is room to recover it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What the exporter had accepted and still had in memory when the disk was full is lost too, and said to be.
#[test]
fn what_is_said_to_be_recorded_is_what_can_be_read_back() {
    for (format, kilobytes) in [("parquet", 250), ("parquet", 400), ("arrow", 900), ("csv", 900)] {
        let Some(disk) = Disk::new(kilobytes << 10) else {
            eprintln!("skipped: this test mounts a small tmpfs, which needs root");
            return;
        };
        let out = disk.path().to_str().unwrap();
        let args = [
            "run",
            "--device",
            "sim",
            "--interval",
            "1ms",
            "--conversations",
            "100",
        ];
        let place = ["--out", out, "--run-id", "t", "--write", format, "--json"];
        let output = kvlens(&[&args[..], &place].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{errors}");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();

        let elsewhere = tempfile::tempdir().unwrap();
        copy(disk.path(), elsewhere.path());
        let recovered = kvlens(&["recover", "--json", elsewhere.path().to_str().unwrap()]);
        let recovered: Value = serde_json::from_slice(&recovered.stdout).unwrap();
        let manifest = std::fs::read(disk.path().join("run_id=t/run.json")).unwrap();
        let end = &serde_json::from_slice::<Value>(&manifest).unwrap()["end"];
        let mut lost_rows = 0;
        for table in ["samples", "steps", "requests", "blocks"] {
            let count = |of: &str| summary[of][table].as_u64().unwrap_or(0);
            let (kept, lost) = (count("rows"), count("rows_lost"));
            lost_rows += lost;
            let found = &recovered[0]["formats"][format][table]["rows"];
            assert_eq!(found, kept, "{format}, {table}: {summary:#}");
            match table {
                "requests" => assert_eq!(kept + lost, 500),
                "steps" => assert_eq!(summary["replay"]["steps"], kept + lost),
                _ => {}
            }
            let line = format!("did not write {lost} rows of `{table}`");
            let said = |list: &Value| list.to_string().contains(&line);
            assert_eq!(said(&summary["problems"]), lost > 0, "{format}, {table}");
            if !end.is_null() {
                assert_eq!(end["rows"][table], kept + lost, "{format}, {table}");
                assert_eq!(end["rows_dropped"][table].as_u64().unwrap_or(0), lost);
                assert_eq!(said(&end["problems"]), lost > 0, "{format}, {table}");
            }
        }
        assert!(lost_rows > 0, "{format}: the disk was to be full");
    }
}

#[test]
fn a_full_disk_costs_rows_and_not_the_run() {
    let Some(disk) = Disk::new(400 << 10) else {
        eprintln!("skipped: this test mounts a small tmpfs, which needs root");
        return;
    };
    let out = disk.path().to_str().unwrap();
    let args = ["run", "--device", "sim", "--interval", "1ms"];
    let place = ["--out", out, "--run-id", "t", "--write", "csv,parquet", "--json"];
    let output = kvlens(&[&args[..], &place].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("No space left on device") && errors.contains("csv"),
        "{errors}"
    );
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        summary["replay"]["requests_finished"], 160,
        "the engine never noticed"
    );
    // A write that was cut short may have left part of a line, which a recovery takes away.
    let recovered = kvlens(&["recover", out]);
    assert!(
        recovered.status.success(),
        "{}",
        String::from_utf8_lossy(&recovered.stderr)
    );
    let csv = std::fs::read_to_string(disk.path().join("run_id=t/samples.csv")).unwrap();
    let fields: Vec<_> = csv.lines().map(|line| line.matches(',').count()).collect();
    assert!(fields.iter().all(|count| *count == fields[0]), "{fields:?}");
}
