//! `kvlens run`.

use super::{code, json, kvlens, manifest, run, stderr, stdout, trace};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn without_a_trace_it_replays_a_workload_of_its_own() {
    let out = tempfile::tempdir().unwrap();
    let summary = json(&run(out.path(), &["--limit", "6", "--json"]));
    assert_eq!(summary["replay"]["requests_finished"], 6);
    assert_eq!(summary["rows"]["requests"], 6);
    let source = &summary["sources"][0];
    assert_eq!(source["device"], "cpu");
    assert_eq!(source["counters"]["requests_finished_length"], 6);
    assert_eq!(
        source["counters"]["generation_tokens"],
        summary["replay"]["generation_tokens"]
    );
    assert_eq!(source["distributions"]["time_to_first_token_ns"]["count"], 6);
    assert!(
        source["distributions"]["time_to_first_token_ns"]["p99"].is_null(),
        "six values support no p99"
    );
    assert_eq!(manifest(out.path())["clean_stop"], true);
}

#[test]
fn the_summary_says_what_a_sample_can_t_support() {
    let out = tempfile::tempdir().unwrap();
    let output = run(out.path(), &["--limit", "6"]);
    let text = stdout(&output);
    for expected in [
        "6 requests",
        "prefix-cache hits",
        "KV blocks",
        "time to first token",
        "n<299",
        "recorded",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(stderr(&output), "", "no bar where there is no terminal");
}

#[test]
fn quiet_prints_nothing_and_records_all_the_same() {
    let out = tempfile::tempdir().unwrap();
    let output = run(
        out.path(),
        &["--limit", "2", "--quiet", "--write", "csv,arrow,parquet"],
    );
    assert_eq!(
        (code(&output), stdout(&output), stderr(&output)),
        (0, String::new(), String::new())
    );
    for file in [
        "requests.csv",
        "requests.arrow",
        "requests/part-00000.parquet",
        "steps.csv",
        "samples.csv",
    ] {
        assert!(out.path().join("run_id=t").join(file).is_file(), "{file}");
    }
}

#[test]
fn nothing_recorded_leaves_nothing() {
    let out = tempfile::tempdir().unwrap();
    let summary = json(&run(out.path(), &["--limit", "2", "--tables", "none", "--json"]));
    assert_eq!(
        (&summary["run_id"], &summary["replay"]["requests_finished"]),
        (&Value::Null, &Value::from(2))
    );
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn what_is_wrong_on_the_command_line_is_named() {
    let out = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32, &str); 11] = [
        (&["--device", "tpu"], 2, "--device tpu: write cpu, sim"),
        (&["--device", "sim:abacus"], 2, "no GPU is named `abacus`"),
        (&["--arrivals", "closed:none"], 2, "closed:8"),
        (&["--interval", "10us"], 2, "use at least 1ms"),
        (&["--interval", "0"], 2, "--interval 0: use at least 1ms"),
        (&["--interval", "soon"], 2, "such as 100ms, 30s"),
        (&["--patience", "long"], 2, "--patience long"),
        (&["--part-time", "10"], 2, "such as 100ms, 30s or 10min"),
        (&["--tables", "stepz"], 2, "samples, steps, requests"),
        (&["--trace", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (&["--run-id", "a/b"], 2, "--run-id a/b"),
    ];
    for (args, expected, message) in cases {
        let args: Vec<_> = ["run", "--out", out.path().to_str().unwrap()]
            .iter()
            .chain(args)
            .copied()
            .collect();
        let output = kvlens(&args);
        let text = stderr(&output);
        assert!(
            code(&output) == expected && text.contains(message),
            "{args:?}: {} {text}",
            code(&output)
        );
    }
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    assert_eq!(code(&kvlens(&["run", "--no-such-option"])), 2);
    if cfg!(not(feature = "store")) {
        let store = kvlens(&["run", "--out", "s3://bucket/prefix"]);
        assert!(
            code(&store) == 2 && stderr(&store).contains("feature `store`"),
            "{}",
            stderr(&store)
        );
    }
}

#[test]
fn a_run_is_not_written_over() {
    let out = tempfile::tempdir().unwrap();
    assert_eq!(code(&run(out.path(), &["--limit", "1", "--quiet"])), 0);
    let again = run(out.path(), &["--limit", "1", "--quiet"]);
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("run.json"), "{}", stderr(&again));
}

#[test]
fn a_directory_that_can_t_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = run(&file, &["--limit", "1"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("file") && stderr(&output).contains("Not a directory"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_bad_line_ends_the_run_and_what_ran_is_kept() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("trace.jsonl");
    std::fs::write(&file, trace(20) + "{\"timestamp\": 300, \"input_le").unwrap();
    let path = file.to_str().unwrap();
    let sim = ["--device", "sim", "--trace", path];
    let output = run(out.path(), &sim);
    let text = stderr(&output);
    assert_eq!(code(&output), 1, "{text}");
    assert!(
        text.contains("trace.jsonl") && text.contains("line 21") && text.contains("run_id=t"),
        "{text}"
    );
    let manifest = manifest(out.path());
    assert_eq!(manifest["end"]["rows"]["requests"], 20, "aborted ones included");
    let problem = manifest["end"]["problems"][0].as_str().unwrap();
    assert!(problem.contains("line 21"), "{problem}");
}

#[test]
fn a_bad_line_can_be_skipped_and_is_counted() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("trace.jsonl");
    std::fs::write(&file, trace(10) + "garbage\n" + &trace(5)).unwrap();
    let output = run(
        out.path(),
        &[
            "--device",
            "sim",
            "--skip-bad-lines",
            "--json",
            "--trace",
            file.to_str().unwrap(),
        ],
    );
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["replay"]["requests_finished"], 15);
    let problem = summary["problems"][0].as_str().unwrap();
    assert!(
        problem.starts_with("1 line of the trace was skipped: ")
            && problem.contains("line 11: not the JSON object"),
        "{problem}"
    );
    assert_eq!(manifest(out.path())["end"]["problems"][0], problem);
}

/// A trace of which two requests can't run with 100 blocks, between three that can.
fn too_large(dir: &Path) -> String {
    let large = |n| {
        format!(
            "{{\"timestamp\": {n}, \"input_length\": 5000, \"output_length\": 20, \"hash_ids\": [0,1,2,3,4,5,6,7,8,9]}}\n"
        )
    };
    let file = dir.join("trace.jsonl");
    std::fs::write(&file, trace(1) + &large(10) + &large(10) + &trace(2)).unwrap();
    file.display().to_string()
}

#[test]
fn refused_requests_stay_with_the_run() {
    let out = tempfile::tempdir().unwrap();
    let trace = too_large(out.path());
    let args = ["--device", "sim", "--kv-blocks", "100", "--trace", &trace];
    let output = run(out.path(), &args);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("problem   2 requests were refused, the first: request 1 needs"),
        "{text}"
    );
    let problem = &manifest(out.path())["end"]["problems"][0];
    assert!(
        problem.as_str().unwrap().starts_with("2 requests were refused"),
        "{problem}"
    );
    let inspected = stdout(&kvlens(&["inspect", out.path().to_str().unwrap()]));
    assert!(
        inspected.contains("ended, with a problem: 2 requests"),
        "{inspected}"
    );
    assert!(!inspected.contains("ended well"), "{inspected}");
    let summed = stdout(&kvlens(&["summary", out.path().to_str().unwrap()]));
    assert!(summed.contains("2 requests were refused"), "{summed}");
}

