//! `kvlens compact`.

use super::analyse::open_all;
use super::args::CompactArgs;
use super::error::CliError;
use super::number::{bytes, grouped};
use super::{Outcome, print};
use kvlens_analysis::Run;
use kvlens_compact::{CompactOptions, Compacted, compact};
use serde_json::{Value, json};

pub(super) fn run(args: &CompactArgs) -> Result<Outcome, CliError> {
    let mut options = CompactOptions::default();
    if let Some(threads) = args.threads {
        options = options.with_threads(threads);
    }
    let mut all = Vec::new();
    let mut kept = Vec::new();
    for path in &args.runs {
        for run in open_all(path)? {
            let failed = |error| CliError::failed(format!("can't compact {}", run.dir().display()), error);
            let done = compact(&run, &args.out, &options).map_err(failed)?;
            all.push((as_text(&run, &done), as_json(&run, &done)));
            if args.remove {
                kept.extend(done.remove_source().map_err(failed)?);
            }
        }
    }
    for path in &kept {
        eprintln!(
            "kvlens: {} stays: it holds more than what was compacted",
            path.display()
        );
    }
    if args.json {
        let all: Value = all.into_iter().map(|(_, json)| json).collect();
        return print(&format!("{all:#}\n"));
    }
    print(&all.into_iter().map(|(text, _)| text).collect::<String>())
}

fn as_text(run: &Run, done: &Compacted) -> String {
    let of = run
        .job()
        .map_or(String::new(), |job| format!(", {} processes", job.processes));
    let mut text = format!("{}{of}\n", done.path.display());
    for (name, table) in &done.tables {
        text.push_str(&format!(
            "  {name:<9} {:>12} rows, {} files ({}) are now {} ({})\n",
            grouped(table.rows),
            grouped(table.files_before),
            bytes(table.bytes_before),
            grouped(table.files_after),
            bytes(table.bytes_after),
        ));
    }
    text
}

fn as_json(run: &Run, done: &Compacted) -> Value {
    let table = |table: &kvlens_compact::TableCompacted| {
        json!({
            "rows": table.rows,
            "files_before": table.files_before,
            "files_after": table.files_after,
            "bytes_before": table.bytes_before,
            "bytes_after": table.bytes_after,
        })
    };
    let tables: serde_json::Map<String, Value> = done
        .tables
        .iter()
        .map(|(name, found)| (name.clone(), table(found)))
        .collect();
    json!({
        "run": run.directories(),
        "path": done.path,
        "run_id": done.run_id,
        "tables": tables,
    })
}
