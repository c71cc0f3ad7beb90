//! `kvlens recover`, after a kill, a full disk, damage.

use super::{code, copy_dir, json, kvlens, manifest, run, stderr, stdout};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

#[cfg(unix)]
#[test]
fn a_killed_run_is_made_whole() {
    let out = tempfile::tempdir().unwrap();
    let args = [
        "run",
        "--run-id",
        "t",
        "--write",
        "parquet,csv,arrow",
        "--out",
        out.path().to_str().unwrap(),
    ];
    let slow = ["--arrivals", "trace", "--speed", "0.2", "--interval", "10ms"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvlens"))
        .args(args)
        .args(slow)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let run_dir = out.path().join("run_id=t");
    // The first flush comes a second after the start: wait for what it writes.
    while !has_flushed(&run_dir) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let recovered = json(&kvlens(&["recover", "--json", out.path().to_str().unwrap()]));
    let formats = recovered[0]["formats"].as_object().unwrap();
    assert!(
        formats["parquet"]["samples"]["rows"].as_u64().unwrap() > 0,
        "{recovered}"
    );
    let again = json(&kvlens(&["recover", "--json", out.path().to_str().unwrap()]));
    assert_eq!(
        again[0]["formats"]["parquet"]["samples"]["recovered_rows"], 0,
        "once is enough"
    );
    let inspected = stdout(&kvlens(&["inspect", out.path().to_str().unwrap()]));
    assert!(
        inspected.contains("was killed, and recovered since"),
        "{inspected}"
    );
    assert!(!inspected.contains("not ended"), "{inspected}");
}

/// Whether the Parquet exporter's recovery streams hold more than their schemas.
#[cfg(unix)]
fn has_flushed(run: &Path) -> bool {
    const MORE_THAN_A_SCHEMA: u64 = 150_000;
    let files = std::fs::read_dir(run.join("samples"))
        .into_iter()
        .flatten()
        .flatten();
    let streams = files.filter(|file| file.file_name().to_string_lossy().ends_with(".arrows"));
    streams
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum::<u64>()
        > MORE_THAN_A_SCHEMA
}

#[test]
fn inspect_and_recover_want_a_run() {
    let empty = tempfile::tempdir().unwrap();
    for command in ["inspect", "recover"] {
        let output = kvlens(&[command, empty.path().to_str().unwrap()]);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains("holds no run"), "{}", stderr(&output));
    }
}

/// Makes a run look as if it was killed in the middle of a line.
fn kill(run: &Path) {
    let text = std::fs::read_to_string(run.join("run.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    (manifest["clean_stop"], manifest["end"], manifest["of_the_future"]) =
        (false.into(), Value::Null, 5.into());
    std::fs::write(run.join("run.json"), manifest.to_string()).unwrap();
    let csv = run.join("requests.csv");
    let whole = std::fs::read(&csv).unwrap();
    std::fs::write(csv, [&whole[..], b"torn"].concat()).unwrap();
}

fn is_torn(run: &Path) -> bool {
    std::fs::read(run.join("requests.csv"))
        .unwrap()
        .ends_with(b"torn")
}

#[test]
fn a_run_that_can_t_be_recovered_hides_no_other_and_is_left_alone() {
    let out = tempfile::tempdir().unwrap();
    run(
        out.path(),
        &[
            "--device",
            "sim",
            "--quiet",
            "--limit",
            "2",
            "--write",
            "csv,parquet",
        ],
    );
    let good = out.path().join("run_id=t");
    kill(&good);
    let bad = [
        ("a-newer", "{\"schema_version\": 99}", "use a newer kvlens"),
        ("b-garbage", "nonsense", "is not a manifest of a run"),
        ("z-empty", "{}", "schema_version"),
    ];
    for (name, text, _) in bad {
        let dir = out.path().join(format!("run_id={name}"));
        copy_dir(&good, &dir);
        std::fs::write(dir.join("run.json"), text).unwrap();
    }
    let lost = out.path().join("run_id=lost");
    copy_dir(&good, &lost);
    std::fs::remove_file(lost.join("run.json")).unwrap();
    let output = kvlens(&["recover", out.path().to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    for (name, text, problem) in bad {
        let dir = out.path().join(format!("run_id={name}"));
        let named = |line: &str| line.contains(&format!("run_id={name}")) && line.contains(problem);
        assert!(said.lines().any(named), "{name}: {said}");
        assert!(is_torn(&dir), "{name} is not ours to change");
        assert_eq!(std::fs::read_to_string(dir.join("run.json")).unwrap(), text);
    }
    for whole in [&good, &lost] {
        assert!(
            stdout(&output).contains(whole.to_str().unwrap()),
            "{}",
            stdout(&output)
        );
        assert!(!is_torn(whole), "{}", whole.display());
    }
    assert!(!lost.join("run.json").exists());
    let marked = manifest(out.path());
    assert_eq!(
        (&marked["recovered"], &marked["of_the_future"]),
        (&true.into(), &5.into())
    );
}

#[test]
fn a_missing_manifest_is_named() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--device", "sim", "--quiet", "--limit", "2"]);
    let dir = out.path().join("run_id=t");
    std::fs::remove_file(dir.join("run.json")).unwrap();
    let output = kvlens(&["inspect", dir.to_str().unwrap()]);
    assert!(
        code(&output) == 1 && stderr(&output).contains("`run.json` is missing"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        code(&kvlens(&["recover", dir.to_str().unwrap()])),
        0,
        "the rows need none"
    );
}
