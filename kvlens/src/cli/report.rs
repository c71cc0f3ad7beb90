//! `kvlens report`: runs as a page to look at.

use super::analyse::{failed, open, scan_options};
use super::args::ReportArgs;
use super::error::CliError;
use super::number::bytes;
use super::{Outcome, print};
use kvlens_analysis::Run;
use kvlens_analysis::report::Report;
use std::path::Path;

pub(super) fn run(args: &ReportArgs) -> Result<Outcome, CliError> {
    let runs: Vec<Run> = args
        .runs
        .iter()
        .map(|path| open(path))
        .collect::<Result<_, _>>()?;
    let options = scan_options(args.skip_damaged, args.threads);
    let report = Report::read(&runs.iter().collect::<Vec<_>>(), options).map_err(failed)?;
    if args.out == Path::new("-") {
        return print(&report.html());
    }
    write(&args.out, report.html().as_bytes())?;
    Ok(Outcome::Well)
}

/// Writes a file, and says so.
fn write(path: &Path, content: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, content)
        .map_err(|error| CliError::failed(format!("can't write {}", path.display()), error))?;
    let size = bytes(content.len() as u64);
    print(&format!("wrote {} ({size})\n", path.display())).map(drop)
}
