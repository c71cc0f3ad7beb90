//! The command `kvlens`, run as a process: exit codes, messages, what it leaves behind.

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

#[test]
fn inspect_shows_what_is_in_a_run() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--limit", "2", "--quiet", "--device", "sim"]);
    let text = stdout(&kvlens(&["inspect", out.path().to_str().unwrap(), "--columns"]));
    for expected in [
        "kvlens-native",
        "sim",
        "ended well",
        "requests",
        "parquet",
        "samples.kv_cache_usage",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let found = json(&kvlens(&["inspect", "--json", out.path().to_str().unwrap()]));
    assert_eq!(found[0]["tables"]["requests"]["parquet"]["rows"], 2);
}

#[test]
fn the_metrics_page_is_the_catalog() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(page).expect("docs/metrics.md");
    let catalog = stdout(&kvlens(&["catalog", "--format", "markdown"]));
    assert!(
        page == catalog,
        "write it anew: kvlens catalog --format markdown > docs/metrics.md"
    );
    let list = json(&kvlens(&["catalog", "--format", "json"]));
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .any(|metric| metric["names"]["vllm_v1"] == "kv_cache_usage_perc")
    );
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            stdout(&kvlens(&["completions", shell])).contains("kvlens"),
            "{shell}"
        );
    }
}

#[test]
fn a_run_is_read_back() {
    let out = tempfile::tempdir().unwrap();
    for (id, size) in [("a", "16"), ("b", "32")] {
        let args = [
            "run",
            "--device",
            "sim",
            "--quiet",
            "--block-size",
            size,
            "--run-id",
            id,
        ];
        assert_eq!(
            code(&kvlens(
                &[&args[..], &["--out", out.path().to_str().unwrap()]].concat()
            )),
            0
        );
    }
    let path = |id: &str| out.path().join(format!("run_id={id}")).display().to_string();
    let summary = json(&kvlens(&["summary", "--json", &path("a")]));
    assert!(summary.to_string().contains("160"), "{summary}");
    assert!(stdout(&kvlens(&["summary", &path("a")])).contains("requests"));
    let why = kvlens(&["why", "--slowest", "2", &path("a")]);
    assert!(
        code(&why) == 0 && stdout(&why).contains("decode"),
        "{}",
        stderr(&why)
    );
    for count in ["0", "101"] {
        assert_eq!(code(&kvlens(&["why", "--slowest", count, &path("a")])), 2);
    }
    let compare = |condition: &str| kvlens(&["compare", &path("a"), &path("b"), "--fail-if", condition]);
    assert_eq!(code(&compare("requests<1")), 0);
    let holds = compare("requests>1");
    assert_eq!(code(&holds), 4, "{}", stderr(&holds));
    for wrong in ["nonsense", "ttft_p99>+5", "hit_rate<25"] {
        assert_eq!(code(&compare(wrong)), 2, "{wrong}");
    }
    assert_eq!(code(&kvlens(&["summary", "/nowhere"])), 1);
}

#[test]
fn a_run_is_made_a_report() {
    let out = tempfile::tempdir().unwrap();
    run(
        out.path(),
        &[
            "--device",
            "sim",
            "--quiet",
            "--limit",
            "40",
            "--tables",
            "all,accesses",
        ],
    );
    let path = out.path().join("run_id=t").display().to_string();
    let page = out.path().join("page.html").display().to_string();
    let output = kvlens(&["report", &path, "-o", &page]);
    assert!(
        code(&output) == 0 && stdout(&output).contains("wrote"),
        "{}",
        stderr(&output)
    );
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("plot-miss_ratio"));
    assert!(stdout(&kvlens(&["report", &path, "-o", "-"])).contains("plot-ttft_cdf"));
    assert_eq!(code(&kvlens(&["report", "/nowhere"])), 1);
    assert_eq!(code(&kvlens(&["report"])), 2);
    let nowhere = kvlens(&["report", &path, "-o", "/nowhere/page.html"]);
    assert!(
        code(&nowhere) == 1 && stderr(&nowhere).contains("can't write"),
        "{}",
        stderr(&nowhere)
    );
}

