//! Many processes of one job: each writes a run of its own, at once, into one place; read as one, nothing is lost and
//! nothing counted twice.

use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROCESSES: u32 = 64;

fn kvlens(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvlens"));
    command.args(args).stdin(Stdio::null());
    command
}

fn json(args: &[&str]) -> Value {
    let output = kvlens(args).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Starts one process of the job.
fn start(out: &str, rank: u32, processes: u32) -> Child {
    let (seed, rank, processes) = (
        (1_000 + rank).to_string(),
        rank.to_string(),
        processes.to_string(),
    );
    let args = [
        "run",
        "--device",
        "sim:h100",
        "--json",
        "--conversations",
        "4",
        "--out",
        out,
        "--seed",
        &seed,
    ];
    let mut command = kvlens(&args);
    // As Slurm starts them.
    command.env("SLURM_JOB_ID", "811").env("SLURM_STEP_ID", "0");
    command.env("SLURM_PROCID", rank).env("SLURM_NTASKS", processes);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// What each process said it counted.
fn counted(children: Vec<Child>) -> Vec<Value> {
    let wait = |child: Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    children.into_iter().map(wait).collect()
}

fn sum(counted: &[Value], of: impl Fn(&Value) -> &Value) -> u64 {
    counted.iter().map(|one| of(one).as_u64().unwrap()).sum()
}

#[test]
fn sixty_four_processes_write_one_job_and_their_totals_are_the_sum_of_what_each_counted() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    let out = out.to_str().unwrap();
    let counted = counted((0..PROCESSES).map(|rank| start(out, rank, PROCESSES)).collect());
    // A stranger's run in the same place.
    json(&[
        "run",
        "--device",
        "sim:h100",
        "--json",
        "--conversations",
        "2",
        "--out",
        out,
        "--run-id",
        "stranger",
    ]);

    let job = json(&["summary", "--json", &format!("{out}/job=slurm-811.0")]);
    assert_eq!(job["run"]["job"]["processes"], PROCESSES);
    assert_eq!(job["run"]["job"]["missing_ranks"], serde_json::json!([]));
    assert_eq!(
        job["run"]["sources"].as_array().unwrap().len(),
        PROCESSES as usize
    );
    for total in ["prompt_tokens", "generation_tokens", "steps"] {
        assert_eq!(
            job["totals"][total],
            sum(&counted, |one| &one["replay"][total]),
            "{total}"
        );
    }
    let counters = ["prefix_cache_hits", "prefix_cache_queries", "kv_blocks_allocated"];
    for counter in counters {
        assert_eq!(
            job["totals"][counter],
            sum(&counted, |one| &one["sources"][0]["counters"][counter]),
            "{counter}"
        );
    }
    let finished: u64 = job["finished"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(finished, sum(&counted, |one| &one["replay"]["requests_finished"]));
    for table in ["samples", "steps", "requests", "blocks"] {
        assert_eq!(
            job["rows"][table],
            sum(&counted, |one| &one["rows"][table]),
            "{table}"
        );
    }
    histograms(&job, &counted);
    // Blocks of all pools together, and usage of the sums.
    assert_eq!(job["blocks"]["total"], 4096 * u64::from(PROCESSES));
    compacted(dir.path(), out, &job);
}

/// Histograms merge: as many values as all processes recorded, in the same buckets.
fn histograms(job: &Value, counted: &[Value]) {
    let distributions = job["distributions"].as_array().unwrap();
    let e2e = distributions
        .iter()
        .find(|found| found["label"]["name"] == "e2e_latency_ns")
        .unwrap();
    let each = |part: &str| -> Vec<u64> {
        let of = |one: &Value| {
            one["sources"][0]["distributions"]["e2e_latency_ns"][part]
                .as_u64()
                .unwrap()
        };
        counted.iter().map(of).collect()
    };
    assert_eq!(e2e["count"], each("count").iter().sum::<u64>());
    assert_eq!(e2e["max"], *each("max").iter().max().unwrap());
}

/// The same job as one run of few files: every figure is the same.
fn compacted(dir: &Path, out: &str, before: &Value) {
    let place = dir.join("compact");
    let done = json(&[
        "compact",
        "--json",
        &format!("{out}/job=slurm-811.0"),
        "-o",
        place.to_str().unwrap(),
    ]);
    let steps = &done[0]["tables"]["steps"];
    assert_eq!(
        (&steps["files_before"], &steps["files_after"]),
        (&PROCESSES.into(), &1.into())
    );
    assert_eq!(steps["rows"], before["rows"]["steps"]);
    let after = json(&["summary", "--json", place.to_str().unwrap()]);
    let same = [
        "rows",
        "totals",
        "finished",
        "rates",
        "throughput",
        "blocks",
        "utilisation",
        "distributions",
        "warnings",
    ];
    for part in same {
        assert_eq!(after[part], before[part], "{part}");
    }
    assert_eq!(after["run"]["job"], before["run"]["job"]);
}

#[test]
fn a_directory_of_one_job_is_that_job_and_missing_ranks_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let counted = counted([0, 2].map(|rank| start(out, rank, 3)).into());
    let job = json(&["summary", "--json", out]);
    assert_eq!(
        job["totals"]["steps"],
        sum(&counted, |one| &one["replay"]["steps"])
    );
    assert_eq!(job["run"]["job"]["missing_ranks"], serde_json::json!([1]));
    let text = kvlens(&["summary", out]).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("2 of 3 processes are here, rank 1 is missing"),
        "{text}"
    );
    assert!(text.contains("rank2/engine-0"), "{text}");
    let slow = json(&["why", "--json", out, "--slowest", "3"]);
    assert_eq!(slow.as_array().unwrap().len(), 3);
    assert!(slow[0]["source"].as_str().unwrap().starts_with("rank"));
    let output = kvlens(&["summary", &format!("{out}/job=other")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("is of job `other`; there are: slurm-811.0"),
        "{text}"
    );
}
