//! A disk that fills up in mid-run: the run goes on, the message is clear, what fitted is whole.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

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

#[test]
fn a_full_disk_costs_rows_and_not_the_run() {
    let Some(disk) = Disk::new(400 << 10) else {
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
        "--out",
        out,
        "--run-id",
        "t",
        "--write",
        "csv,parquet",
        "--json",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_kvlens"))
        .args(args)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("No space left on device") && errors.contains("csv"),
        "{errors}"
    );
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        summary["replay"]["requests_finished"], 160,
        "the engine never noticed"
    );
    // A write that was cut short may have left part of a line, which a recovery takes away.
    let recovered = Command::new(env!("CARGO_BIN_EXE_kvlens"))
        .args(["recover", out])
        .output()
        .unwrap();
    assert!(
        recovered.status.success(),
        "{}",
        String::from_utf8_lossy(&recovered.stderr)
    );
    let csv = std::fs::read_to_string(disk.path().join("run_id=t/samples.csv")).unwrap();
    let fields: Vec<_> = csv.lines().map(|line| line.matches(',').count()).collect();
    assert!(fields.iter().all(|count| *count == fields[0]), "{fields:?}");
}
