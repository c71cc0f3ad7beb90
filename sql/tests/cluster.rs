//! The same answers from a scheduler and two executors on loopback as from this process.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "runs are made up from small numbers"
)]

#[path = "suite/ask.rs"]
#[expect(dead_code, reason = "not all questions are asked of a cluster")]
mod ask;
#[path = "suite/made.rs"]
#[expect(dead_code, reason = "not every form of a run is read by a cluster")]
mod made;

use kvlens_sql::cluster::{ExecutorOptions, executor, scheduler, session};
use kvlens_sql::{RunCatalog, SessionOptions};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Two neighbouring ports that nobody listens on.
fn free_ports() -> u16 {
    loop {
        let one = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = one.local_addr().unwrap().port();
        if port < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// Starts a cluster; the scheduler's address.
async fn cluster() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { scheduler(listener, "127.0.0.1").await.unwrap() });
    for _ in 0..2 {
        let mut options = ExecutorOptions::new("127.0.0.1", port);
        options.port = free_ports();
        options.tasks = Some(2);
        let address = ("127.0.0.1", options.port);
        tokio::spawn(async move { executor(options).await.unwrap() });
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "the executor does not listen"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    format!("127.0.0.1:{port}")
}

/// Means are rounded: their last digits follow from the order of additions.
const QUESTIONS: [&str; 7] = [
    "select source, date_trunc('minute', timestamp) as minute, round(avg(kv_cache_usage), 9) as mean, max(kv_cache_usage) as most,
        hist_quantile(hist_merge(time_to_first_token_ns), 0.5) as p50, hist_quantile(hist_merge(time_to_first_token_ns), 0.99) as p99
     from samples group by source, minute order by source, minute",
    "select run_id, hist_count(m), hist_sum(m), hist_mean(m), hist_fraction_below(m, 2e8), hist_quantile_error(m, 0.9)
     from (select run_id, hist_merge(time_to_first_token_ns) as m from samples group by run_id) order by run_id",
    "select run_id, count(*), sum(step_time_ns) from steps group by run_id order by run_id",
    "select count(*) from steps where run_id = 'b' and step >= 100",
    "select runs.run_id, runs.model, runs.clean_stop, count(*) from steps join runs on steps.run_id = runs.run_id
     group by runs.run_id, runs.model, runs.clean_stop order by 1",
    "select timestamp, source from samples order by timestamp desc, source limit 5",
    "select hist_merge(time_to_first_token_ns) from samples where source = 'engine-1'",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_answers_as_this_process_does() {
    let out = tempfile::tempdir().unwrap();
    for (run_id, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        made::parquet(out.path(), run_id, &made::made(300, seed));
    }
    let here = ask::over(&[out.path()]);
    let there = session(&cluster().await, &SessionOptions::default().with_threads(4))
        .await
        .unwrap();
    RunCatalog::open(&[out.path()]).unwrap().register(&there).unwrap();
    for question in QUESTIONS {
        let expected = ask::ask(&here, question).await;
        assert!(!expected.is_empty());
        assert_eq!(ask::ask(&there, question).await, expected, "{question}");
    }
}

#[tokio::test]
async fn rows_that_a_cluster_can_not_read_are_refused_with_the_mend() {
    let out = tempfile::tempdir().unwrap();
    made::killed(out.path(), "unfinished", &made::made(250, 1));
    let there = session("127.0.0.1:9", &SessionOptions::default()).await.unwrap();
    RunCatalog::open(&[out.path()]).unwrap().register(&there).unwrap();
    let error = ask::refused(&there, "select count(*) from steps where step > 3").await;
    assert!(
        error.contains("run `unfinished`") && error.contains("kvlens recover"),
        "{error}"
    );
}

#[tokio::test]
async fn a_scheduler_that_is_not_there_is_told_of() {
    let out = tempfile::tempdir().unwrap();
    made::parquet(out.path(), "a", &made::made(10, 1));
    let address = format!("127.0.0.1:{}", free_ports());
    let there = session(&address, &SessionOptions::default()).await.unwrap();
    RunCatalog::open(&[out.path()]).unwrap().register(&there).unwrap();
    ask::refused(&there, "select count(*) from steps where step > 3").await;
}
