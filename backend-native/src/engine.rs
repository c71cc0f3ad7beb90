//! The engine: requests in, tokens out, one step at a time.

use crate::config::EngineConfig;
use crate::counts::StepCounts;
use crate::device::{Device, StepBatch, StepOutput};
use crate::error::{Error, Result};
use crate::recording::{Live, Recording, StepTimes};
use crate::request::Request;
use crate::scheduler::{AuditError, Ended, Fork, PlannedSequences, Scheduler};
use kvlens_core::record::FinishReason;
use kvlens_core::{BoxError, Clock};
use std::sync::Arc;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StepSummary {
    /// The step's number; of the next step where nothing ran.
    pub step: u64,
    /// When it began, on the engine's clock.
    pub start_ns: u64,
    /// When its tokens were known.
    pub end_ns: u64,
    /// Requests that took part; 0 where there was nothing to do, and no step was counted.
    pub requests: u32,
    /// Tokens computed.
    pub tokens: u32,
    /// Tokens sampled.
    pub sampled: u32,
    /// Requests admitted, for the first time or again.
    pub admitted: u32,
    /// Requests preempted.
    pub preempted: u32,
    /// Requests finished.
    pub finished: u32,
}

/// A token that a step gave to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// The request.
    pub request: u64,
    /// The token.
    pub token: u32,
    /// Why the request ended, if it did.
    pub finished: Option<FinishReason>,
}

/// Where an engine's KV blocks and requests stand now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineState {
    /// Requests in the running batch.
    pub requests_running: u32,
    /// Requests queued, without KV.
    pub requests_waiting: u32,
    /// Preempted requests with their KV in the host pool.
    pub requests_swapped: u32,
    /// KV blocks that requests can use.
    pub kv_blocks_total: u32,
    /// KV blocks that requests hold.
    pub kv_blocks_used: u32,
    /// KV blocks that no request holds and whose content can be hit.
    pub kv_blocks_cached: u32,
    /// KV blocks that hold nothing reusable.
    pub kv_blocks_free: u32,
    /// Token slots filled in used blocks.
    pub kv_tokens_used: u64,
    /// KV blocks handed out so far.
    pub kv_blocks_allocated: u64,
    /// KV blocks whose reusable content was lost so far.
    pub kv_blocks_evicted: u64,
}

/// A paged-KV engine: it schedules requests on the blocks of a device, and records itself.
///
/// ```
/// use kvlens_core::SystemClock;
/// use kvlens_native::device::NullDevice;
/// use kvlens_native::{Engine, EngineConfig, Prompt, Recording, Request};
/// use std::sync::Arc;
///
/// let config = EngineConfig::new(16, 64);
/// let clock = Arc::new(SystemClock::new());
/// let mut engine = Engine::new(config, Box::new(NullDevice::new()), clock, Recording::off())?;
/// engine.add(Request::new(1, Prompt::tokens([1, 2, 3]), 4))?;
/// let mut tokens = 0;
/// while engine.has_work() {
///     engine.step()?;
///     tokens += engine.outputs().len();
/// }
/// assert_eq!(tokens, 4);
/// # Ok::<(), kvlens_native::Error>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    scheduler: Scheduler,
    device: Box<dyn Device>,
    clock: Arc<dyn Clock>,
    recording: Option<Box<Live>>,
    /// Whether the host's time between two clock readings means anything.
    times_scheduling: bool,
    step: u64,
    output: StepOutput,
    outputs: Vec<Output>,
    ended: Vec<Ended>,
    /// Duration of the last step without prefills.
    decode_only_ns: Option<u64>,
}

impl Engine {
    /// Makes an engine.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or does not suit the device.
    pub fn new(
        config: EngineConfig,
        device: Box<dyn Device>,
        clock: Arc<dyn Clock>,
        recording: Recording,
    ) -> Result<Self> {
        config.check(device.info())?;
        let pool = recording.pool(&config);
        let access_sample_every = recording.access_sample_every(&config);
        let times_scheduling = recording.is_on() && !device.info().virtual_time;
        Ok(Self {
            recording: recording.begin(&config, device.info().steps_late),
            scheduler: Scheduler::new(config, pool, access_sample_every),
            device,
            clock,
            times_scheduling,
            step: 0,
            output: StepOutput::default(),
            outputs: Vec::new(),
            ended: Vec::new(),
            decode_only_ns: None,
        })
    }

