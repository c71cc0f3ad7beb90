//! `kvlens inspect`.

use super::args::InspectArgs;
use super::error::CliError;
use super::number::{bytes, grouped};
use super::recover::{name_all, runs};
use super::remote::local;
use super::{Outcome, print};
use comfy_table::{CellAlignment, Table as Grid, presets};
use kvlens_core::{BoxError, Table};
use kvlens_schema::{RunDir, RunManifest};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// File name endings of the formats.
const FORMATS: [(&str, &str); 3] = [("parquet", "parquet"), ("csv", "csv"), ("arrow", "arrow")];

/// What is in a run.
#[derive(Debug, Serialize)]
struct Inspected {
    directory: String,
    manifest: RunManifest,
    /// By table and format.
    tables: BTreeMap<&'static str, BTreeMap<&'static str, Files>>,
    /// Files of a run that is still being written, or was killed.
    open_files: usize,
    /// Files that can't be read, with the reason.
    damaged: Vec<String>,
}

/// The files of one table in one format.
#[derive(Debug, Default, Serialize)]
struct Files {
    count: usize,
    bytes: u64,
    /// Known from the files themselves; null for formats that don't say.
    rows: Option<u64>,
}

pub(super) fn run(args: &InspectArgs) -> Result<Outcome, CliError> {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for run in runs(&local(&args.dir)?)? {
        match inspect(&run) {
            Ok(run) => all.push(run),
            Err(error) => problems.push(error),
        }
    }
    let damaged = all.iter().flat_map(|run| &run.damaged);
    problems.extend(damaged.map(|what| CliError::failed("a file is damaged", what.clone())));
    let text = if args.json {
        serde_json::to_string_pretty(&all).map_err(|error| CliError::failed("can't print", error))? + "\n"
    } else {
        let texts: Vec<_> = all.iter().map(|run| run.text(args.columns)).collect();
        texts.join("\n")
    };
    let printed = print(&text)?;
    // What can be shown is shown, then what can't be is named.
    name_all(problems).map_or(Ok(printed), Err)
}

fn inspect(run: &RunDir) -> Result<Inspected, CliError> {
    let failed = |error: BoxError| CliError::failed(format!("can't inspect {}", run.path().display()), error);
    let manifest = RunManifest::read(run.path()).map_err(|error| failed(error.into()))?;
    let mut found = Inspected {
        directory: run.path().display().to_string(),
        manifest,
        tables: BTreeMap::new(),
        open_files: 0,
        damaged: Vec::new(),
    };
    for table in Table::ALL {
        for (format, ending) in FORMATS {
            let mut files = Files::default();
            files.add(&run.file(table, ending));
            for path in listing(&run.table(table)).map_err(|error| failed(error.into()))? {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if !name.starts_with('_') && name.ends_with(&format!(".{ending}")) {
                    found.damaged.extend(files.add(&path));
                }
            }
            if files.count > 0 {
                found
                    .tables
                    .entry(table.name())
                    .or_default()
                    .insert(format, files);
            }
        }
        let open = listing(&run.table(table)).map_err(|error| failed(error.into()))?;
        found.open_files += open.iter().filter(|path| is_open(path)).count();
    }
    found.open_files += listing(run.path())
        .map_err(|error| failed(error.into()))?
        .iter()
        .filter(|path| is_open(path))
        .count();
    Ok(found)
}

fn is_open(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('_'))
}

/// The files of a directory, in order; none where there is no directory.
fn listing(dir: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<_> = std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}

impl Files {
    /// Counts a file, if it is there; says what is wrong with it, if anything.
    fn add(&mut self, path: &Path) -> Option<String> {
        let metadata = path.metadata().ok()?;
        self.count += 1;
        self.bytes += metadata.len();
        if path.extension().is_none_or(|ending| ending != "parquet") {
            return None;
        }
        match kvlens_parquet::row_count(path) {
            Ok(rows) => {
                self.rows = if self.count == 1 {
                    Some(rows)
                } else {
                    self.rows.map(|before| before + rows)
                };
                None
            }
            Err(error) => {
                self.rows = None;
                Some(CliError::failed(path.display().to_string(), error).chain())
            }
        }
    }
}

fn ended(clean_stop: bool, problems: &[String]) -> String {
    let how = if clean_stop { "ended" } else { "ended early" };
    match problems {
        [] if clean_stop => "ended well".to_owned(),
        [] => how.to_owned(),
        [one] => format!("{how}, with a problem: {one}"),
        _ => format!("{how}, with {} problems: {}", problems.len(), problems.join("; ")),
    }
}

impl Inspected {
    fn text(&self, columns: bool) -> String {
        let manifest = &self.manifest;
        let mut out = format!("{}\n", self.directory);
        for source in &manifest.sources {
            let facts = [
                Some(source.engine.clone()),
                source.engine_version.clone(),
                source.device.clone(),
                source.model.clone(),
            ];
            let facts = facts.into_iter().flatten().collect::<Vec<_>>().join(", ");
            out.push_str(&format!("  source {}: {facts}\n", source.name));
        }
        out.push_str(&format!("  {}\n", self.state()));
        out.push_str(&format!("{}\n", self.grid().trim_fmt()));
        if columns {
            out.push_str(&self.columns());
        }
        out
    }

    fn state(&self) -> String {
        let manifest = &self.manifest;
        let began = UNIX_EPOCH + Duration::from_nanos(manifest.clock.wall_ns);
        let began = humantime::format_rfc3339_seconds(began);
        let interval = humantime::format_duration(Duration::from_nanos(manifest.interval_ns));
        let end = match &manifest.end {
            Some(end) => ended(manifest.clean_stop, &end.problems),
            None if manifest.recovered => "was killed, and recovered since".to_owned(),
            None => {
                "not ended: it still runs, or was killed (then `kvlens recover` makes it whole)".to_owned()
            }
        };
        let open = match self.open_files {
            0 => String::new(),
            1 => "; 1 open file".to_owned(),
            files => format!("; {files} open files"),
        };
        format!("began {began}, a sample every {interval}; {end}{open}")
    }

    fn grid(&self) -> Grid {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING)
            .set_header(["table", "rows", "format", "files", "size"]);
        for (table, formats) in &self.tables {
            for (format, files) in formats {
                // Formats that don't say it themselves have the rows that were written.
                let written = || self.manifest.end.as_ref()?.rows.get(*table).copied();
                let rows = match *format {
                    "parquet" => files.rows,
                    _ => files.rows.or_else(written),
                };
                let rows = rows.map_or_else(|| "?".to_owned(), grouped);
                grid.add_row([
                    *table,
                    &rows,
                    *format,
                    &files.count.to_string(),
                    &bytes(files.bytes),
                ]);
            }
        }
        for column in [1, 3, 4] {
            if let Some(column) = grid.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        grid
    }

    fn columns(&self) -> String {
        let mut out = String::new();
        for metric in &self.manifest.metrics {
            out.push_str(&format!(
                "  samples.{:<36} {:<9} {:<10} {}\n",
                metric.name, metric.kind, metric.unit, metric.help
            ));
        }
        out
    }
}
