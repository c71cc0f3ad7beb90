//! Feeds an engine with requests at the right moments until all are done.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvlens_core::{BoxError, Clock, ManualClock};

use crate::engine::{Engine, StepSummary};
use crate::request::Request;
use crate::workload::Arrivals;

/// How long a sleep until the next arrival goes on before the cancel flag is looked at again.
pub const CANCEL_CHECK: Duration = Duration::from_millis(20);

/// Steps in a row that may compute nothing before a replay gives up.
pub const MAX_IDLE_STEPS: u32 = 1_000;

/// How a replay passes the time until the next request arrives.
#[derive(Debug, Clone)]
pub enum Pace {
    /// Moves the clock there: for simulated devices, on the clock that the device moves.
    Virtual(Arc<ManualClock>),
    /// Sleeps on a clock that runs by itself.
    Real(Arc<dyn Clock>),
}

/// What has happened in a replay so far.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ReplayTotals {
    /// Requests that the engine took.
    pub submitted: u64,
    /// Requests that ran to their end.
    pub finished: u64,
    /// Requests that were given up because the replay was cancelled or failed.
    pub aborted: u64,
    /// Requests that the engine refused, because they could never run.
    pub refused: u64,
    /// Why the first of them was refused.
    pub first_refused: Option<crate::Error>,
    /// Steps that computed something.
    pub steps: u64,
    /// Prompt tokens of the requests that the engine took.
    pub prompt_tokens: u64,
    /// Tokens computed.
    pub computed_tokens: u64,
    /// Tokens sampled.
    pub generation_tokens: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// When the replay began, on the engine's clock.
    pub start_ns: u64,
    /// When its last step ended, on the engine's clock.
    pub end_ns: u64,
    /// Whether it was cancelled.
    pub cancelled: bool,
}

/// What is shown after a step.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReplayStep<'a> {
    /// The engine, between two steps.
    pub engine: &'a Engine,
    /// What the step did.
    pub step: &'a StepSummary,
    /// What has happened so far, the step included.
    pub totals: &'a ReplayTotals,
    /// Requests that are under way.
    pub in_flight: usize,
}

/// What can end a replay early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] crate::Error),
    /// The next request could not be had; what ran has been given up.
    #[error("the replay ended after {requests} requests, because the next one could not be had")]
    Requests {
        /// How many requests came before it.
        requests: u64,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The engine has requests and computes nothing.
    #[error(
        "the engine has {in_flight} requests and computed nothing in {steps} steps: give it more KV blocks"
    )]
    Stalled {
        /// Requests under way.
        in_flight: usize,
        /// Steps in a row that computed nothing.
        steps: u32,
    },
}

/// A function that is called after every step.
type StepHook<'a> = Box<dyn FnMut(&ReplayStep<'_>) + 'a>;

/// A replay, being set up.
///
/// ```
/// use std::sync::Arc;
/// use kvlens_core::ManualClock;
/// use kvlens_native::device::sim::{SimDevice, SimSpec};
/// use kvlens_native::replay::{Pace, Replay};
/// use kvlens_native::workload::{Arrivals, Conversations};
/// use kvlens_native::{Engine, EngineConfig, Recording};
///
/// let clock = Arc::new(ManualClock::new(0));
/// let device = SimDevice::new(&SimSpec::default(), 16, clock.clone());
/// let config = EngineConfig::new(16, 4096);
/// let mut engine = Engine::new(config, Box::new(device), clock.clone(), Recording::off())?;
/// let requests = Conversations::new(1).requests();
/// let totals = Replay::new(Pace::Virtual(clock))
///     .with_arrivals(Arrivals::AS_RECORDED)
///     .with_limit(100)
///     .run_all(&mut engine, requests)?;
/// assert_eq!(totals.finished, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a replay does nothing until it is run"]
pub struct Replay<'a> {
    pace: Pace,
    arrivals: Arrivals,
    limit: u64,
    cancel: Option<&'a AtomicBool>,
    on_step: Option<StepHook<'a>>,
}