    /// How the engine is set up.
    pub fn config(&self) -> &EngineConfig {
        &self.scheduler.config
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`Error::NeverFits`], [`Error::EmptyRequest`], [`Error::DuplicateId`]: the request is refused, nothing changes.
    pub fn add(&mut self, request: Request) -> Result<()> {
        self.scheduler.add(request)
    }

    /// Starts a request that shares the tokens and the KV of a running one.
    ///
    /// # Errors
    /// [`Error::UnknownRequest`], [`Error::NotForkable`], and those of [`add`](Self::add).
    pub fn fork(&mut self, fork: Fork) -> Result<()> {
        let now = self.clock.monotonic_ns();
        self.scheduler.fork(fork, now, self.step)
    }

    /// Ends a request.
    ///
    /// # Errors
    /// [`Error::UnknownRequest`] if it is not live.
    pub fn abort(&mut self, id: u64) -> Result<()> {
        let now = self.clock.monotonic_ns();
        let ended = self.scheduler.abort(id, now)?;
        self.record_ended(ended, now);
        Ok(())
    }

    /// Whether a request is live.
    pub fn has_work(&self) -> bool {
        self.scheduler.has_work()
    }

    /// The tokens that the last step gave, in batch order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Where blocks and requests stand.
    pub fn state(&self) -> EngineState {
        let pool = &self.scheduler.pool;
        EngineState {
            requests_running: self.scheduler.running(),
            requests_waiting: self.scheduler.waiting(),
            requests_swapped: self.scheduler.swapped(),
            kv_blocks_total: pool.total(),
            kv_blocks_used: pool.used(),
            kv_blocks_cached: pool.cached(),
            kv_blocks_free: pool.free(),
            kv_tokens_used: self.scheduler.kv_tokens_used,
            kv_blocks_allocated: pool.totals().allocated,
            kv_blocks_evicted: pool.totals().evicted,
        }
    }

    /// Runs one step; without a live request it does nothing.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::DeviceContract`]: requests with KV on the device have ended with an error, the
    /// others can go on.
    pub fn step(&mut self) -> Result<StepSummary> {
        self.outputs.clear();
        let start = self.clock.monotonic_ns();
        if !self.scheduler.has_work() {
            return Ok(StepSummary {
                step: self.step,
                start_ns: start,
                end_ns: start,
                ..StepSummary::default()
            });
        }
        self.scheduler.schedule(start, self.step);
        let scheduled = self.times_scheduling.then(|| self.clock.monotonic_ns());
        self.execute()?;
        let times = StepTimes {
            step: self.step,
            start,
            end: self.clock.monotonic_ns(),
            scheduled,
        };
        let counts = self.complete(times);
        self.step += 1;
        Ok(StepSummary {
            step: times.step,
            start_ns: start,
            end_ns: times.end,
            requests: counts.requests(),
            tokens: counts.tokens(),
            sampled: counts.sampled,
            admitted: counts.admitted,
            preempted: counts.preempted(),
            finished: counts.finished,
        })
    }

    /// Hands the step to the device.
    fn execute(&mut self) -> Result<()> {
        self.output.clear();
        let scheduler = &self.scheduler;
        let batch = StepBatch {
            step: self.step,
            swap_out: &scheduler.swap_out,
            copies: &scheduler.copies,
            swap_in: &scheduler.swap_in,
            sequences: &PlannedSequences {
                plans: &scheduler.plans,
                slab: &scheduler.slab,
            },
        };
        if let Err(source) = self.device.execute(&batch, &mut self.output) {
            return Err(self.fail(source));
        }
        let wanted = scheduler.plans.iter().filter(|plan| plan.sampled).count();
        let found = self.output.tokens.len();
        if wanted == found {
            return Ok(());
        }
        self.end_resident();
        Err(Error::DeviceContract {
            device: self.device.info().name.clone(),
            step: self.step - 1,
            found,
            wanted,
        })
    }

