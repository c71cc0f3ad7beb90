//! Runs are read whole, whatever format they are in and however they ended.

use crate::made::{self, healthy};
use kvlens_analysis::{AnalysisError, Cols, Format, Run, Runs, ScanOptions};
use kvlens_core::Table;
use std::fs;
use std::path::Path;

/// The sum of a column, read with some threads.
fn sum(run: &Run, column: &str, threads: usize) -> u64 {
    let options = ScanOptions::default().with_threads(threads);
    let scan = run
        .scan(Table::Steps)
        .unwrap()
        .columns(&[column])
        .options(options);
    let add = |sum: &mut u64, batch: &_| {
        *sum += Cols::new(batch).numbers(column)?.sum();
        Ok(())
    };
    scan.fold(|| 0, add, |sum, more| *sum += more).unwrap().value
}

fn steps_in_order(run: &Run) -> Vec<u64> {
    let mut found = Vec::new();
    let scan = run.scan(Table::Steps).unwrap().columns(&["step"]);
    scan.for_each(|batch| {
        let numbers = Cols::new(batch).numbers("step")?;
        found.extend((0..batch.num_rows()).filter_map(|row| numbers.get(row)));
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn every_format_gives_the_same_rows() {
    let out = tempfile::tempdir().unwrap();
    let made = healthy(5_000, 1);
    let tokens: u64 = made
        .steps
        .iter()
        .map(|step| u64::from(step.generation_tokens))
        .sum();
    let dirs = [
        made::parquet(out.path(), "parquet", &made),
        made::arrow(out.path(), "arrow", &made, true),
        made::csv(out.path(), "csv", &made, true),
    ];
    for (dir, format) in dirs.iter().zip([Format::Parquet, Format::Arrow, Format::Csv]) {
        let run = Run::open(dir).unwrap();
        assert_eq!((run.format(), run.is_finished()), (Some(format), true));
        assert_eq!(
            (
                sum(&run, "generation_tokens", 1),
                sum(&run, "generation_tokens", 3)
            ),
            (tokens, tokens)
        );
        assert!(steps_in_order(&run).into_iter().eq(0..5_000), "{format:?}");
        let requests = run
            .scan(Table::Requests)
            .unwrap()
            .fold(|| (), |(), _| Ok(()), |(), ()| ())
            .unwrap();
        assert_eq!(requests.rows, made.requests.len() as u64);
    }
}

#[test]
fn what_a_killed_run_flushed_is_read() {
    let out = tempfile::tempdir().unwrap();
    let made = healthy(4_321, 2);
    let dirs = [
        made::killed(out.path(), "parquet", &made),
        made::arrow(out.path(), "arrow", &made, false),
        made::csv(out.path(), "csv", &made, false),
    ];
    for dir in &dirs {
        let run = Run::open(dir).unwrap();
        assert!(!run.is_finished());
        assert!(steps_in_order(&run).into_iter().eq(0..4_321), "{}", dir.display());
    }
    // A recovery changes nothing about what is there.
    kvlens_parquet::recover(&dirs[0]).unwrap();
    assert!(
        steps_in_order(&Run::open(&dirs[0]).unwrap())
            .into_iter()
            .eq(0..4_321)
    );
}

#[test]
fn a_torn_stream_gives_what_comes_before_the_tear() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::killed(out.path(), "torn", &healthy(1_300, 3));
    let stream = fs::read_dir(dir.join("steps"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let stream = stream
        .filter(|path| path.extension().is_some_and(|ext| ext == "arrows"))
        .max()
        .unwrap();
    let bytes = fs::read(&stream).unwrap();
    fs::write(&stream, &bytes[..bytes.len() - 40]).unwrap();
    let found = steps_in_order(&Run::open(&dir).unwrap());
    assert!(found.len() >= 1_000 && found.len() < 1_300, "{}", found.len());
    assert!(found.iter().copied().eq(0..found.len() as u64));
}

#[test]
fn a_run_that_moved_on_is_opened_again() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::killed(out.path(), "live", &healthy(1_300, 9));
    let opened = Run::open(&dir).unwrap();
    kvlens_parquet::recover(&dir).unwrap();
    let count = |run: &Run| -> Result<u64, AnalysisError> {
        let scan = run
            .scan(Table::Steps)?
            .options(ScanOptions::default().with_skip_damaged(true));
        Ok(scan.fold(|| (), |(), _| Ok(()), |(), ()| ())?.rows)
    };
    assert!(matches!(count(&opened), Err(AnalysisError::MovedOn { .. })));
    assert_eq!(Run::ask(&dir, count).unwrap(), 1_300);
}

#[test]
fn a_damaged_part_is_named_and_skipped_on_request() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "damaged", &healthy(4_000, 4));
    let part = dir.join("steps/part-00001.parquet");
    let bytes = fs::read(&part).unwrap();
    fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    let run = Run::open(&dir).unwrap();
    let scan = run.scan(Table::Steps).unwrap();
    let count = |options| {
        scan.clone()
            .options(options)
            .fold(|| (), |(), _| Ok(()), |(), ()| ())
    };
    let error = count(ScanOptions::default()).unwrap_err();
    assert!(
        matches!(error, AnalysisError::Damaged { .. }) && error.to_string().contains("part-00001.parquet")
    );
    let rest = count(ScanOptions::default().with_skip_damaged(true)).unwrap();
    assert_eq!((rest.rows, rest.damage.len()), (2_000, 1));
    let summary =
        kvlens_analysis::summary::summary(&run, ScanOptions::default().with_skip_damaged(true)).unwrap();
    assert!(
        summary
            .notes
            .iter()
            .any(|note| note.contains("part-00001.parquet")),
        "{:?}",
        summary.notes
    );
}

#[test]
fn many_runs_are_found_by_directory_by_pattern_and_below_partitions() {
    let out = tempfile::tempdir().unwrap();
    for (team, id) in [("a", "one"), ("a", "two"), ("b", "three")] {
        made::parquet(&out.path().join(format!("team={team}")), id, &healthy(50, 5));
    }
    fs::create_dir_all(out.path().join("team=b/run_id=broken")).unwrap();
    fs::write(out.path().join("team=b/run_id=broken/run.json"), "{").unwrap();
    let all = Runs::open(out.path()).unwrap();
    assert_eq!(
        all.iter().map(Run::id).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    assert_eq!(all.refused().len(), 1);
    assert_eq!(all.find("two").unwrap().id(), "two");
    let error = all.find("four").unwrap_err().to_string();
    assert!(
        error.contains("four") && error.contains("one, two, three"),
        "{error}"
    );
    let some = Runs::open(out.path().join("team=a/run_id=t*")).unwrap();
    assert_eq!(some.iter().map(Run::id).collect::<Vec<_>>(), ["two"]);
}

#[test]
fn an_older_run_with_fewer_columns_reads_them_as_missing() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::csv(out.path(), "old", &healthy(200, 6), true);
    let text = fs::read_to_string(dir.join("steps.csv")).unwrap();
    let columns = [
        "timestamp",
        "monotonic_ns",
        "source",
        "step",
        "step_time_ns",
        "generation_tokens",
    ];
    fs::write(dir.join("steps.csv"), keep_columns(&text, &columns)).unwrap();
    let run = Run::open(&dir).unwrap();
    assert_eq!(sum(&run, "kv_blocks_used", 1), 0);
    let summary = kvlens_analysis::summary::summary(&run, ScanOptions::default()).unwrap();
    assert!(summary.blocks.is_none() && summary.totals["steps"] == 200);
    assert!(
        !summary.totals.contains_key("kv_blocks_evicted"),
        "missing is not 0"
    );
}

fn keep_columns(csv: &str, wanted: &[&str]) -> String {
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let places: Vec<usize> = wanted
        .iter()
        .map(|name| header.iter().position(|h| h == name).unwrap())
        .collect();
    let pick = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        places
            .iter()
            .map(|place| cells[*place])
            .collect::<Vec<_>>()
            .join(",")
            + "\n"
    };
    csv.lines().map(pick).collect()
}

#[test]
fn a_run_of_one_directory_is_opened_from_above() {
    let out = tempfile::tempdir().unwrap();
    made::parquet(out.path(), "only", &healthy(10, 7));
    assert_eq!(Run::open(out.path()).unwrap().id(), "only");
    assert_eq!(
        Run::open(out.path().join("run_id=only/run.json")).unwrap().id(),
        "only"
    );
    made::parquet(out.path(), "other", &healthy(10, 8));
    assert!(matches!(
        Run::open(out.path()),
        Err(AnalysisError::ManyRuns { count: 2, .. })
    ));
    assert!(matches!(
        Run::open(Path::new("/nowhere/at/all")),
        Err(AnalysisError::Io { .. })
    ));
}