impl<'a> Replay<'a> {
    /// Sets up a replay with arrivals as recorded and no limit.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            arrivals: Arrivals::AS_RECORDED,
            limit: u64::MAX,
            cancel: None,
            on_step: None,
        }
    }

    /// Sets when requests arrive.
    pub fn with_arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Takes at most this many requests.
    pub fn with_limit(mut self, requests: u64) -> Self {
        self.limit = requests;
        self
    }

    /// Gives up what runs, and ends well, once the flag is set.
    pub fn with_cancel(mut self, flag: &'a AtomicBool) -> Self {
        self.cancel = Some(flag);
        self
    }

    /// Calls a function after every step: to show progress, to drive a collector in virtual time, to check something.
    pub fn on_step(mut self, hook: impl FnMut(&ReplayStep<'_>) + 'a) -> Self {
        self.on_step = Some(Box::new(hook));
        self
    }

    /// Runs requests that can't fail to be had; else as [`run`](Self::run).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_all(
        self,
        engine: &mut Engine,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<ReplayTotals, ReplayError> {
        self.run(
            engine,
            requests.into_iter().map(Ok::<_, std::convert::Infallible>),
        )
    }

    /// Runs requests to their end, or until the replay is cancelled, and then [finishes](Engine::finish) the engine.
    ///
    /// A request that the engine refuses is counted and passed over.
    ///
    /// # Errors
    /// If the engine fails or stalls, or if a request can't be had. What ran then is given up and recorded as such.
    pub fn run<E: Into<BoxError>>(
        mut self,
        engine: &mut Engine,
        requests: impl IntoIterator<Item = Result<Request, E>>,
    ) -> Result<ReplayTotals, ReplayError> {
        let start_ns = self.now_ns();
        let mut run = Run {
            requests: requests.into_iter(),
            next: None,
            live: HashSet::new(),
            idle_steps: 0,
            totals: ReplayTotals {
                start_ns,
                end_ns: start_ns,
                ..ReplayTotals::default()
            },
        };
        let result = run.drive(&mut self, engine);
        if result.is_err() || run.totals.cancelled {
            run.abort_all(engine);
        }
        let finished = engine.finish();
        result?;
        finished?;
        Ok(run.totals)
    }

    fn now_ns(&self) -> u64 {
        match &self.pace {
            Pace::Virtual(clock) => clock.monotonic_ns(),
            Pace::Real(clock) => clock.monotonic_ns(),
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Passes the time until `due_ns`, or less where the clock is real and the flag may have been set meanwhile.
    fn pass_time(&self, due_ns: u64) {
        match &self.pace {
            Pace::Virtual(clock) => clock.advance_to(due_ns),
            Pace::Real(clock) => {
                let left = Duration::from_nanos(due_ns.saturating_sub(clock.monotonic_ns()));
                std::thread::sleep(left.min(CANCEL_CHECK));
            }
        }
    }
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("pace", &self.pace)
            .field("arrivals", &self.arrivals)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// A replay under way.
struct Run<I> {
    requests: I,
    /// The next request, had already and not due yet.
    next: Option<Request>,
    live: HashSet<u64>,
    idle_steps: u32,
    totals: ReplayTotals,
}

impl<I, E> Run<I>
where
    I: Iterator<Item = Result<Request, E>>,
    E: Into<BoxError>,
{
    fn drive(&mut self, replay: &mut Replay<'_>, engine: &mut Engine) -> Result<(), ReplayError> {
        loop {
            if replay.cancelled() {
                self.totals.cancelled = true;
                return Ok(());
            }
            let next_due_ns = self.submit(replay, engine)?;
            if engine.has_work() {
                self.step(replay, engine)?;
            } else {
                match next_due_ns {
                    Some(due_ns) => replay.pass_time(due_ns),
                    None => return Ok(()),
                }
            }
        }
    }

    /// Hands over what is due; returns when the next request is, if that is known and still to come.
    fn submit(&mut self, replay: &Replay<'_>, engine: &mut Engine) -> Result<Option<u64>, ReplayError> {
        while self.live.len() < replay.arrivals.in_flight() {
            let Some(request) = self.take_next(replay.limit)? else {
                return Ok(None);
            };
            let now_ns = replay.now_ns();
            let due_ns = match replay.arrivals {
                Arrivals::Closed { .. } => now_ns,
                arrivals => self
                    .totals
                    .start_ns
                    .saturating_add(arrivals.due_ns(request.arrival_ns)),
            };
            if due_ns > now_ns {
                self.next = Some(request);
                return Ok(Some(due_ns));
            }
            self.add(engine, request.with_arrival_ns(due_ns));
        }
        Ok(None)
    }

    fn take_next(&mut self, limit: u64) -> Result<Option<Request>, ReplayError> {
        if let Some(request) = self.next.take() {
            return Ok(Some(request));
        }
        let had = self.totals.submitted + self.totals.refused;
        if had >= limit {
            return Ok(None);
        }
        self.requests
            .next()
            .transpose()
            .map_err(|error| ReplayError::Requests {
                requests: had,
                source: error.into(),
            })
    }

    fn add(&mut self, engine: &mut Engine, request: Request) {
        let (id, tokens) = (request.id, request.prompt.len());
        match engine.add(request) {
            Ok(()) => {
                self.live.insert(id);
                self.totals.submitted += 1;
                self.totals.prompt_tokens += u64::try_from(tokens).unwrap_or(u64::MAX);
            }
            Err(error) => {
                self.totals.refused += 1;
                self.totals.first_refused.get_or_insert(error);
            }
        }
    }

    fn step(&mut self, replay: &mut Replay<'_>, engine: &mut Engine) -> Result<(), ReplayError> {
        let step = engine.step()?;
        self.idle_steps = if step.requests == 0 {
            self.idle_steps + 1
        } else {
            0
        };
        if self.idle_steps >= MAX_IDLE_STEPS {
            return Err(ReplayError::Stalled {
                in_flight: self.live.len(),
                steps: self.idle_steps,
            });
        }
        let totals = &mut self.totals;
        totals.steps += u64::from(step.requests > 0);
        totals.computed_tokens += u64::from(step.tokens);
        totals.generation_tokens += u64::from(step.sampled);
        totals.preemptions += u64::from(step.preempted);
        totals.end_ns = totals.end_ns.max(step.end_ns);
        if step.finished > 0 {
            let ended = engine.outputs().iter().filter(|output| output.finished.is_some());
            let before = self.live.len();
            ended.for_each(|output| {
                self.live.remove(&output.request);
            });
            totals.finished += u64::try_from(before - self.live.len()).unwrap_or(0);
        }
        if let Some(hook) = &mut replay.on_step {
            hook(&ReplayStep {
                engine,
                step: &step,
                totals: &self.totals,
                in_flight: self.live.len(),
            });
        }
        Ok(())
    }

    /// Gives up what runs; what the engine ended by itself meanwhile is not counted.
    fn abort_all(&mut self, engine: &mut Engine) {
        let mut live: Vec<u64> = self.live.drain().collect();
        live.sort_unstable();
        for id in live {
            self.totals.aborted += u64::from(engine.abort(id).is_ok());
        }
    }
}
