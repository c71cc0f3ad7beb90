//! Sets the stage of a replay: device, engine, recorder, run.

use super::device::Made;
use super::error::CliError;
use super::plan::Plan;
use kvlens::{DrivenRun, Run, RunBuilder};
use kvlens_core::collector::{RowPolicy, RunReport};
use kvlens_core::recorder::{Overflow, Recorder};
use kvlens_core::{Clock, ClockAnchor, JobInfo, SourceInfo, Tables};
use kvlens_native::recording::RecordingOptions;
use kvlens_native::replay::Pace;
use kvlens_native::{Engine, EngineConfig, Recording};
use kvlens_parquet::ParquetOptions;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that a replay needs, and the run that records it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) engine: Engine,
    pub(super) pace: Pace,
    pub(super) recorded: Recorded,
    pub(super) shown: Shown,
}

/// Problems that were shown as they arose.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown(Arc<Mutex<Vec<String>>>);

impl Shown {
    fn show(&self, problem: &str) {
        eprintln!("kvlens: {problem}");
        self.lock().push(problem.to_owned());
    }

    /// Shows those that were not, of all that a run had.
    pub(super) fn show_rest(&self, problems: &[String]) {
        for problem in problems {
            // At the end it may also say how often.
            if !self.lock().iter().any(|shown| problem.starts_with(shown)) {
                eprintln!("kvlens: {problem}");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the replay is recorded.
#[derive(Debug)]
pub(super) enum Recorded {
    /// Not at all.
    Off,
    /// On a virtual clock: the engine's thread takes the samples.
    Driven(DrivenRun),
    /// On a real clock: a thread takes them.
    Threaded(Run),
}

impl Stage {
    pub(super) fn set(plan: &Plan) -> Result<Self, CliError> {
        let mut config = plan.engine.clone();
        let made = plan.device.make(&mut config)?;
        let recorder = Recorder::new(source_info(&config, &made));
        let recording = recording(plan, &recorder)?;
        let engine = Engine::new(config, made.device, made.clock.clone(), recording)
            .map_err(|error| CliError::failed("can't set up the engine", error))?;
        let is_virtual = matches!(made.pace, Pace::Virtual(_));
        let shown = Shown::default();
        let run = run(plan, made.clock, shown.clone());
        #[cfg(feature = "cuda")]
        let run = made.gauges.into_iter().fold(run, RunBuilder::source);
        Ok(Self {
            engine,
            pace: made.pace,
            recorded: start(plan, run, &recorder, is_virtual)?,
            shown,
        })
    }

    /// Ends the run, with the problems that the replay had: where it is and what it came to.
    pub(super) fn end(self, problems: &[String]) -> (Option<PathBuf>, Option<RunReport>) {
        // The engine's rings are drained to the end once their writers are gone.
        drop(self.engine);
        match self.recorded {
            Recorded::Off => (None, None),
            Recorded::Driven(run) => {
                let place = run
                    .url()
                    .map_or_else(|| run.directory().to_owned(), PathBuf::from);
                problems.iter().for_each(|problem| run.add_problem(problem));
                (Some(place), Some(run.finish()))
            }
            Recorded::Threaded(run) => {
                let place = run
                    .url()
                    .map_or_else(|| run.directory().to_owned(), PathBuf::from);
                problems.iter().for_each(|problem| run.add_problem(problem));
                (Some(place), Some(run.stop()))
            }
        }
    }
}

impl Recorded {
    #[inline]
    pub(super) fn after_step(&mut self, now_ns: u64) {
        if let Self::Driven(run) = self {
            run.after_step(now_ns);
        }
    }
}

fn source_info(config: &EngineConfig, made: &Made) -> SourceInfo {
    let device = made.device.info();
    let domain = if device.virtual_time {
        "virtual, moved by the device's time model"
    } else {
        "monotonic"
    };
    let name = if device.virtual_time { "sim" } else { &device.name };
    SourceInfo::new("engine-0", "kvlens-native")
        .with_engine_version(env!("CARGO_PKG_VERSION"))
        .with_device(name)
        .with_model(&made.model)
        .with_clock(domain, ClockAnchor::take(&made.clock))
        .with_attribute("device_spec", &device.name)
        .with_attribute("block_size", config.block_size.to_string())
        .with_attribute("kv_blocks", config.kv_blocks.to_string())
}

fn recording(plan: &Plan, recorder: &Recorder) -> Result<Recording, CliError> {
    // A replay is not in a hurry: every row is kept.
    let mut options = RecordingOptions::new(plan.record.tables).with_overflow(Overflow::Block);
    options.almost_hits = plan.record.almost_hits;
    Recording::new(recorder, options).map_err(|error| CliError::failed("can't set up the recording", error))
}

fn run(plan: &Plan, clock: Arc<dyn Clock>, shown: Shown) -> RunBuilder {
    let record = &plan.record;
    let mut run = RunBuilder::new(&record.out)
        .formats(record.formats.iter().copied())
        .interval(record.interval)
        .tables(record.tables)
        .collector(|collector| {
            collector
                .clock(clock)
                .row_policy(RowPolicy::Wait)
                .on_problem(move |problem| shown.show(problem))
        });
    if let Some(id) = &record.run_id {
        run = run.run_id(id);
    }
    if let Some(job) = &record.job {
        run = run.job(JobInfo::named(job));
    }
    if let Some(age) = record.part_time {
        run = run.parquet(ParquetOptions::default().with_part_time(age));
    }
    #[cfg(feature = "store")]
    {
        let mut options =
            kvlens_store::UploadOptions::default().on_notice(|text| eprintln!("kvlens: {text}"));
        if let Some(patience) = record.patience {
            options = options.with_patience(patience);
        }
        run = run.upload(options);
        if let Some(spool) = &record.spool {
            run = run.spool(spool);
        }
    }
    plan.options
        .iter()
        .fold(run, |run, (name, value)| run.attribute(*name, value))
}

fn start(plan: &Plan, run: RunBuilder, recorder: &Recorder, is_virtual: bool) -> Result<Recorded, CliError> {
    if plan.record.tables == Tables::NONE {
        return Ok(Recorded::Off);
    }
    let started = if is_virtual {
        run.drive(recorder).map(Recorded::Driven)
    } else {
        run.recorder(recorder)
            .and_then(RunBuilder::start)
            .map(Recorded::Threaded)
    };
    started.map_err(|error| CliError::failed("can't record the run", error))
}