#[test]
fn quiet_tells_problems_all_the_same() {
    let out = tempfile::tempdir().unwrap();
    let trace = too_large(out.path());
    for (tables, id) in [("steps", "t"), ("none", "u")] {
        let args = [
            "--device",
            "sim",
            "--kv-blocks",
            "100",
            "--trace",
            &trace,
            "--quiet",
        ];
        let output = run(out.path(), &[&args[..], &["--tables", tables]].concat());
        assert_eq!((code(&output), stdout(&output)), (3, String::new()), "{id}");
        let said = stderr(&output);
        assert!(
            said.starts_with("kvlens: 2 requests were refused") && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn a_file_that_is_no_trace_leaves_no_run() {
    let out = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("trace.jsonl");
    std::fs::write(&file, "garbage\n").unwrap();
    let output = run(
        out.path(),
        &["--device", "sim", "--trace", file.to_str().unwrap()],
    );
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert!(
        said.contains("line 1") && said.contains("--trace-format"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn lines_end_in_no_blanks() {
    let out = tempfile::tempdir().unwrap();
    let recorded = run(out.path(), &["--device", "sim", "--limit", "3"]);
    let inspected = kvlens(&["inspect", out.path().to_str().unwrap()]);
    for output in [recorded, inspected, kvlens(&["catalog"])] {
        let text = stdout(&output);
        assert!(!text.is_empty());
        let blank = text.lines().find(|line| line.ends_with(' '));
        assert_eq!(blank, None, "{text}");
    }
}

#[test]
fn the_command_line_lies_over_the_configuration_file() {
    let out = tempfile::tempdir().unwrap();
    let config = out.path().join("run.toml");
    std::fs::write(
        &config,
        "device = \"sim\"\nlimit = 3\nblock_size = 32\njson = true\n",
    )
    .unwrap();
    let summary = json(&run(
        out.path(),
        &["--config", config.to_str().unwrap(), "--limit", "2"],
    ));
    assert_eq!(summary["replay"]["requests_finished"], 2);
    assert_eq!(summary["sources"][0]["device"], "sim");
    let attributes = &manifest(out.path())["attributes"];
    assert_eq!(
        (&attributes["block_size"], &attributes["limit"]),
        (&"32".into(), &"2".into())
    );
}

#[test]
fn a_pool_too_small_for_the_batch_preempts_both_ways() {
    for how in ["recompute", "swap"] {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("trace.jsonl");
        std::fs::write(&file, trace(40)).unwrap();
        let args = [
            "--device",
            "sim",
            "--json",
            "--arrivals",
            "burst",
            "--kv-blocks",
            "100",
            "--preempt",
            how,
        ];
        let summary = json(&run(
            out.path(),
            &[&args[..], &["--trace", file.to_str().unwrap()]].concat(),
        ));
        let counters = &summary["sources"][0]["counters"];
        assert!(
            counters[&format!("preemptions_{how}")].as_u64().unwrap() > 0,
            "{counters}"
        );
        assert_eq!(counters["generation_tokens"], 40 * 20);
        assert_eq!(counters["requests_finished_length"], 40);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_run_cleanly() {
    let out = tempfile::tempdir().unwrap();
    let args = [
        "run",
        "--run-id",
        "t",
        "--arrivals",
        "trace",
        "--speed",
        "0.01",
        "--out",
        out.path().to_str().unwrap(),
    ];
    let child = Command::new(env!("CARGO_BIN_EXE_kvlens"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.unwrap();
    while !out.path().join("run_id=t/run.json").is_file() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{}", stderr(&output));
    assert!(stdout(&output).contains("interrupted"), "{}", stdout(&output));
    let manifest = manifest(out.path());
    assert_eq!(manifest["clean_stop"], true);
    let problem = &manifest["end"]["problems"][0];
    assert!(
        problem.as_str().unwrap().contains("interrupted by a signal"),
        "{manifest}"
    );
}
