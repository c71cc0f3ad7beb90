//! Runs as tables.

use super::ask::{ask, numbers, over, refused, try_ask};
use super::made::{self, Made, made};
use kvlens_core::{Kind, MetricDesc, Unit, Value};
use kvlens_sql::RunCatalog;
use kvlens_sql::datafusion::arrow::util::pretty::pretty_format_batches;
use std::path::Path;

/// The answers that every form of a run must give.
async fn facts(path: &Path) -> Vec<String> {
    let session = over(&[path]);
    let mut out = Vec::new();
    for query in [
        "select source, count(*), sum(generation_tokens), count(kv_cache_usage) from samples group by source order by source",
        "select count(*), sum(step_time_ns), max(step), min(timestamp) from steps",
        "select run_id, count(*) from steps where step >= 100 group by run_id",
        "select count(*) from requests",
        "select sum(step) from steps where run_id = 'other'",
        "select timestamp, source from samples order by timestamp desc, source limit 3",
    ] {
        out.extend(ask(&session, query).await);
    }
    out
}

fn latencies(made: &Made) -> Vec<u64> {
    made.latencies.concat()
}

#[tokio::test]
async fn every_form_of_a_run_gives_the_same_answers() {
    let out = tempfile::tempdir().unwrap();
    let made = made(400, 1);
    let place = |name: &str| {
        let place = out.path().join(name);
        std::fs::create_dir(&place).unwrap();
        place
    };
    let on_disk = made::parquet(&place("parquet"), "a", &made);
    let parquet = facts(&on_disk).await;
    assert_eq!(parquet.first().unwrap().split(' ').nth(1), Some("400"));
    #[cfg(feature = "store")]
    assert_eq!(
        facts(Path::new(&format!("file://{}", on_disk.display()))).await,
        parquet
    );
    assert_eq!(facts(&made::arrow(&place("arrow"), "a", &made)).await, parquet);
    assert_eq!(facts(&made::csv(&place("csv"), "a", &made)).await, parquet);
    let killed = made::killed(&place("killed"), "a", &made);
    assert!(!killed.join("samples/part-00000-tail.parquet").exists());
    assert_eq!(facts(&killed).await, parquet);
}

#[tokio::test]
async fn histograms_of_every_form_merge_to_the_raw_values() {
    let out = tempfile::tempdir().unwrap();
    let made = made(300, 2);
    let values = latencies(&made);
    let expected = [
        values.len() as u64,
        values.iter().sum(),
        *values.iter().max().unwrap(),
    ];
    let query = "select hist_count(m), hist_sum(m), m['max'] from (select hist_merge(time_to_first_token_ns) as m from samples)";
    for dir in [
        made::parquet(out.path(), "p", &made),
        made::arrow(out.path(), "a", &made),
        made::killed(out.path(), "k", &made),
    ] {
        let found = ask(&over(&[&dir]), query).await;
        assert_eq!(
            found,
            [expected.map(|number| number.to_string()).join(" ")],
            "{}",
            dir.display()
        );
    }
    // CSV keeps the parts of a histogram that fit a cell.
    let csv = over(&[made::csv(out.path(), "c", &made)]);
    let query = "select sum(time_to_first_token_ns_count), sum(time_to_first_token_ns_sum) from samples";
    assert_eq!(
        ask(&csv, query).await,
        [format!("{} {}", expected[0], expected[1])]
    );
}

#[tokio::test]
async fn runs_that_differ_come_together_with_nulls() {
    let out = tempfile::tempdir().unwrap();
    let old = made(50, 3);
    let mut new = made(50, 4);
    new.metrics.push(MetricDesc::new(
        "my_gauge",
        Kind::Gauge,
        Unit::Ratio,
        "A gauge of one's own.",
    ));
    new.samples
        .iter_mut()
        .for_each(|sample| sample.values.push(Value::Gauge(0.25)));
    made::parquet(out.path(), "old", &old);
    made::parquet(out.path(), "new", &new);
    made::killed(out.path(), "live", &new);
    made::csv(out.path(), "text", &old);
    let session = over(&[out.path()]);
    let query = "select run_id, count(*), count(my_gauge), sum(my_gauge) from samples group by run_id order by run_id";
    let expected = [
        "live 100 100 25.0",
        "new 100 100 25.0",
        "old 100 0 ",
        "text 100 0 ",
    ];
    assert_eq!(ask(&session, query).await, expected);
}