    fn fail(&mut self, source: BoxError) -> Error {
        let failed = self.end_resident();
        Error::Device {
            device: self.device.info().name.clone(),
            step: self.step - 1,
            failed,
            source,
        }
    }

    /// Ends all requests with KV; counts them. The failed step keeps its number and has no row.
    fn end_resident(&mut self) -> usize {
        let now = self.clock.monotonic_ns();
        let ended = self.scheduler.fail_resident(now);
        for end in &ended {
            self.record_ended(*end, now);
        }
        self.step += 1;
        ended.len()
    }

    fn record_ended(&mut self, ended: Ended, now: u64) {
        if let Some(live) = &mut self.recording {
            live.request(&self.scheduler, ended, now);
        }
        self.scheduler.forget(ended.slot);
    }

    /// Works out what follows from an executed step; gives its counts, and starts new ones.
    fn complete(&mut self, times: StepTimes) -> StepCounts {
        self.observe_stall(times);
        self.complete_plans(times);
        let mut ended = std::mem::take(&mut self.ended);
        self.scheduler.end_running(&ended, times.end);
        for end in ended.drain(..) {
            self.record_ended(end, times.end);
        }
        self.ended = ended;
        if let Some(live) = &mut self.recording {
            live.step(&mut self.scheduler, times, &self.output.times);
        }
        std::mem::take(&mut self.scheduler.counts)
    }

    /// Counts what was computed, and gives sequences their tokens.
    fn complete_plans(&mut self, times: StepTimes) {
        let scheduler = &mut self.scheduler;
        let mut tokens = self.output.tokens.iter();
        for at in 0..scheduler.plans.len() {
            let plan = scheduler.plans[at];
            scheduler.account(plan, times.end);
            if !plan.sampled {
                continue;
            }
            let Some(&token) = tokens.next() else { continue };
            let output = scheduler.give(plan.slot, token);
            let stall = scheduler.stall;
            let timing = &mut scheduler.slab[plan.slot].timing;
            let gap = timing.token(times.end, times.step, stall);
            if let Some(live) = &mut self.recording {
                live.token(timing.arrival, gap, times.end);
            }
            if let Some(reason) = output.finished {
                self.ended.push(Ended {
                    slot: plan.slot,
                    reason,
                });
            }
            self.outputs.push(output);
        }
    }

    /// Adds up by how much prefills made this step longer for those that decode.
    fn observe_stall(&mut self, times: StepTimes) {
        let counts = &self.scheduler.counts;
        if counts.decode_requests == 0 {
            return;
        }
        let step_ns = times.end.saturating_sub(times.start);
        if counts.prefill_requests == 0 {
            self.decode_only_ns = Some(step_ns);
            return;
        }
        let device = self.output.times.iter().find(|time| time.step == times.step);
        let took = match (self.output.decode_only_ns, device) {
            (Some(_), Some(device)) => device.device_ns,
            _ => step_ns,
        };
        match self.output.decode_only_ns.or(self.decode_only_ns) {
            Some(without) => self.scheduler.stall.total_ns += took.saturating_sub(without),
            None => self.scheduler.stall.unknown += 1,
        }
    }

    /// Forgets all reusable KV; what requests hold stays.
    pub fn reset_prefix_cache(&mut self) {
        let now = self.clock.monotonic_ns();
        self.scheduler.pool.reset_cache(now);
    }

    /// Records what is still open: late device times, and the lives of all blocks, as censored. Call it once, at the end.
    ///
    /// # Errors
    /// [`Error::Device`] if the device could not end its work.
    pub fn finish(&mut self) -> Result<()> {
        self.output.clear();
        let result = self.device.finish(&mut self.output);
        let now = self.clock.monotonic_ns();
        self.scheduler.note_uses();
        self.scheduler.pool.finish(now);
        if let Some(live) = &mut self.recording {
            live.finish(&mut self.scheduler, &self.output.times);
        }
        self.scheduler.counts = StepCounts::default();
        result.map_err(|source| Error::Device {
            device: self.device.info().name.clone(),
            step: self.step,
            failed: 0,
            source,
        })
    }

    /// Checks every invariant of queues and blocks by walking all of them: for tests.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn audit(&self) -> Result<(), AuditError> {
        self.scheduler.audit()
    }
}
