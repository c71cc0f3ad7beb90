//! `kvlens upload`: sends to a store what an outage or a kill left on disk, or any run.

use super::args::UploadArgs;
use super::error::CliError;
use super::number::{bytes, grouped};
use super::recover::{make_whole, runs};
use super::{Outcome, print};
use kvlens_store::{StoreOptions, UploadOptions, UploadReport, upload};
use serde_json::{Value, json};

pub(super) fn run(args: &UploadArgs) -> Result<Outcome, CliError> {
    let store = StoreOptions::from_env();
    let mut options = UploadOptions::default().on_notice(|text| eprintln!("kvlens: {text}"));
    if args.keep || args.remove {
        options = options.with_keep(args.keep);
    }
    let mut reports = Vec::new();
    for run in runs(&args.dir)? {
        // What a killed process had flushed is sealed first.
        make_whole(&run)?;
        let report = upload(run.path(), args.to.as_deref(), &store, &options)
            .map_err(|error| CliError::failed(format!("can't upload {}", run.path().display()), error))?;
        reports.push(report);
    }
    if args.json {
        let all: Value = reports.iter().map(as_json).collect();
        print(&format!("{all:#}\n"))?;
    } else {
        print(&reports.iter().map(as_text).collect::<String>())?;
    }
    let complete = reports.iter().all(UploadReport::is_complete);
    Ok(if complete {
        Outcome::Well
    } else {
        Outcome::Incomplete
    })
}

fn as_text(report: &UploadReport) -> String {
    let (files, size) = (grouped(report.files), bytes(report.bytes));
    let mut text = format!("{}\n  {files} files and the manifest, {size}\n", report.url);
    if !report.complete {
        text = format!("{}\n  {files} files, {size}\n", report.url);
    }
    for problem in report.problems() {
        text.push_str(&format!("  problem   {problem}\n"));
    }
    text
}

fn as_json(report: &UploadReport) -> Value {
    json!({
        "url": report.url,
        "directory": report.directory,
        "complete": report.complete,
        "files": report.files,
        "bytes": report.bytes,
        "left_files": report.left_files,
        "left_bytes": report.left_bytes,
        "problems": report.problems(),
    })
}
