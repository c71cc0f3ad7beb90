//! Bytes in the place of a run's files.

use super::seeds;
use kvlens::analysis::compare::compare;
use kvlens::analysis::heatmap::heat_map;
use kvlens::analysis::kv::{ShardsOptions, answers};
use kvlens::analysis::summary::summary;
use kvlens::analysis::why::{Which, why};
use kvlens::analysis::{Overview, Run, ScanOptions};
use kvlens::core::Table;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The manifest of every run made here but those whose manifest is the question.
const MANIFEST: &str = "run.json";

/// A run's directory, used again for every input.
struct Place {
    _out: TempDir,
    run: PathBuf,
    manifest: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let out = tempfile::tempdir().expect("a temporary directory");
        let made = seeds::empty_run(out.path());
        let manifest = fs::read(made.join(MANIFEST)).expect("just written");
        Self {
            run: out.path().join("run_id=fuzz"),
            _out: out,
            manifest,
        }
    }

    /// Makes the run anew with these files.
    fn fill(&self, files: &[(PathBuf, &[u8])]) {
        let _ = fs::remove_dir_all(&self.run);
        for (path, bytes) in files.iter().chain([&(MANIFEST.into(), self.manifest.as_slice())]) {
            let path = self.run.join(path);
            if path.exists() {
                continue;
            }
            fs::create_dir_all(path.parent().unwrap_or(&self.run)).expect("a directory of our own");
            fs::write(path, bytes).expect("a directory of our own");
        }
    }
}

thread_local! {
    static PLACE: Place = Place::new();
}

fn with_files(files: &[(PathBuf, &[u8])]) {
    PLACE.with(|place| {
        place.fill(files);
        ask(&place.run);
        recover(&place.run);
        // What was recovered has to be readable, or refused, too.
        ask(&place.run);
    });
}

/// Every question there is; only that they are answered or refused matters.
fn ask(dir: &Path) {
    let Ok(run) = Run::open(dir) else { return };
    for skip in [false, true] {
        let options = ScanOptions::default().with_threads(1).with_skip_damaged(skip);
        if let Ok(summary) = summary(&run, options) {
            let _ = (summary.text(), summary.markdown(), summary.json());
        }
        if !skip {
            continue;
        }
        if let Ok(found) = why(&run, &Which::Slowest(3), options) {
            let _ = (found.text(), found.json());
        }
        if let Ok(found) = compare(&[&run, &run], options) {
            let _ = (found.text(), found.json());
        }
        if let Ok(found) = answers(&run, Some(ShardsOptions::default()), options) {
            let _ = (found.text(), found.json());
        }
        let _ = heat_map(&run, "step_time_ns", 50, options);
        let _ = heat_map(&run, "e2e_latency_ns", 50, options);
        plots(&run, options);
    }
}

fn plots(run: &Run, options: ScanOptions) {
    let Ok(overview) = Overview::read(run, options) else {
        return;
    };
    let timeline = overview.timeline(40);
    let _ = (timeline.seconds(), timeline.per_second("generation_tokens"));
    for name in ["step_time_ns", "time_to_first_token_ns", "inter_token_latency_ns"] {
        let _ = (overview.cdf(name, 50), overview.density(name, 50));
    }
}

fn recover(dir: &Path) {
    let _ = kvlens::parquet::recover(dir);
    let _ = kvlens::arrow::recover(dir);
    let _ = kvlens::csv::recover(dir);
}

/// The first byte says which table, and whatever else a target lets it say.
fn table_of(data: &[u8]) -> Option<(Table, u8, &[u8])> {
    let (first, rest) = data.split_first()?;
    let tables = Table::ALL.len();
    let table = Table::ALL.get(usize::from(*first) % tables)?;
    Some((*table, *first / u8::try_from(tables).ok()?, rest))
}

/// Reads bytes as a run's manifest.
pub fn run_json(data: &[u8]) {
    let (steps, requests) = (seeds::CSV_STEPS.as_bytes(), seeds::CSV_REQUESTS.as_bytes());
    with_files(&[
        (MANIFEST.into(), data),
        ("steps.csv".into(), steps),
        ("requests.csv".into(), requests),
    ]);
}

/// Reads bytes as a sealed Parquet part.
pub fn parquet_part(data: &[u8]) {
    let Some((table, _, bytes)) = table_of(data) else {
        return;
    };
    with_files(&[(Path::new(table.name()).join("part-00000.parquet"), bytes)]);
}

/// Reads bytes as a Parquet part under construction: two bytes of length, the footer file, the part.
pub fn open_part(data: &[u8]) {
    let Some((table, _, rest)) = table_of(data) else {
        return;
    };
    let Some((length, rest)) = rest.split_first_chunk::<2>() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (footer, part) = rest.split_at(at);
    let dir = Path::new(table.name());
    with_files(&[
        (dir.join("_part-00000.footer"), footer),
        (dir.join("_part-00000.parquet"), part),
    ]);
}

/// Reads bytes as Arrow IPC: the recovery stream of a Parquet part, a table's file, or one that was not finished.
pub fn arrow_ipc(data: &[u8]) {
    let Some((table, mode, bytes)) = table_of(data) else {
        return;
    };
    let name = table.name();
    let path = match mode % 3 {
        0 => Path::new(name).join("_part-00000.00000.arrows"),
        1 => format!("{name}.arrow").into(),
        _ => format!("_{name}.arrow").into(),
    };
    with_files(&[(path, bytes)]);
}

/// Reads bytes as CSV, finished or not.
pub fn csv_table(data: &[u8]) {
    let Some((table, mode, bytes)) = table_of(data) else {
        return;
    };
    let open = if mode % 2 == 1 { "_" } else { "" };
    with_files(&[(format!("{open}{}.csv", table.name()).into(), bytes)]);
}
