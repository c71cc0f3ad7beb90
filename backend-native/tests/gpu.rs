//! The checks of `kvlens-gpu-test`, where there is a GPU; elsewhere it says how many were skipped.
#![cfg(feature = "cuda")]

use std::{
    io::{Write as _, stderr},
    process::Command,
};

/// What the program exits with where there is no GPU.
const SKIPPED: i32 = 2;

#[test]
fn kernels_and_engine_match_the_cpu() {
    let run = Command::new(env!("CARGO_BIN_EXE_kvlens-gpu-test"))
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&run.stdout);
    if run.status.code() == Some(SKIPPED) {
        assert!(
            text.starts_with("skipped") && text.contains("GPU checks: no CUDA"),
            "{text}"
        );
        // Past the harness, which hides what a passing test prints, and on a line of its own.
        stderr()
            .write_all(format!("\n{text}").as_bytes())
            .expect("standard error");
        return;
    }
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(
        run.status.success(),
        "{failed:#?}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
}
