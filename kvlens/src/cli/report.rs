//! `kvlens report`: runs as a page to look at, or as single plots.

use super::analyse::{failed, open_each, scan_options};
use super::args::ReportArgs;
use super::error::CliError;
use super::number::bytes;
use super::{Outcome, print};
use kvlens_analysis::AnalysisError;
use kvlens_analysis::report::{Plot, Report};
use std::path::Path;

/// Where the page goes unless said otherwise.
const PAGE: &str = "report.html";
/// What stands for every plot.
const ALL: &str = "all";

pub(super) fn run(args: &ReportArgs) -> Result<Outcome, CliError> {
    let runs = open_each(&args.runs)?;
    let options = scan_options(args.skip_damaged, args.threads);
    let report = Report::read(&runs.iter().collect::<Vec<_>>(), options).map_err(failed)?;
    if !args.svg.is_empty() || !args.png.is_empty() {
        return plots(&report, args);
    }
    let out = args.out.as_deref().unwrap_or(Path::new(PAGE));
    if out == Path::new("-") {
        return print(&report.html());
    }
    write(out, report.html().as_bytes())?;
    Ok(Outcome::Well)
}

/// Writes single plots.
fn plots(report: &Report, args: &ReportArgs) -> Result<Outcome, CliError> {
    let (svg, png) = (named(report, "svg", &args.svg)?, named(report, "png", &args.png)?);
    let dir = args.out.as_deref().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)
        .map_err(|error| CliError::failed(format!("can't create {}", dir.display()), error))?;
    let size = args.size.unwrap_or_default();
    for plot in svg {
        write(&dir.join(format!("{}.svg", plot.id)), plot.svg(size).as_bytes())?;
    }
    for plot in png {
        let picture = plot
            .png(size)
            .map_err(|error| CliError::failed("can't draw", error))?;
        write(&dir.join(format!("{}.png", plot.id)), &picture)?;
    }
    Ok(Outcome::Well)
}

/// The plots that an option names.
fn named<'r>(report: &'r Report, option: &str, names: &[String]) -> Result<Vec<&'r Plot>, CliError> {
    if names.iter().any(|name| name == ALL) {
        return Ok(report.plots().iter().collect());
    }
    let plot = |name: &String| {
        report.plot(name).map_err(|error| match error {
            AnalysisError::UnknownPlot { .. } => CliError::usage(option, name, error),
            error => CliError::failed("can't draw", error),
        })
    };
    names.iter().map(plot).collect()
}

/// Writes a file, and says so.
fn write(path: &Path, content: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, content)
        .map_err(|error| CliError::failed(format!("can't write {}", path.display()), error))?;
    let size = bytes(content.len() as u64);
    print(&format!("wrote {} ({size})\n", path.display())).map(drop)
}
