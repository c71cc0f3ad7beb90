//! `kvlens sql`, run as a process.

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn kvlens(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvlens"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Records a run of so many requests.
fn record(out: &Path, run_id: &str, requests: &str) {
    let out = out.to_str().expect("a temporary path is UTF-8");
    stdout(&kvlens(
        &[
            "run", "--out", out, "--run-id", run_id, "--limit", requests, "--quiet",
        ],
        "",
    ));
}

#[test]
fn answers_come_in_the_form_asked_for() {
    let out = tempfile::tempdir().unwrap();
    record(out.path(), "a", "3");
    record(out.path(), "b", "5");
    let runs = out.path().to_str().unwrap();
    let query = "select run_id, count(*) as n, min(request_id) is null as missing from requests group by run_id order by run_id";
    let table = stdout(&kvlens(&["sql", runs, query], ""));
    assert_eq!(
        table,
        " run_id  n  missing \n a       3  false   \n b       5  false   \n"
    );
    let csv = stdout(&kvlens(&["sql", runs, query, "--csv"], ""));
    assert_eq!(csv, "run_id,n,missing\na,3,false\nb,5,false\n");
    let json: Value = serde_json::from_str(&stdout(&kvlens(&["sql", runs, query, "--json"], ""))).unwrap();
    assert_eq!(
        json[1],
        serde_json::json!({"run_id": "b", "n": 5, "missing": false})
    );
    let markdown = stdout(&kvlens(&["sql", runs, "--markdown", "-c", query], ""));
    assert!(
        markdown.starts_with("| run_id | n | missing |\n|--------|---|---------|\n"),
        "{markdown}"
    );
    let piped = stdout(&kvlens(
        &["sql", runs, "--csv"],
        &format!("select 1 as x; {query};"),
    ));
    assert!(
        piped.ends_with("b,5,false\n") && piped.starts_with("x\n1\n"),
        "{piped}"
    );
}

#[test]
fn an_answer_can_be_kept_and_asked_again() {
    let out = tempfile::tempdir().unwrap();
    record(out.path(), "a", "8");
    let runs = out.path().to_str().unwrap();
    let kept = out.path().join("merged.parquet");
    let kept = kept.to_str().unwrap();
    let merge = "select source, hist_merge(time_to_first_token_ns) as ttft from samples group by source";
    assert_eq!(stdout(&kvlens(&["sql", runs, merge, "-o", kept], "")), "");
    let again = format!(
        "create external table kept stored as parquet location '{kept}'; select hist_count(ttft) as n from kept"
    );
    let answer = stdout(&kvlens(&["sql", runs, "--csv"], &again));
    assert!(answer.ends_with("n\n8\n"), "{answer}");
    let error = refused(&kvlens(&["sql", runs, merge, "--csv"], ""), 1);
    assert!(
        error.contains("CSV can't hold column `ttft`") && error.contains("ttft.p99"),
        "{error}"
    );
}

#[test]
fn mistakes_are_told_with_the_mend() {
    let out = tempfile::tempdir().unwrap();
    record(out.path(), "a", "1");
    let runs = out.path().to_str().unwrap();
    let error = refused(&kvlens(&["sql", runs, "select ttft from samples"], ""), 1);
    assert!(
        error.contains("ttft") && error.contains("Valid fields"),
        "{error}"
    );
    let error = refused(&kvlens(&["sql", runs, "select from where"], ""), 1);
    assert!(error.starts_with("kvlens: the query failed"), "{error}");
    let error = refused(&kvlens(&["sql", "select 1"], ""), 2);
    assert!(error.contains("name a run"), "{error}");
    let error = refused(&kvlens(&["sql", runs, "select 1", "-o", "answer.xlsx"], ""), 2);
    assert!(error.contains(".parquet"), "{error}");
    let error = refused(&kvlens(&["sql", "/nowhere", "select 1"], ""), 1);
    assert!(error.contains("no run under `/nowhere`"), "{error}");
}

#[test]
fn the_processes_of_a_job_are_runs_of_one_job() {
    let out = tempfile::tempdir().unwrap();
    let runs = out.path().to_str().unwrap();
    for (rank, job, requests) in [("0", "night", "2"), ("1", "night", "3"), ("0", "day", "4")] {
        let args = ["run", "--out", runs, "--job", job, "--limit", requests, "--quiet"];
        let done = Command::new(env!("CARGO_BIN_EXE_kvlens"))
            .args(args)
            .env("KVLENS_RANK", rank)
            .env("KVLENS_WORLD_SIZE", "2")
            .output()
            .unwrap();
        stdout(&done);
    }
    let by_rank = "select job, rank, world_size, count(*) as n from requests join runs using (run_id)
        group by job, rank, world_size order by job, rank";
    assert_eq!(
        stdout(&kvlens(&["sql", runs, "--csv", by_rank], "")),
        "job,rank,world_size,n\nday,0,2,4\nnight,0,2,2\nnight,1,2,3\n"
    );
    let night = format!("{runs}/job=night");
    assert_eq!(
        stdout(&kvlens(
            &["sql", &night, "--csv", "select count(*) as n from requests"],
            ""
        )),
        "n\n5\n"
    );
    // A timestamp is a monotonic reading and the run's offset; the clock was not set by a second in between.
    let placed = "select count(*) as n from runs
        where clock_offset_ns > 1e18 and clock_uncertainty_ns < 1e9 and abs(clock_drift_ns) < 1e9";
    assert_eq!(stdout(&kvlens(&["sql", runs, "--csv", placed], "")), "n\n3\n");
    let error = refused(&kvlens(&["sql", &format!("{runs}/job=noon"), "select 1"], ""), 1);
    assert!(error.contains("noon") && error.contains("night"), "{error}");
}
