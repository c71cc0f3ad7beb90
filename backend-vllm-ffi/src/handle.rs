//! What a handle stands for.

use crate::destination::Upload;
use crate::feed::{Feed, FeedBuilder};
use crate::settings::Settings;
use crate::shared::lock;
use crate::status::{
    Failure, KVLENS_ALREADY_STARTED, KVLENS_BUSY, KVLENS_CLOSED, KVLENS_NOT_STARTED, KVLENS_PANIC,
    KVLENS_TIMEOUT, KvlensResult,
};
use crate::{fault, summary};
use kvlens_core::collector::RunReport;
use kvlens_core::{CollectorHandle, MetricDesc};
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// How often a push looks whether another one is done before it gives up: some ten microseconds in all.
const TRIES: u32 = 500;

const OPEN: u8 = 0;
const RUNNING: u8 = 1;
const CLOSED: u8 = 2;
const POISONED: u8 = 3;

/// A collector, seen from C: made by `kvlens_open`, freed by `kvlens_free`.
pub struct KvlensCollector {
    pid: u32,
    state: AtomicU8,
    feed: Mutex<Option<Feed>>,
    lifecycle: Mutex<Lifecycle>,
    error: Mutex<String>,
    pub(crate) problems: Arc<Mutex<Vec<String>>>,
    busy: AtomicU64,
}

impl fmt::Debug for KvlensCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvlensCollector")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

enum Lifecycle {
    Open(Box<(Settings, FeedBuilder)>),
    Running(CollectorHandle, Upload),
    Closed(Option<Box<RunReport>>),
}

impl KvlensCollector {
    pub(crate) fn open(settings: Settings) -> Self {
        let feed = settings.feed();
        Self {
            pid: std::process::id(),
            state: AtomicU8::new(OPEN),
            feed: Mutex::new(None),
            lifecycle: Mutex::new(Lifecycle::Open(Box::new((settings, feed)))),
            error: Mutex::default(),
            problems: Arc::default(),
            busy: AtomicU64::new(0),
        }
    }

    pub(crate) fn forked(&self) -> bool {
        self.pid != std::process::id()
    }

    pub(crate) fn poison(&self) {
        self.state.store(POISONED, Ordering::Relaxed);
        "a panic was caught in this library, which is a defect of it; \
            the collector takes nothing more, and what it has is written when it is closed"
            .clone_into(&mut lock(&self.error));
    }

    pub(crate) fn set_error(&self, failure: &Failure) {
        *lock(&self.error) = failure.text();
    }

    pub(crate) fn error(&self) -> String {
        lock(&self.error).clone()
    }

    pub(crate) fn declare(&self, metric: MetricDesc) -> Result<usize, Failure> {
        match &mut *lock(&self.lifecycle) {
            Lifecycle::Open(open) => Ok(open.1.declare(metric)?),
            Lifecycle::Running(..) => Err(Failure::new(
                KVLENS_ALREADY_STARTED,
                "metrics are declared before kvlens_start, when the list of columns is final",
            )),
            Lifecycle::Closed(_) => Err(Failure::code(KVLENS_CLOSED)),
        }
    }