#[test]
fn single_plots_are_written() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--device", "sim", "--quiet", "--limit", "40"]);
    let path = out.path().join("run_id=t").display().to_string();
    let plots = out.path().join("plots").display().to_string();
    let report = |args: &[&str]| kvlens(&[&["report", &path, "-o", &plots], args].concat());
    let output = report(&[
        "--svg",
        "ttft_cdf,queue",
        "--png",
        "kv_blocks",
        "--size",
        "500x300",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let read = |name: &str| std::fs::read(out.path().join("plots").join(name)).unwrap();
    assert!(read("ttft_cdf.svg").starts_with(b"<svg") && read("queue.svg").starts_with(b"<svg"));
    let picture = read("kv_blocks.png");
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(
        &picture[16..24],
        [0, 0, 5, 0xdc, 0, 0, 3, 0x84],
        "1500 x 900 pixels"
    );
    let unknown = report(&["--svg", "nonsense"]);
    assert!(
        code(&unknown) == 2 && stderr(&unknown).contains("ttft_cdf"),
        "{}",
        stderr(&unknown)
    );
    let absent = report(&["--png", "miss_ratio"]);
    assert!(
        code(&absent) == 1 && stderr(&absent).contains("all,accesses"),
        "{}",
        stderr(&absent)
    );
    let small = report(&["--svg", "all", "--size", "20x20"]);
    assert!(
        code(&small) == 2 && stderr(&small).contains("680x380"),
        "{}",
        stderr(&small)
    );
}

/// What a shell shows for runs that can't be read, command by command.
#[test]
fn bad_runs_are_named_by_every_command_that_reads() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--device", "sim", "--quiet", "--limit", "40"]);
    let good = out.path().join("run_id=t");
    let copy = |name: &str| {
        let dir = out.path().join(name);
        copy_dir(&good, &dir);
        dir
    };
    let truncated = copy("truncated");
    let part = truncated.join("steps/part-00000.parquet");
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    let newer = copy("newer");
    let manifest = std::fs::read_to_string(newer.join("run.json")).unwrap();
    let manifest = manifest.replace("\"schema_version\": 1", "\"schema_version\": 99");
    std::fs::write(newer.join("run.json"), manifest).unwrap();
    let cut = copy("cut");
    std::fs::write(cut.join("run.json"), "{").unwrap();
    let no_run = out.path().join("no-run");
    std::fs::create_dir(&no_run).unwrap();

    let good = good.display().to_string();
    let commands: [&[&str]; 7] = [
        &["summary"],
        &["why"],
        &["cache"],
        &["compare", &good],
        &["report", "-o", "-"],
        &["watch", "--once"],
        &["inspect"],
    ];
    let cases = [
        (&no_run, "no-run", "no run"),
        (&truncated, "steps/part-00000.parquet", "Corrupt footer"),
        (&newer, "schema version 99", "use a newer kvlens"),
        (&cut, "cut/run.json", "not a manifest"),
    ];
    for (dir, place, problem) in cases {
        for command in commands {
            let output = kvlens(&[command, &[dir.to_str().unwrap()]].concat());
            let said = stderr(&output);
            // A view of what there is shows what is damaged beside the rest.
            if command[0] == "watch" && problem == "Corrupt footer" {
                assert_eq!(code(&output), 0, "{said}");
                assert!(stdout(&output).contains("is damaged"), "{}", stdout(&output));
                continue;
            }
            assert_eq!(code(&output), 1, "{command:?} {}: {said}", dir.display());
            assert!(
                said.starts_with("kvlens: ") && said.lines().count() == 1,
                "{said}"
            );
            assert!(
                said.contains(place) && said.contains(problem),
                "{command:?}: {said}"
            );
            assert!(said.matches("is damaged").count() <= 1, "said twice: {said}");
            let skips = problem == "Corrupt footer" && command[0] != "inspect";
            assert_eq!(said.contains("; --skip-damaged uses the rest"), skips, "{said}");
        }
    }
    let out = out.path().join("compacted").display().to_string();
    let compacting = kvlens(&["compact", truncated.to_str().unwrap(), "-o", &out]);
    let said = stderr(&compacting);
    assert!(said.contains("is damaged") && !said.contains("skip"), "{said}");
    for command in &commands[..5] {
        let path = truncated.to_str().unwrap();
        let skipping = kvlens(&[command, &[path, "--skip-damaged"][..]].concat());
        assert_eq!(code(&skipping), 0, "{command:?}: {}", stderr(&skipping));
        let said = stdout(&skipping);
        assert!(said.contains("steps/part-00000.parquet"), "{command:?}: {said}");
    }
    let unread = copy("unread");
    let part = unread.join("requests/part-00000.parquet");
    std::fs::write(&part, &std::fs::read(&part).unwrap()[..100]).unwrap();
    let why = |more: &[&str]| kvlens(&[&["why", "--skip-damaged", unread.to_str().unwrap()], more].concat());
    let said = stdout(&why(&[]));
    assert!(said.contains("requests/part-00000.parquet"), "{said}");
    assert!(!said.contains("no request has finished"), "{said}");
    let json = why(&["--json"]);
    assert!(stderr(&json).contains("requests/part-00000.parquet") && stdout(&json) == "[]\n");
}

