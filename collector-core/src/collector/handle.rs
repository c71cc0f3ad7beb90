//! A collector on a thread of its own.

use super::driver::Collector;
use super::problems::Problems;
use super::report::{RunReport, SourceSummary};
use crate::error::{Error, Result};
use crate::run::RunSchema;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often rings are drained between samples, at least; an engine's rings must hold what arises in that time.
const DRAIN_EVERY: Duration = Duration::from_millis(10);

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const DROPPED: u8 = 2;

/// Something asked of the collector's thread, with where the answer goes.
#[derive(Debug)]
enum Ask {
    Flush(SyncSender<bool>),
    Summaries(SyncSender<Vec<SourceSummary>>),
}

#[derive(Debug, Default)]
struct Control {
    state: AtomicU8,
    asks: Mutex<Vec<Ask>>,
}

/// A running [`Collector`].
///
/// Dropping the handle ends the run as not clean; everything taken so far is written.
#[derive(Debug)]
#[must_use = "dropping the handle ends the run"]
pub struct CollectorHandle {
    schema: Arc<RunSchema>,
    control: Arc<Control>,
    problems: Problems,
    thread: Option<JoinHandle<RunReport>>,
}

impl CollectorHandle {
    pub(super) fn spawn(collector: Collector) -> Result<Self> {
        let control = Arc::new(Control::default());
        let schema = collector.schema().clone();
        let problems = collector.problems().clone();
        let name = "kvlens-collector".to_owned();
        let shared = control.clone();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || run(collector, &shared))
            .map_err(|source| Error::Thread { name, source })?;
        Ok(Self {
            schema,
            control,
            problems,
            thread: Some(thread),
        })
    }

    /// What the run is.
    pub fn schema(&self) -> &Arc<RunSchema> {
        &self.schema
    }

    /// Waits until everything that sources had handed over is safe against the death of the process; `false` if an
    /// exporter could not make it so within `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        let (answer, flushed) = sync_channel(1);
        self.ask(Ask::Flush(answer));
        flushed.recv_timeout(timeout).unwrap_or(false)
    }

    /// Each source's figures from the start of the run until its last sample; `None` if the collector did not answer
    /// within `timeout`.
    pub fn summaries(&self, timeout: Duration) -> Option<Vec<SourceSummary>> {
        let (answer, summaries) = sync_channel(1);
        self.ask(Ask::Summaries(answer));
        summaries.recv_timeout(timeout).ok()
    }

    /// Keeps a problem that the run's owner met: see [`Collector::add_problem`].
    pub fn add_problem(&self, text: &str) {
        self.problems.keep(text);
    }

    /// Takes a last sample, ends every exporter and says what the run came to; `None` if the collector's thread died,
    /// which it does only through a defect.
    pub fn stop(mut self) -> Option<RunReport> {
        self.end(STOPPED)
    }

    fn ask(&self, ask: Ask) {
        lock(&self.control.asks).push(ask);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn end(&mut self, state: u8) -> Option<RunReport> {
        let thread = self.thread.take()?;
        self.control.state.store(state, Ordering::Relaxed);
        thread.thread().unpark();
        thread.join().ok()
    }
}

impl Drop for CollectorHandle {
    fn drop(&mut self) {
        self.end(DROPPED);
    }
}

fn run(mut collector: Collector, control: &Control) -> RunReport {
    loop {
        match control.state.load(Ordering::Relaxed) {
            RUNNING => collector.poll(),
            state => return collector.end_as(state == STOPPED),
        }
        let asks = std::mem::take(&mut *lock(&control.asks));
        for ask in asks {
            // Whoever asked may have given up waiting.
            match ask {
                Ask::Flush(answer) => drop(answer.send(collector.flush())),
                Ask::Summaries(answer) => drop(answer.send(collector.summaries())),
            }
        }
        std::thread::park_timeout(collector.until_next_tick().min(DRAIN_EVERY));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
