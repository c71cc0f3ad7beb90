//! The command `kvlens`, run as a process: exit codes, messages, what it leaves behind.

mod pages;
mod reading;
mod recording;
mod recovery;
mod report;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn kvlens(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvlens"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

fn run(out: &Path, args: &[&str]) -> Output {
    let out = out.to_str().expect("a temporary path is UTF-8");
    kvlens(&[&["run", "--out", out, "--run-id", "t"], args].concat())
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> Value {
    assert_eq!(code(output), 0, "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn manifest(out: &Path) -> Value {
    let text = std::fs::read_to_string(out.join("run_id=t/run.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

/// A trace in Mooncake's format, of so many requests.
fn trace(requests: u64) -> String {
    let line = |n| {
        format!(
            "{{\"timestamp\": {}, \"input_length\": 600, \"output_length\": 20, \"hash_ids\": [0, {n}]}}\n",
            n * 10
        )
    };
    (1..=requests).map(line).collect()
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