#[test]
fn a_run_that_can_t_be_inspected_hides_no_other() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), &["--device", "sim", "--quiet", "--limit", "2"]);
    copy_dir(&out.path().join("run_id=t"), &out.path().join("run_id=bad"));
    std::fs::write(out.path().join("run_id=bad/run.json"), "{").unwrap();
    let output = kvlens(&["inspect", out.path().to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("run_id=t"), "{}", stdout(&output));
    assert!(stderr(&output).contains("run_id=bad"), "{}", stderr(&output));
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

#[test]
fn the_cache_is_asked() {
    let out = tempfile::tempdir().unwrap();
    run(
        out.path(),
        &["--device", "sim", "--quiet", "--tables", "all,accesses"],
    );
    let path = out.path().join("run_id=t").display().to_string();
    let found = json(&kvlens(&["cache", "--json", &path]));
    let sizes = found["what_if"].as_array().unwrap();
    assert_eq!(sizes.len(), 7);
    assert_eq!(sizes[3]["blocks"], 4096);
    // Nothing was evicted, so the run hit what a cache of any size from its own on hits.
    let measured =
        found["measured"]["hits"].as_f64().unwrap() / found["measured"]["accesses"].as_f64().unwrap();
    assert!(
        (sizes[3]["hit_rate"].as_f64().unwrap() - measured).abs() < 1e-9,
        "{found}"
    );
    // Most gaps are short ones of few blocks, which a block's row does not keep.
    let summary = json(&kvlens(&["summary", "--json", &path]));
    let mut gaps = summary["distributions"].as_array().unwrap().iter();
    let gaps = gaps.find(|found| found["label"]["name"] == "kv_block_reuse_gap_ns");
    assert_eq!(found["reuse_gap_ns"], gaps.unwrap()["quantiles"]);
    assert_eq!(found["reuse_gap_of"], "gaps");
    let bare = out.path().join("bare");
    run(&bare, &["--device", "sim", "--quiet", "--tables", "blocks"]);
    let bare = bare.display().to_string();
    let means = json(&kvlens(&["cache", "--json", &bare]));
    assert_eq!(means["reuse_gap_of"], "lives");
    assert_eq!(means["reuse_gap_ns"][0]["exact"], false);
    assert!(stdout(&kvlens(&["cache", &bare])).contains("mean of each life"));
    assert!(stdout(&kvlens(&["cache", "--sample", "0.5", &path])).contains("sampled at 50.0 %"));
    assert!(stdout(&kvlens(&["cache", "--markdown", &path])).contains("| 2 x |"));
    let none = kvlens(&["cache", "--sample", "0.000001", &path]);
    let said = stdout(&none);
    assert!(said.contains("too few sampled: 0 block contents"), "{said}");
    assert!(said.contains("--sample") && !said.contains("100 %"), "{said}");
    for share in ["0", "1e-7", "1.5", "nan"] {
        assert_eq!(code(&kvlens(&["cache", "--sample", share, &path])), 2, "{share}");
    }
    assert_eq!(code(&kvlens(&["cache", "/nowhere"])), 1);
}
