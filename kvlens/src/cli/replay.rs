//! `kvlens run`: a replay on the built-in engine, recorded.

use super::args::RunArgs;
use super::config;
use super::error::CliError;
use super::plan::{Plan, Requests};
use super::progress::Progress;
use super::stage::Stage;
use super::summary::{Replayed, Summary};
use super::{Outcome, print};
use kvlens_native::Engine;
use kvlens_native::replay::{Pace, Replay, ReplayError, ReplayStep, ReplayTotals};
use kvlens_native::trace::TraceReader;
use kvlens_native::workload::Conversations;
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
    let (directory, report) = stage.end();
    let totals = result.map_err(|error| failed(error, directory.as_deref()))?;
    let mut summary = Summary::new(
        Replayed::new(&totals, step_times.median(), wall, simulated),
        report.as_ref(),
        directory.as_deref(),
    );
    requests
        .problems()
        .into_iter()
        .for_each(|problem| summary.add_problem(problem));
    if let Some(error) = &totals.first_refused {
        summary.add_problem(format!(
            "{} requests were refused, the first because {error}",
            totals.refused
        ));
    }
    if plan.json {
        print(&summary.json())?;
    } else if !plan.quiet {
        print(&summary.text())?;
    }
    Ok(match (totals.cancelled, summary.is_incomplete()) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Incomplete,
        (false, false) => Outcome::Well,
    })
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
    Trace(TraceReader<BufReader<File>>),
}

impl Feed {
    fn open(plan: &Plan) -> Result<Self, CliError> {
        match &plan.requests {
            Requests::Builtin(workload) => Ok(Self::Builtin(workload.clone())),
            Requests::Trace(path, options) => TraceReader::open(path, options.clone())
                .map(Self::Trace)
                .map_err(|error| CliError::failed("can't replay the trace", error)),
        }
    }

    /// How many requests there will be, about: for the progress bar.
    fn expected(&self, plan: &Plan) -> Result<Option<u64>, CliError> {
        let all = match (self, &plan.requests) {
            (Self::Builtin(workload), _) => u64::try_from(workload.requests().len()).ok(),
            (Self::Trace(_), Requests::Trace(path, _)) => {
                let lines = File::open(path).and_then(count_lines);
                Some(
                    lines
                        .map_err(|error| CliError::failed(format!("can't read {}", path.display()), error))?,
                )
            }
            (Self::Trace(_), Requests::Builtin(_)) => None,
        };
        Ok(all.map(|all| all.min(plan.limit.unwrap_or(u64::MAX))))
    }

    fn replay(&mut self, replay: Replay<'_>, engine: &mut Engine) -> Result<ReplayTotals, ReplayError> {
        match self {
            Self::Builtin(workload) => replay.run_all(engine, workload.requests()),
            Self::Trace(reader) => replay.run(engine, reader),
        }
    }

    /// What was wrong with the requests and survived.
    fn problems(&self) -> Vec<String> {
        let Self::Trace(reader) = self else {
            return Vec::new();
        };
        let mut problems = Vec::new();
        if let Some(first) = reader.first_skipped() {
            problems.push(format!(
                "{} lines of the trace were skipped, the first because {first}",
                reader.skipped()
            ));
        }
        if reader.out_of_order() > 0 {
            problems.push(format!(
                "{} requests of the trace arrive before the one ahead of them",
                reader.out_of_order()
            ));
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
