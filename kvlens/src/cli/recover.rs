//! `kvlens recover`.

use super::args::DirArgs;
use super::error::CliError;
use super::number::grouped;
use super::{Outcome, print};
use kvlens_core::BoxError;
use kvlens_schema::layout::{RunDir, find_runs};
use kvlens_schema::recovery::Recovery;
use kvlens_schema::{RunManifest, SchemaError};
use serde_json::{Value, json};
use std::fmt::Write;

pub(super) fn run(args: &DirArgs) -> Result<Outcome, CliError> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for dir in runs(&args.dir)? {
        match make_whole(&dir) {
            Ok(formats) => found.push((dir, formats)),
            Err(error) => problems.push(error),
        }
    }
    let text = if args.json {
        let all: Value = found.iter().map(|(dir, formats)| as_json(dir, formats)).collect();
        format!("{all:#}\n")
    } else {
        found.iter().map(|(dir, formats)| as_text(dir, formats)).collect()
    };
    let printed = print(&text)?;
    name_all(problems).map_or(Ok(printed), Err)
}

/// Names what could not be done once the rest is: all but the last one, which ends the command.
pub(super) fn name_all(mut problems: Vec<CliError>) -> Option<CliError> {
    let last = problems.pop();
    for problem in &problems {
        eprintln!("kvlens: {}", problem.chain());
    }
    last
}

/// The runs under a directory, or the directory itself when it is one.
pub(super) fn runs(dir: &std::path::Path) -> Result<Vec<RunDir>, CliError> {
    let runs = find_runs(dir).map_err(|error| CliError::failed("can't look for runs", error))?;
    if runs.is_empty() {
        let source = format!(
            "{} holds no run: a run is a directory `run_id=…` with a run.json",
            dir.display()
        );
        return Err(CliError::failed("nothing to do", source));
    }
    Ok(runs)
}

/// What was found, by format.
pub(super) type Formats = Vec<(&'static str, Recovery)>;

pub(super) fn make_whole(dir: &RunDir) -> Result<Formats, CliError> {
    let failed = |error: BoxError| CliError::failed(format!("can't recover {}", dir.path().display()), error);
    // A layout that we don't know is not ours to change. Without a manifest the rows can be saved all the same.
    let known = match RunManifest::read(dir.path()) {
        Err(SchemaError::NotARun { .. }) => false,
        read => read.map(|_| true).map_err(|error| failed(error.into()))?,
    };
    let parquet = kvlens_parquet::recover(dir.path()).map_err(|error| failed(error.into()))?;
    let arrow = kvlens_arrow::recover(dir.path()).map_err(|error| failed(error.into()))?;
    let csv = kvlens_csv::recover(dir.path()).map_err(|error| failed(error.into()))?;
    if known {
        RunManifest::mark_recovered(dir.path()).map_err(|error| failed(error.into()))?;
    }
    let all = [("parquet", parquet), ("arrow", arrow), ("csv", csv)];
    Ok(all
        .into_iter()
        .filter(|(_, recovery)| !recovery.tables.is_empty())
        .collect())
}

fn as_text(dir: &RunDir, formats: &Formats) -> String {
    let mut out = format!("{}\n", dir.path().display());
    for (format, recovery) in formats {
        let state = if recovery.is_clean() {
            "was whole"
        } else {
            "made whole"
        };
        // Writing to a String can't fail.
        let _ = writeln!(out, "  {format}: {state}");
        for (table, found) in &recovery.tables {
            let torn = if found.torn_bytes > 0 {
                format!(", {} torn bytes cut off", found.torn_bytes)
            } else {
                String::new()
            };
            let (rows, back) = (grouped(found.rows()), grouped(found.recovered_rows));
            let _ = writeln!(
                out,
                "    {table:<9} {rows:>12} rows, {back} of them recovered{torn}"
            );
        }
    }
    if formats.is_empty() {
        out.push_str("  no table\n");
    }
    out
}

fn as_json(dir: &RunDir, formats: &Formats) -> Value {
    let table = |found: &kvlens_schema::recovery::TableRecovery| {
        json!({
            "rows": found.rows(),
            "sealed_rows": found.sealed_rows,
            "recovered_rows": found.recovered_rows,
            "torn_bytes": found.torn_bytes,
        })
    };
    let tables = |recovery: &Recovery| -> serde_json::Map<String, Value> {
        recovery
            .tables
            .iter()
            .map(|(name, found)| (name.clone(), table(found)))
            .collect()
    };
    let formats: serde_json::Map<String, Value> = formats
        .iter()
        .map(|(format, recovery)| ((*format).to_owned(), Value::Object(tables(recovery))))
        .collect();
    json!({ "run": dir.path(), "formats": formats })
}
