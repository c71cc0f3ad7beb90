//! Bad input gives a message, never a panic.

use crate::made::{self, healthy, sample};
use kvlens_analysis::summary::summary;
use kvlens_analysis::why::{Which, why};
use kvlens_analysis::{AnalysisError, Run, Runs, ScanOptions};
use kvlens_core::Table;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[test]
fn what_is_no_run_is_said() {
    let out = tempfile::tempdir().unwrap();
    assert!(matches!(Run::open(out.path()), Err(AnalysisError::NoRuns { .. })));
    assert!(matches!(
        Runs::open(out.path()),
        Err(AnalysisError::NoRuns { .. })
    ));
    assert!(matches!(Runs::open("[x"), Err(AnalysisError::Pattern { .. })));
    let file = out.path().join("a-file");
    fs::write(&file, "no run").unwrap();
    assert!(matches!(Run::open(&file), Err(AnalysisError::NoRuns { .. })));
    let error = Run::open(out.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, AnalysisError::Io { .. }), "{error}");
    let dir = made::parquet(out.path(), "empty", &made::Made::default());
    let error = summary(&Run::open(&dir).unwrap(), ScanOptions::default()).unwrap_err();
    assert!(matches!(error, AnalysisError::EmptyRun { .. }), "{error}");
}

#[test]
fn a_newer_run_is_refused_by_its_version() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "newer", &healthy(10, 1));
    let manifest = fs::read_to_string(dir.join("run.json")).unwrap();
    fs::write(
        dir.join("run.json"),
        manifest.replace("\"schema_version\": 1", "\"schema_version\": 99"),
    )
    .unwrap();
    let error = Run::open(&dir).unwrap_err().to_string();
    assert!(error.contains("99") && error.contains("newer kvlens"), "{error}");
}

#[test]
fn a_column_that_nothing_can_be_told_without() {
    let out = tempfile::tempdir().unwrap();
    let lacking = |file: &str, column: &str| {
        let dir = made::csv(out.path(), column, &healthy(40, 1), true);
        let path = dir.join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, without_column(&text, column)).unwrap();
        Run::open(dir).unwrap()
    };
    let run = lacking("steps.csv", "timestamp");
    let error = summary(&run, ScanOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`steps` of run `timestamp` has no column `timestamp`"
    );
    let run = lacking("requests.csv", "request_id");
    let error = why(&run, &Which::Slowest(1), ScanOptions::default()).unwrap_err();
    assert!(matches!(error, AnalysisError::NoColumn { .. }), "{error}");
    assert!(
        summary(&run, ScanOptions::default()).is_ok(),
        "what needs no names still answers"
    );
}

pub(crate) fn without_column(csv: &str, column: &str) -> String {
    let at = csv
        .lines()
        .next()
        .unwrap()
        .split(',')
        .position(|name| name == column);
    let at = at.unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        [&fields[..at], &fields[at + 1..]].concat().join(",") + "\n"
    };
    csv.lines().map(line).collect()
}

#[test]
fn a_run_without_a_finished_request() {
    let out = tempfile::tempdir().unwrap();
    let mut idle = healthy(40, 1);
    idle.requests.clear();
    let dirs = [
        made::arrow(out.path(), "busy", &healthy(40, 1), true),
        made::arrow(out.path(), "idle", &idle, true),
    ];
    let [busy, idle] = dirs.map(|dir| Run::open(dir).unwrap());
    let options = ScanOptions::default();
    let comparison = kvlens_analysis::compare::compare(&[&busy, &idle], options).unwrap();
    assert!(
        comparison.text().contains("nothing was tested"),
        "{}",
        comparison.text()
    );
    let found = why(&idle, &Which::Slowest(3), options);
    let text = found.map_or_else(|error| error.to_string(), |found| found.text());
    assert!(
        text.contains("no request has finished") || text.contains("no table `requests`"),
        "{text}"
    );
}

#[test]
fn what_is_asked_for_and_not_there_is_said() {
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "r", &healthy(40, 1));
    let run = Run::open(&dir).unwrap();
    let error = why(&run, &Which::Request("no-such".into()), ScanOptions::default()).unwrap_err();
    assert!(matches!(error, AnalysisError::UnknownRequest { .. }));
    fs::remove_dir_all(dir.join("steps")).unwrap();
    let run = Run::open(&dir).unwrap();
    assert!(matches!(
        run.scan(Table::Steps),
        Err(AnalysisError::NoTable {
            table: Table::Steps,
            ..
        })
    ));
    assert!(
        summary(&run, ScanOptions::default()).is_ok(),
        "the other tables still answer"
    );
    let alone = kvlens_analysis::compare::compare(&[&run], ScanOptions::default());
    assert!(matches!(alone, Err(AnalysisError::TooFewRuns { given: 1 })));
}

/// Everything that reads a run; only that it returns is asked.
fn read_all(dir: &Path) {
    for skip in [false, true] {
        let options = ScanOptions::default().with_threads(1).with_skip_damaged(skip);
        let Ok(run) = Run::open(dir) else { return };
        if let Ok(summary) = summary(&run, options) {
            let _ = (summary.text(), summary.markdown(), summary.json());
        }
        let _ = why(&run, &Which::Slowest(3), options);
        let _ = kvlens_analysis::compare::compare(&[&run, &run], options);
        let _ = kvlens_analysis::heatmap::heat_map(&run, "step_time_ns", 50, options);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            out.extend(files(&entry.path()));
        } else {
            out.push(entry.path());
        }
    }
    out.sort();
    out
}

/// A run's name, and its files with their paths in it.
type Original = (String, Vec<(PathBuf, Vec<u8>)>);

fn originals() -> Vec<Original> {
    let out = tempfile::tempdir().unwrap();
    let mut made = healthy(60, 1);
    made.samples = (0..5)
        .map(|second| sample(second, second * 10, &[1_000, 2_000]))
        .collect();
    made.blocks = (0..20)
        .map(|hash| made::life(hash, kvlens_core::record::BlockEnd::Evicted, 1_000))
        .collect();
    let dirs = [
        made::parquet(out.path(), "a", &made),
        made::killed(out.path(), "b", &made),
        made::arrow(out.path(), "c", &made, true),
        made::csv(out.path(), "d", &made, true),
    ];
    let read = |dir: &PathBuf| {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let contents = files(dir).into_iter().map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path.strip_prefix(dir).unwrap().to_path_buf(), bytes)
        });
        (name, contents.collect())
    };
    dirs.iter().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn no_bytes_make_a_reader_panic(
        run in any::<prop::sample::Index>(),
        file in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static ORIGINALS: OnceLock<Vec<Original>> = OnceLock::new();
        let originals = ORIGINALS.get_or_init(originals);
        let (name, contents) = &originals[run.index(originals.len())];
        let out = tempfile::tempdir().unwrap();
        let dir = out.path().join(name);
        let victim = file.index(contents.len());
        for (at, (path, bytes)) in contents.iter().enumerate() {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut bytes = bytes.clone();
            if at == victim && !bytes.is_empty() {
                for (place, value) in &edits {
                    let place = place.index(bytes.len());
                    bytes[place] = *value;
                }
                let end = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
                bytes.truncate(end);
            }
            fs::write(path, bytes).unwrap();
        }
        read_all(&dir);
    }
}

/// More through the environment, for a long run by hand: `KVLENS_FUZZ_CASES=100000`.
fn fuzz_cases() -> u32 {
    std::env::var("KVLENS_FUZZ_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(40)
}