    pub(crate) fn start(&self) -> Result<(), Failure> {
        let mut lifecycle = lock(&self.lifecycle);
        let open = match std::mem::replace(&mut *lifecycle, Lifecycle::Closed(None)) {
            Lifecycle::Open(open) => *open,
            other => {
                let code = if matches!(other, Lifecycle::Running(..)) {
                    KVLENS_ALREADY_STARTED
                } else {
                    KVLENS_CLOSED
                };
                *lifecycle = other;
                return Err(Failure::code(code));
            }
        };
        let (settings, builder) = open;
        let started = settings.start(builder, &self.problems);
        match started {
            Ok((feed, handle, upload)) => {
                *lock(&self.feed) = Some(feed);
                *lifecycle = Lifecycle::Running(handle, upload);
                self.state.store(RUNNING, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.state.store(CLOSED, Ordering::Release);
                Err(error.into())
            }
        }
    }

    /// Hands the feed to `body`, unless another thread has it for long.
    #[inline]
    pub(crate) fn push(&self, body: impl FnOnce(&mut Feed) -> Result<(), Failure>) -> Result<(), Failure> {
        let state = self.state.load(Ordering::Acquire);
        if state != RUNNING {
            return Err(Failure::code(code_of(state)));
        }
        let mut feed = self.feed()?;
        let feed = feed.as_mut().ok_or_else(|| Failure::code(KVLENS_NOT_STARTED))?;
        fault::on_push(&feed.shared);
        body(feed)
    }

    fn feed(&self) -> Result<MutexGuard<'_, Option<Feed>>, Failure> {
        for _ in 0..TRIES {
            match self.feed.try_lock() {
                Ok(feed) => return Ok(feed),
                Err(TryLockError::Poisoned(feed)) => return Ok(feed.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        Err(Failure::code(KVLENS_BUSY))
    }

    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), Failure> {
        match &*lock(&self.lifecycle) {
            Lifecycle::Running(handle, _) if handle.flush(timeout) => Ok(()),
            Lifecycle::Running(..) => Err(Failure::new(
                KVLENS_TIMEOUT,
                "an exporter did not make its data safe in the time given; see the problems in the summary",
            )),
            Lifecycle::Open(_) => Err(Failure::code(KVLENS_NOT_STARTED)),
            Lifecycle::Closed(_) => Err(Failure::code(KVLENS_CLOSED)),
        }
    }

    /// Ends the run; a second call does nothing.
    pub(crate) fn close(&self) {
        if self.state.load(Ordering::Acquire) != POISONED {
            self.state.store(CLOSED, Ordering::Release);
        }
        let mut lifecycle = lock(&self.lifecycle);
        if matches!(*lifecycle, Lifecycle::Closed(_)) {
            return;
        }
        let ended = std::mem::replace(&mut *lifecycle, Lifecycle::Closed(None));
        if let Lifecycle::Running(handle, upload) = ended {
            let mut report = handle.stop().map(Box::new);
            let left = upload.finish();
            left.iter().for_each(|problem| self.tell(problem));
            if let Some(report) = &mut report {
                report.problems.extend(left);
            }
            *lifecycle = Lifecycle::Closed(report);
        }
    }

    /// What is known now, as JSON.
    pub(crate) fn snapshot(&self) -> Result<String, Failure> {
        let feed = lock(&self.feed);
        let feed = feed.as_ref().ok_or_else(|| Failure::code(KVLENS_NOT_STARTED))?;
        let busy = self.busy.load(Ordering::Relaxed);
        Ok(summary::snapshot(feed, &self.all_problems(), busy))
    }

    /// What the run came to, as JSON: the report of a closed run, or the sources' figures up to their last samples.
    pub(crate) fn summary(&self, timeout: Duration) -> Result<String, Failure> {
        match &*lock(&self.lifecycle) {
            Lifecycle::Running(handle, _) => {
                let sources = handle
                    .summaries(timeout)
                    .ok_or_else(|| Failure::code(KVLENS_TIMEOUT))?;
                Ok(summary::running(handle.schema(), &sources, &self.all_problems()))
            }
            Lifecycle::Closed(Some(report)) => Ok(summary::closed(report)),
            Lifecycle::Closed(None) => Err(Failure::code(KVLENS_CLOSED)),
            Lifecycle::Open(_) => Err(Failure::code(KVLENS_NOT_STARTED)),
        }
    }

    /// Keeps a problem that came after the collector's end.
    fn tell(&self, problem: &str) {
        eprintln!("kvlens: {problem}");
        lock(&self.problems).push(problem.to_owned());
    }

    fn all_problems(&self) -> Vec<String> {
        lock(&self.problems).clone()
    }
}

fn code_of(state: u8) -> KvlensResult {
    match state {
        OPEN => KVLENS_NOT_STARTED,
        POISONED => KVLENS_PANIC,
        _ => KVLENS_CLOSED,
    }
}
