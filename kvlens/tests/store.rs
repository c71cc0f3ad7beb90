//! The command with object storage: recording into a real S3 server, reading back, outages, kills, mistakes.

#[path = "../../store/tests/common/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the library")]
mod server;

use serde_json::Value;
use server::{Server, files, until};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const URL: &str = "s3://runs/night";

/// The command, with the server and directories of its own in its environment.
fn kvlens(server: &Server, home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvlens"));
    command.args(args).envs(server.variables());
    command.env("XDG_CACHE_HOME", home).env_remove("KVLENS_JOB");
    command.stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn json(mut command: Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

const SIM: [&str; 5] = ["run", "--device", "sim:h100", "--seed", "7"];

#[test]
fn a_run_in_a_store_reads_as_one_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let (home, disk) = (dir.path().join("home"), dir.path().join("disk"));
    let store = json(kvlens(
        &server,
        &home,
        &[&SIM[..], &["--json", "--run-id", "a", "--out", URL]].concat(),
    ));
    assert_eq!(store["directory"], format!("{URL}/run_id=a"));
    assert_eq!(store["problems"], serde_json::json!([]));
    assert_eq!(files(&home.join("kvlens/spool")), [""; 0], "the spool is empty");
    let disk_out = disk.to_str().unwrap();
    json(kvlens(
        &server,
        &home,
        &[&SIM[..], &["--json", "--run-id", "a", "--out", disk_out]].concat(),
    ));
    let from_store = json(kvlens(
        &server,
        &home,
        &["summary", "--json", &format!("{URL}/run_id=a")],
    ));
    let from_disk = json(kvlens(
        &server,
        &home,
        &["summary", "--json", &format!("{disk_out}/run_id=a")],
    ));
    for part in ["totals", "finished", "rows", "distributions"] {
        assert_eq!(from_store[part], from_disk[part], "{part}");
    }
    let inspected = kvlens(&server, &home, &["inspect", URL]).output().unwrap();
    assert!(said(&inspected).contains("run_id=a"), "{}", said(&inspected));
    let compared = kvlens(
        &server,
        &home,
        &[
            "compare",
            &format!("{URL}/run_id=a"),
            &format!("{disk_out}/run_id=a"),
        ],
    );
    assert!({ compared }.output().unwrap().status.success());
}

/// A process that is killed when dropped, as by `kill -9`.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_run_is_sent_by_a_later_upload() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let home = dir.path().join("home");
    let spool = dir.path().join("spool");
    let spool_arg = spool.to_str().unwrap();
    let more = [
        "--run-id",
        "k",
        "--out",
        URL,
        "--spool",
        spool_arg,
        "--part-time",
        "100ms",
        "--conversations",
        "40000",
    ];
    let child = kvlens(&server, &home, &[&SIM[..], &more].concat())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    let steps = server.root.join("runs/night/run_id=k/steps");
    until("the second part", || files(&steps).len() >= 2);
    drop(child);
    let parts = files(&steps).len();
    let early = kvlens(&server, &home, &["summary", &format!("{URL}/run_id=k")])
        .output()
        .unwrap();
    assert!(
        said(&early).contains("no complete run") && said(&early).contains("is under way"),
        "{}",
        said(&early)
    );

    let sent = json(kvlens(&server, &home, &["upload", "--json", spool_arg]));
    assert_eq!(
        (&sent[0]["complete"], &sent[0]["left_files"]),
        (&true.into(), &0.into())
    );
    assert!(files(&steps).len() >= parts, "what was flushed is there");
    assert_eq!(files(&spool), [""; 0]);
    let summary = json(kvlens(
        &server,
        &home,
        &["summary", "--json", &format!("{URL}/run_id=k")],
    ));
    assert!(summary["rows"]["steps"].as_u64().unwrap() > 0);
    assert_eq!(summary["run"]["finished"], false);
}

#[test]
fn mistakes_are_told_before_the_run_begins() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let home = dir.path().join("home");
    let run = |out: &str, key: &str| {
        let mut command = kvlens(&server, &home, &[&SIM[..], &["--out", out]].concat());
        let output = command.env("AWS_SECRET_ACCESS_KEY", key).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let text = run(URL, "wrong");
    assert!(
        text.contains("no usable credentials") && text.contains("AWS_ACCESS_KEY_ID"),
        "{text}"
    );
    let text = run("s3://nobodys", server::SECRET);
    assert!(
        text.contains("`s3://nobodys/run_id=") && text.contains("check the bucket's name"),
        "{text}"
    );
    let text = run("ftp://host/x", server::SECRET);
    assert!(text.contains("is not the URL of a store"), "{text}");
    let output = kvlens(
        &server,
        &home,
        &[&SIM[..], &["--out", "runs", "--spool", "x"]].concat(),
    )
    .output()
    .unwrap();
    assert!(
        said(&output).contains("it needs --out with the URL of a store"),
        "{}",
        said(&output)
    );
}

