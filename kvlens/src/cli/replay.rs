//! `kvlens run`: a replay on the built-in engine, recorded.

use super::args::RunArgs;
use super::config;
use super::error::{CliError, chain};
use super::number::grouped;
use super::plan::{Plan, Requests};
use super::progress::Progress;
use super::stage::Stage;
use super::summary::{Replayed, Summary};
use super::{Outcome, print};
use kvlens_native::replay::{Pace, Replay, ReplayError, ReplayStep, ReplayTotals};
use kvlens_native::trace::TraceReader;
use kvlens_native::workload::Conversations;
use kvlens_native::{Engine, Request};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Set by the first Ctrl-C; the second one ends the process.
static CANCEL: AtomicBool = AtomicBool::new(false);

pub(super) fn run(args: RunArgs) -> Result<Outcome, CliError> {
    let plan = Plan::new(&config::merge(args)?)?;
    cancel_on_ctrl_c()?;
    let mut requests = Feed::open(&plan)?;
    let mut stage = Stage::set(&plan)?;
    let mut progress = Progress::new(requests.expected(&plan)?, plan.quiet || plan.json);
    let started = Instant::now();
    let replay = Replay::new(stage.pace.clone())
        .with_arrivals(plan.arrivals)
        .with_limit(plan.limit.unwrap_or(u64::MAX))
        .with_cancel(&CANCEL);
    let recorded = &mut stage.recorded;
    let mut step_times = StepTimes::default();
    let replay = replay.on_step(|step: &ReplayStep<'_>| {
        recorded.after_step(step.step.end_ns);
        step_times.add(step.step.end_ns.saturating_sub(step.step.start_ns));
        progress.after_step(step);
    });
    let result = requests.replay(replay, &mut stage.engine);
    progress.finish();
    let simulated = matches!(stage.pace, Pace::Virtual(_));
    let wall = started.elapsed();
    let mut problems = requests.problems();
    problems.extend(problems_of(&result));
    let shown = stage.shown.clone();
    let (directory, report) = stage.end(&problems);
    let totals = result.map_err(|error| failed(error, directory.as_deref()))?;
    let summary = Summary::new(
        Replayed::new(&totals, step_times.median(), wall, simulated),
        report.as_ref(),
        directory.as_deref(),
        problems,
    );
    if plan.json {
        print(&summary.json())?;
    } else if plan.quiet {
        shown.show_rest(summary.problems());
    } else {
        print(&summary.text())?;
    }
    Ok(match (totals.cancelled, summary.is_incomplete()) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Incomplete,
        (false, false) => Outcome::Well,
    })
}

/// What went wrong in a replay, for those who read the run.
fn problems_of(result: &Result<ReplayTotals, ReplayError>) -> Vec<String> {
    let totals = match result {
        Ok(totals) => totals,
        Err(error) => return vec![format!("the replay failed: {}", chain(error))],
    };
    let mut problems = Vec::new();
    if let Some(error) = &totals.first_refused {
        let requests = if totals.refused == 1 {
            "request was"
        } else {
            "requests were"
        };
        problems.push(first_of(totals.refused, requests, "refused", error));
    }
    if totals.cancelled {
        problems.push("interrupted by a signal before all requests were through".to_owned());
    }
    problems
}

/// `2 requests were refused, the first: …`.
fn first_of(count: u64, what: &str, done: &str, error: &dyn std::error::Error) -> String {
    let first = if count == 1 { "" } else { ", the first" };
    format!("{} {what} {done}{first}: {}", grouped(count), chain(error))
}

/// Step times of the replay itself, to tell what recording costs: they are known with recording off too.
#[derive(Default)]
struct StepTimes(Vec<u64>);

impl StepTimes {
    /// Steps that are kept; a longer replay is judged by its beginning.
    const KEPT: usize = 1 << 20;

    #[inline]
    fn add(&mut self, ns: u64) {
        if self.0.len() < Self::KEPT {
            self.0.push(ns);
        }
    }

    fn median(mut self) -> Option<u64> {
        let middle = self.0.len() / 2;
        (!self.0.is_empty()).then(|| *self.0.select_nth_unstable(middle).1)
    }
}

/// The first Ctrl-C ends the run cleanly, the second at once.
fn cancel_on_ctrl_c() -> Result<(), CliError> {
    let handler = || {
        if CANCEL.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| CliError::failed("can't listen for Ctrl-C", error))
}

fn failed(error: ReplayError, directory: Option<&Path>) -> CliError {
    let kept = directory.map(|directory| format!("; what ran before is in {}", directory.display()));
    CliError::failed(format!("the run failed{}", kept.unwrap_or_default()), error)
}

/// Where requests come from.
#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Feed {
    Builtin(Conversations),
    /// The first request is read before the run begins: a file that is no trace leaves no run.
    Trace(Option<Request>, TraceReader<BufReader<File>>),
}

impl Feed {
    fn open(plan: &Plan) -> Result<Self, CliError> {
        match &plan.requests {
            Requests::Builtin(workload) => Ok(Self::Builtin(workload.clone())),
            Requests::Trace(path, options) => {
                let failed = |error| CliError::failed("can't replay the trace", error);
                let mut reader = TraceReader::open(path, options.clone()).map_err(failed)?;
                let first = reader.next().transpose().map_err(failed)?;
                Ok(Self::Trace(first, reader))
            }
        }
    }

    /// How many requests there will be, about: for the progress bar.
    fn expected(&self, plan: &Plan) -> Result<Option<u64>, CliError> {
        let all = match (self, &plan.requests) {
            (Self::Builtin(workload), _) => u64::try_from(workload.requests().len()).ok(),
            (Self::Trace(..), Requests::Trace(path, _)) => {
                let lines = File::open(path).and_then(count_lines);
                Some(
                    lines
                        .map_err(|error| CliError::failed(format!("can't read {}", path.display()), error))?,
                )
            }
            (Self::Trace(..), Requests::Builtin(_)) => None,
        };
        Ok(all.map(|all| all.min(plan.limit.unwrap_or(u64::MAX))))
    }

    fn replay(&mut self, replay: Replay<'_>, engine: &mut Engine) -> Result<ReplayTotals, ReplayError> {
        match self {
            Self::Builtin(workload) => replay.run_all(engine, workload.requests()),
            Self::Trace(first, reader) => replay.run(engine, first.take().map(Ok).into_iter().chain(reader)),
        }
    }

    /// What was wrong with the requests and survived.
    fn problems(&self) -> Vec<String> {
        let Self::Trace(_, reader) = self else {
            return Vec::new();
        };
        let mut problems = Vec::new();
        if let Some(first) = reader.first_skipped() {
            let skipped = reader.skipped();
            let lines = if skipped == 1 {
                "line of the trace was"
            } else {
                "lines of the trace were"
            };
            problems.push(first_of(skipped, lines, "skipped", first));
        }
        if reader.out_of_order() > 0 {
            let early = reader.out_of_order();
            let requests = if early == 1 {
                "request of the trace arrives"
            } else {
                "requests of the trace arrive"
            };
            problems.push(format!("{} {requests} before the one ahead", grouped(early)));
        }
        problems
    }
}

#[expect(clippy::naive_bytecount, reason = "3 GB/s is enough for a progress bar")]
fn count_lines(mut file: File) -> std::io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut lines = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            read => {
                let ends = buffer[..read].iter().filter(|byte| **byte == b'\n').count();
                lines += u64::try_from(ends).unwrap_or(0);
            }
        }
    }
}