#[tokio::test]
async fn filters_on_the_run_leave_its_files_alone() {
    let out = tempfile::tempdir().unwrap();
    for (run_id, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        made::parquet(out.path(), run_id, &made(200, seed));
    }
    made::killed(out.path(), "d", &made(250, 4));
    let session = over(&[out.path()]);
    let plan = |query: &str| {
        let (session, query) = (session.clone(), format!("explain {query}"));
        async move {
            pretty_format_batches(&try_ask(&session, &query).await.unwrap())
                .unwrap()
                .to_string()
        }
    };
    let one = plan("select sum(step) from steps where run_id = 'b'").await;
    assert!(
        one.contains("run_id=b") && !one.contains("run_id=a") && !one.contains("LooseExec"),
        "{one}"
    );
    let some = plan("select sum(step) from steps where run_id in ('a', 'd') and step > 1").await;
    assert!(
        some.contains("run_id=a") && !some.contains("run_id=b") && some.contains("LooseExec"),
        "{some}"
    );
    assert!(some.contains("predicate="), "filters reach the files: {some}");
    let none = plan("select sum(step) from steps where run_id = 'z'").await;
    assert!(!none.contains("run_id=a"), "{none}");
    let count = plan("select count(*) from steps where run_id <> 'd'").await;
    assert!(
        !count.contains("DataSourceExec: file_groups"),
        "known without reading: {count}"
    );
    assert_eq!(
        ask(&session, "select count(*) from steps where run_id <> 'd'").await,
        ["600"]
    );
    assert_eq!(
        numbers(&session, "select count(*) from steps where run_id like '%d'").await,
        [Some(250.0)]
    );
}

#[tokio::test]
async fn a_row_of_runs_says_what_a_run_was() {
    let out = tempfile::tempdir().unwrap();
    made::parquet(out.path(), "whole", &made(61, 1));
    made::killed(out.path(), "killed", &made(61, 2));
    let session = over(&[out.path()]);
    let query = "select run_id, engine, model, device, host, clean_stop, rows, format, config['block_size'],
        started, ended - started from runs order by run_id";
    let expected = [
        "killed made small none here false  parquet 16 2026-09-21T14:14:00Z ",
        "whole made small none here true 61 parquet 16 2026-09-21T14:14:00Z PT60S",
    ];
    assert_eq!(ask(&session, query).await, expected);
    let query =
        "select runs.model, count(*) from steps join runs on steps.run_id = runs.run_id group by runs.model";
    assert_eq!(ask(&session, query).await, ["small 122"]);
    let names = ask(
        &session,
        "select table_name from information_schema.tables where table_schema = 'public' order by 1",
    )
    .await;
    assert_eq!(
        names,
        ["accesses", "blocks", "requests", "runs", "samples", "steps"]
    );
}

#[tokio::test]
async fn a_run_that_is_written_meanwhile_is_seen_as_it_grows() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::killed(out.path(), "live", &made(100, 1));
    let session = over(&[&dir]);
    assert_eq!(ask(&session, "select count(*) from steps").await, ["100"]);
    kvlens_parquet::recover(&dir).unwrap();
    assert_eq!(
        ask(&session, "select count(*) from steps").await,
        ["100"],
        "sealed since, and still there once"
    );
}

#[tokio::test]
async fn tables_of_other_origin_stay_beside() {
    let out = tempfile::tempdir().unwrap();
    made::parquet(out.path(), "a", &made(10, 1));
    let session = kvlens_sql::session(&kvlens_sql::SessionOptions::default()).unwrap();
    ask(&session, "create table mine as select 1 as x").await;
    RunCatalog::open(&[out.path()])
        .unwrap()
        .register(&session)
        .unwrap();
    ask(&session, "create view slow as select * from steps where step > 5").await;
    assert_eq!(ask(&session, "select count(*) from slow, mine").await, ["4"]);
    let error = refused(&session, "create table steps as select 1").await;
    assert!(error.contains("steps"), "{error}");
}

#[test]
fn what_is_no_run_is_named() {
    let out = tempfile::tempdir().unwrap();
    let error = RunCatalog::open(&[out.path()]).unwrap_err().to_string();
    assert!(error.contains("no run under"), "{error}");
    let broken = out.path().join("run_id=broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("run.json"), "{").unwrap();
    let error = RunCatalog::open(&[out.path()]).unwrap_err().to_string();
    assert!(
        error.contains("none of 1 runs can be opened") && error.contains("run_id=broken"),
        "{error}"
    );
    made::parquet(out.path(), "good", &made(10, 1));
    let catalog = RunCatalog::open(&[out.path()]).unwrap();
    assert_eq!((catalog.runs().len(), catalog.refused().len()), (1, 1));
}

#[tokio::test]
async fn a_damaged_part_is_named() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "a", &made(100, 1));
    std::fs::write(dir.join("steps/part-00000.parquet"), "not Parquet").unwrap();
    let error = refused(&over(&[&dir]), "select count(*) from steps").await;
    assert!(error.contains("part-00000.parquet"), "{error}");
}

#[tokio::test]
async fn the_functions_work_in_a_session_that_knows_nothing_of_runs() {
    let out = tempfile::tempdir().unwrap();
    let made = made(120, 4);
    let run = made::parquet(out.path(), "a", &made);
    let session = crate::embed::session(&format!("{}/samples/", run.display()))
        .await
        .unwrap();
    let query = "select hist_count(hist_merge(time_to_first_token_ns)) from mine";
    let counted: usize = made.latencies.iter().map(Vec::len).sum();
    assert_eq!(ask(&session, query).await, [counted.to_string()]);
}

#[cfg(feature = "store")]
#[test]
fn rows_in_a_store_that_are_not_parquet_are_refused_with_the_mend() {
    let out = tempfile::tempdir().unwrap();
    made::csv(out.path(), "c", &made(10, 1));
    let error = RunCatalog::open(&[format!("file://{}", out.path().display())]).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("run_id=c") && cause.contains("copy it to a disk"),
        "{cause}"
    );
}
