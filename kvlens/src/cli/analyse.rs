//! `kvlens summary`, `why`, `cache` and `compare`: the library `kvlens-analysis` on the command line.

use super::args::{CacheArgs, CompareArgs, ReadArgs, SummaryArgs, WhyArgs};
use super::error::CliError;
use super::remote::local;
use super::{Outcome, print};
use kvlens_analysis::compare::{Condition, compare as compare_runs};
use kvlens_analysis::kv::{ShardsOptions, answers};
use kvlens_analysis::run::is_pattern;
use kvlens_analysis::summary::summary as summarise;
use kvlens_analysis::why::{Which, why as explain};
use kvlens_analysis::{AnalysisError, Run, Runs, ScanOptions};
use std::path::{Path, PathBuf};

pub(super) fn summary(args: &SummaryArgs) -> Result<Outcome, CliError> {
    let run = open(&args.run)?;
    let summary = summarise(&run, args.read.options()).map_err(failed)?;
    print(
        &args
            .read
            .render(|| summary.text(), || summary.markdown(), || summary.json())?,
    )
}

pub(super) fn why(args: &WhyArgs) -> Result<Outcome, CliError> {
    let run = open(&args.run)?;
    let which = match &args.request {
        Some(id) => Which::Request(id.clone()),
        None => Which::Slowest(args.slowest),
    };
    let found = explain(&run, &which, args.read.options()).map_err(failed)?;
    if args.read.json {
        // The list of requests has no place for them.
        found.notes.iter().for_each(|note| eprintln!("kvlens: {note}"));
    }
    print(
        &args
            .read
            .render(|| found.text(), || found.markdown(), || found.json())?,
    )
}

pub(super) fn cache(args: &CacheArgs) -> Result<Outcome, CliError> {
    let run = open(&args.run)?;
    let shards = args.sample.map(ShardsOptions::new);
    let found = answers(&run, shards, args.read.options()).map_err(failed)?;
    print(
        &args
            .read
            .render(|| found.text(), || found.markdown(), || found.json())?,
    )
}

pub(super) fn compare(args: &CompareArgs) -> Result<Outcome, CliError> {
    let wrong = |text: &String, error: AnalysisError| CliError::usage("fail-if", text, error);
    let conditions: Vec<Condition> = args
        .fail_if
        .iter()
        .map(|text| Condition::parse(text).map_err(|error| wrong(text, error)))
        .collect::<Result<_, _>>()?;
    let runs = open_each(&args.runs)?;
    if runs.len() < 2 {
        return Err(CliError::Usage {
            option: args.runs.iter().map(|path| path.display().to_string()).collect(),
            source: AnalysisError::TooFewRuns { given: runs.len() }.into(),
        });
    }
    let found = compare_runs(&runs.iter().collect::<Vec<_>>(), args.read.options()).map_err(failed)?;
    print(
        &args
            .read
            .render(|| found.text(), || found.markdown(), || found.json())?,
    )?;
    let outcomes: Vec<_> = conditions
        .iter()
        .flat_map(|condition| condition.check(&found))
        .collect();
    outcomes.iter().for_each(|outcome| eprintln!("{outcome}"));
    let fails = outcomes.iter().any(|outcome| outcome.fails);
    Ok(if fails {
        Outcome::ConditionHolds
    } else {
        Outcome::Well
    })
}

pub(super) fn open(path: &Path) -> Result<Run, CliError> {
    Run::open(local(path)?).map_err(failed)
}

/// The runs that paths name: one each, or those that a pattern matches.
pub(super) fn open_each(paths: &[PathBuf]) -> Result<Vec<Run>, CliError> {
    let mut runs = Vec::new();
    for path in paths {
        if is_pattern(path) {
            runs.extend(open_all(path)?);
        } else {
            runs.push(open(path)?);
        }
    }
    Ok(runs)
}

/// A run, a job as one, or every run of a directory or a pattern.
pub(super) fn open_all(path: &Path) -> Result<Vec<Run>, CliError> {
    let path = &local(path)?;
    match Run::open(path) {
        Err(AnalysisError::ManyRuns { .. }) => {
            let mut runs = Runs::open(path).map_err(failed)?;
            match runs.take_refused().into_iter().next() {
                Some((path, error)) => Err(CliError::failed(
                    format!("can't read the run {}", path.display()),
                    error,
                )),
                None => Ok(runs.into_iter().collect()),
            }
        }
        opened => Ok(vec![opened.map_err(failed)?]),
    }
}

/// What reading gives, in a command that has `--skip-damaged`.
pub(super) fn failed(error: AnalysisError) -> CliError {
    match error {
        AnalysisError::Damaged { .. } => CliError::Damaged { source: error.into() },
        error => CliError::failed("can't read the run", error),
    }
}

pub(super) fn scan_options(skip_damaged: bool, threads: Option<usize>) -> ScanOptions {
    let options = ScanOptions::default().with_skip_damaged(skip_damaged);
    threads.map_or(options, |threads| options.with_threads(threads))
}

impl ReadArgs {
    fn options(&self) -> ScanOptions {
        scan_options(self.skip_damaged, self.threads)
    }

    fn render(
        &self,
        text: impl FnOnce() -> String,
        markdown: impl FnOnce() -> String,
        json: impl FnOnce() -> Result<String, serde_json::Error>,
    ) -> Result<String, CliError> {
        let mut out = match (self.json, self.markdown) {
            (true, _) => json().map_err(|error| CliError::failed("can't print", error))?,
            (false, true) => markdown(),
            (false, false) => text(),
        };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        Ok(out)
    }
}