#[test]
fn an_outage_at_the_end_leaves_the_run_on_disk_and_says_how_to_send_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("server"));
    let home = dir.path().join("home");
    let more = [
        "--run-id",
        "o",
        "--out",
        URL,
        "--patience",
        "1s",
        "--part-time",
        "50ms",
        "--conversations",
        "20000",
    ];
    let child = kvlens(&server, &home, &[&SIM[..], &more].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let steps = server.root.join("runs/night/run_id=o/steps");
    until("the first part", || !files(&steps).is_empty());
    server.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let spool = home.join("kvlens/spool");
    assert!(
        said(&output).contains(&format!("`kvlens upload {}", spool.display())),
        "{}",
        said(&output)
    );
    server.restart(server::SECRET);
    let sent = json(kvlens(
        &server,
        &home,
        &["upload", "--json", spool.to_str().unwrap()],
    ));
    assert_eq!(sent[0]["complete"], true);
    let summary = json(kvlens(
        &server,
        &home,
        &["summary", "--json", &format!("{URL}/run_id=o")],
    ));
    assert_eq!(summary["run"]["finished"], true);
}

#[test]
fn eight_ranks_of_a_job_go_to_one_store_and_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let home = dir.path().join("home");
    let start = |rank: u32| {
        let (rank, seed) = (rank.to_string(), (100 + rank).to_string());
        let args = [
            "run", "--device", "sim:h100", "--json", "--seed", &seed, "--job", "dp", "--out", URL,
        ];
        let mut command = kvlens(&server, &home, &args);
        command.env("KVLENS_RANK", rank).env("KVLENS_WORLD_SIZE", "8");
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..8).map(start).collect();
    let counted: u64 = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
            summary["replay"]["generation_tokens"].as_u64().unwrap()
        })
        .sum();
    let job = json(kvlens(
        &server,
        &home,
        &["summary", "--json", &format!("{URL}/job=dp")],
    ));
    assert_eq!(job["totals"]["generation_tokens"], counted);
    assert_eq!(
        (&job["run"]["job"]["processes"], &job["run"]["job"]["world_size"]),
        (&8.into(), &8.into())
    );
}

/// Two runs, in the store and on disk.
#[cfg(feature = "sql")]
fn twice(server: &Server, home: &Path, disk: &str) {
    for (run_id, conversations) in [("a", "20"), ("b", "40")] {
        for out in [URL, disk] {
            let job = ["--job", "both", "--conversations", conversations];
            let args = [&SIM[..], &job, &["--json", "--run-id", run_id, "--out", out]].concat();
            json(kvlens(server, home, &args));
        }
    }
}

#[cfg(feature = "sql")]
const QUESTIONS: [&str; 4] = [
    "select run_id, count(*) as n, min(request_id) as least, sum(generation_tokens) as tokens from requests
     group by run_id order by run_id",
    "select source, hist_count(m) as n, hist_quantile(m, 0.99) as p99
     from (select source, hist_merge(time_to_first_token_ns) as m from samples group by source) order by source",
    "select count(*) as n from steps where run_id = 'b' and step > 10",
    "select run_id, job, rank, clean_stop, rows from runs order by run_id",
];

#[cfg(feature = "sql")]
#[test]
fn runs_in_a_store_are_queried_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let (home, disk) = (dir.path().join("home"), dir.path().join("disk"));
    let disk = disk.to_str().unwrap();
    twice(&server, &home, disk);
    let ask = |runs: &str, query: &str| json(kvlens(&server, &home, &["sql", runs, "--json", "-c", query]));
    for question in QUESTIONS {
        let expected = ask(disk, question);
        assert!(expected[0].is_object(), "{question}");
        assert_eq!(ask(URL, question), expected, "{question}");
        assert_eq!(ask(&format!("{URL}/job=both"), question), expected, "{question}");
    }
    let places = ask(&format!("{URL}/run_id=b"), "select path from runs");
    assert_eq!(places, serde_json::json!([{"path": format!("{URL}/run_id=b")}]));
    assert_eq!(files(&home.join("kvlens/runs")), [""; 0], "nothing was fetched");

    let refused = kvlens(&server, &home, &["sql", &format!("{URL}/job=none"), "select 1"])
        .output()
        .unwrap();
    assert!(said(&refused).contains("is of job `none`"), "{}", said(&refused));
    let refused = kvlens(&server, &home, &["sql", "s3://runs/nothing", "select 1"])
        .output()
        .unwrap();
    assert!(
        said(&refused).contains("no complete run below `s3://runs/nothing`"),
        "{}",
        said(&refused)
    );
}

#[cfg(feature = "cluster")]
#[test]
fn executors_read_from_the_store_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let (home, disk) = (dir.path().join("home"), dir.path().join("disk"));
    let disk = disk.to_str().unwrap();
    twice(&server, &home, disk);
    let scheduler = format!("127.0.0.1:{}", server::free_port());
    let start = |args: &[&str]| {
        let mut command = kvlens(&server, &home, &[&["cluster"][..], args].concat());
        Killed(command.stdout(Stdio::null()).spawn().unwrap())
    };
    let _scheduler = start(&["scheduler", "--listen", &scheduler, "--host", "127.0.0.1"]);
    server::wait_for(&scheduler);
    let executor = format!("127.0.0.1:{}", server::free_port());
    let _executor = start(&[
        "executor",
        "--scheduler",
        &scheduler,
        "--listen",
        &executor,
        "--host",
        "127.0.0.1",
    ]);
    server::wait_for(&executor);
    for question in QUESTIONS {
        let expected = json(kvlens(&server, &home, &["sql", disk, "--json", "-c", question]));
        let args = ["sql", "--cluster", &scheduler, URL, "--json", "-c", question];
        assert_eq!(json(kvlens(&server, &home, &args)), expected, "{question}");
    }
}
