//! Sets the stage of a replay: device, engine, recorder, run.

use super::error::CliError;
use super::plan::{DeviceChoice, Plan};
use kvlens::{DrivenRun, Run, RunBuilder};
use kvlens_core::collector::{RowPolicy, RunReport};
use kvlens_core::recorder::{Overflow, Recorder};
use kvlens_core::{Clock, ClockAnchor, ManualClock, SourceInfo, SystemClock, Tables};
use kvlens_native::device::Device;
use kvlens_native::device::cpu::{CpuDevice, KvDtype};
use kvlens_native::device::sim::SimDevice;
use kvlens_native::recording::RecordingOptions;
use kvlens_native::replay::Pace;
use kvlens_native::{BuiltinModel, Engine, Recording};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that a replay needs, and the run that records it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) engine: Engine,
    pub(super) pace: Pace,
    pub(super) recorded: Recorded,
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
        let (device, clock, pace) = device(plan);
        let recorder = Recorder::new(source_info(plan, device.as_ref(), &clock));
        let recording = recording(plan, &recorder)?;
        let engine = Engine::new(plan.engine.clone(), device, clock.clone(), recording)
            .map_err(|error| CliError::failed("can't set up the engine", error))?;
        let recorded = record(plan, &recorder, clock, matches!(pace, Pace::Virtual(_)))?;
        Ok(Self {
            engine,
            pace,
            recorded,
        })
    }

    /// Ends the run: its directory and what it came to.
    pub(super) fn end(self) -> (Option<PathBuf>, Option<RunReport>) {
        // The engine's rings are drained to the end once their writers are gone.
        drop(self.engine);
        match self.recorded {
            Recorded::Off => (None, None),
            Recorded::Driven(run) => (Some(run.directory().to_owned()), Some(run.finish())),
            Recorded::Threaded(run) => (Some(run.directory().to_owned()), Some(run.stop())),
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

type Devices = (Box<dyn Device>, Arc<dyn Clock>, Pace);

fn device(plan: &Plan) -> Devices {
    match &plan.device {
        DeviceChoice::Sim(spec) => {
            let clock = Arc::new(ManualClock::new(SystemClock::new().wall_ns()));
            let device = SimDevice::new(spec, plan.engine.block_size, clock.clone());
            (Box::new(device), clock.clone(), Pace::Virtual(clock))
        }
        DeviceChoice::Cpu => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let model = Arc::new(BuiltinModel::new(plan.seed));
            (
                CpuDevice::boxed(model, &plan.engine, KvDtype::F16),
                clock.clone(),
                Pace::Real(clock),
            )
        }
    }
}

fn source_info(plan: &Plan, device: &dyn Device, clock: &Arc<dyn Clock>) -> SourceInfo {
    let name = &device.info().name;
    let domain = if device.info().virtual_time {
        "virtual, moved by the device's time model"
    } else {
        "monotonic"
    };
    let mut info = SourceInfo::new("engine-0", "kvlens-native")
        .with_engine_version(env!("CARGO_PKG_VERSION"))
        .with_device(if device.info().virtual_time {
            "sim".to_owned()
        } else {
            name.clone()
        })
        .with_clock(domain, ClockAnchor::take(clock))
        .with_attribute("device_spec", name)
        .with_attribute("block_size", plan.engine.block_size.to_string())
        .with_attribute("kv_blocks", plan.engine.kv_blocks.to_string());
    info.model = Some(match &plan.device {
        DeviceChoice::Sim(spec) => spec.model.name.to_owned(),
        DeviceChoice::Cpu => "built-in".to_owned(),
    });
    info
}

fn recording(plan: &Plan, recorder: &Recorder) -> Result<Recording, CliError> {
    // A replay is not in a hurry: every row is kept.
    let options = RecordingOptions::new(plan.record.tables).with_overflow(Overflow::Block);
    Recording::new(recorder, options).map_err(|error| CliError::failed("can't set up the recording", error))
}

fn record(
    plan: &Plan,
    recorder: &Recorder,
    clock: Arc<dyn Clock>,
    is_virtual: bool,
) -> Result<Recorded, CliError> {
    let record = &plan.record;
    if record.tables == Tables::NONE {
        return Ok(Recorded::Off);
    }
    let mut run = RunBuilder::new(&record.out)
        .formats(record.formats.iter().copied())
        .interval(record.interval)
        .tables(record.tables)
        .collector(|collector| {
            let show = |problem: &str| eprintln!("kvlens: {problem}");
            collector
                .clock(clock)
                .row_policy(RowPolicy::Wait)
                .on_problem(show)
        });
    if let Some(id) = &record.run_id {
        run = run.run_id(id);
    }
    for (name, value) in &plan.options {
        run = run.attribute(*name, value);
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
