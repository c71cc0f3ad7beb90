//! One exporter on a thread of its own, behind a bounded queue.

use super::builder::RowPolicy;
use super::problems::{Problems, panic_message};
use crate::error::{Error, Result};
use crate::exporter::Exporter;
use crate::record::{Batch, Sample, Table};
use crate::run::RunEnd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Batches that wait for an exporter: as many as a fast engine fills while an exporter measures how to write a table. With
/// 8,192 steps each that is 24 MB at most.
const QUEUE: usize = 16;

/// Failed writes in a row after which an exporter is written to no more; `finish` still saves what it can.
const FAILURES: u32 = 8;

/// How long a waiting collector sleeps between two looks at a full queue.
const NAP: Duration = Duration::from_micros(100);

enum Message {
    Write(Arc<Batch>),
    Flush(Option<SyncSender<()>>),
    Finish(Box<RunEnd>),
}

/// What the exporter's thread tells the collector.
#[derive(Debug, Default)]
struct Shared {
    /// Messages done with.
    progress: AtomicU64,
    /// A flush is due that found no room in the queue.
    flush_due: AtomicBool,
    /// Rows given to the exporter and not written, by table.
    lost: [AtomicU64; Table::ALL.len()],
}

/// The collector's end of an exporter.
#[derive(Debug)]
pub(super) struct Outlet {
    name: String,
    policy: RowPolicy,
    stall_timeout: Duration,
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Merged samples that wait for room in the queue, one per source.
    pending: Vec<Sample>,
    problems: Problems,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Write(_) => "Write",
            Self::Flush(_) => "Flush",
            Self::Finish(_) => "Finish",
        })
    }
}

impl Outlet {
    /// Starts the thread of an exporter that has begun.
    pub(super) fn start(
        exporter: Box<dyn Exporter>,
        policy: RowPolicy,
        stall_timeout: Duration,
        problems: Problems,
    ) -> Result<Self> {
        let name = exporter.name().to_owned();
        let (queue, messages) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            exporter,
            shared: shared.clone(),
            problems: problems.clone(),
            failures: 0,
            usable: true,
        };
        let thread_name = format!("kvlens-{name}");
        let thread = std::thread::Builder::new()
            .name(thread_name.clone())
            .spawn(move || worker.run(&messages))
            .map_err(|source| Error::Thread {
                name: thread_name,
                source,
            })?;
        let (queue, thread) = (Some(queue), Some(thread));
        Ok(Self {
            name,
            policy,
            stall_timeout,
            queue,
            thread,
            shared,
            pending: Vec::new(),
            problems,
        })
    }

    /// Hands over samples; while the queue is full they wait merged, so that totals are never lost.
    pub(super) fn offer_samples(&mut self, batch: &Arc<Batch>) {
        if self.policy == RowPolicy::Wait {
            self.offer_rows(batch);
            return;
        }
        if self.pending.is_empty() && self.try_send(Message::Write(batch.clone())).is_ok() {
            return;
        }
        if let Batch::Samples(samples) = &**batch {
            self.hold(samples);
        }
        let held = Message::Write(Arc::new(Batch::Samples(self.pending.clone())));
        if self.try_send(held).is_ok() {
            self.pending.clear();
        }
    }

    fn hold(&mut self, samples: &[Sample]) {
        for sample in samples {
            match self.pending.iter_mut().find(|held| held.source == sample.source) {
                Some(held) => held.merge(sample),
                None => self.pending.push(sample.clone()),
            }
        }
    }

    /// Hands over rows, by the policy.
    pub(super) fn offer_rows(&mut self, batch: &Arc<Batch>) {
        let sent = match self.policy {
            RowPolicy::DropNewest => self.try_send(Message::Write(batch.clone())).is_ok(),
            RowPolicy::Wait => self.send(Message::Write(batch.clone())),
        };
        if !sent {
            self.shared.lose(batch);
        }
    }

    /// Asks for a flush. When the queue is full, the exporter does it after the batch that it is at: one that is always
    /// behind would otherwise never flush.
    pub(super) fn flush_soon(&mut self) {
        if self.try_send(Message::Flush(None)).is_err() {
            self.shared.flush_due.store(true, Ordering::Relaxed);
        }
    }

    /// Flushes and waits until it is done; `false` if the exporter stalls or is gone.
    pub(super) fn flush(&mut self) -> bool {
        self.send_pending();
        let (done, flushed) = sync_channel(1);
        self.send(Message::Flush(Some(done))) && flushed.recv_timeout(self.stall_timeout).is_ok()
    }

    /// Ends the run for this exporter and waits until it is done or stalls.
    pub(super) fn finish(&mut self, end: RunEnd) {
        self.send_pending();
        if !self.send(Message::Finish(Box::new(end))) {
            return;
        }
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        let mut watch = Watch::new(&self.shared, self.stall_timeout);
        while !thread.is_finished() {
            if watch.stalled() {
                self.give_up();
                return;
            }
            std::thread::sleep(NAP);
        }
        // The thread catches panics itself, so there is nothing to learn from joining.
        let _ = thread.join();
    }

    /// Rows that this exporter did not write, by table.
    pub(super) fn lost(&self, table: Table) -> u64 {
        self.shared.lost[table as usize].load(Ordering::Relaxed)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn send_pending(&mut self) {
        if !self.pending.is_empty() {
            let held = Batch::Samples(std::mem::take(&mut self.pending));
            let held = Arc::new(held);
            if !self.send(Message::Write(held.clone())) {
                self.shared.lose(&held);
            }
        }
    }

    fn try_send(&mut self, message: Message) -> Result<(), Message> {
        let Some(queue) = &self.queue else {
            return Err(message);
        };
        match queue.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => Err(message),
        }
    }

    /// Sends, waiting for room as long as the exporter makes progress.
    fn send(&mut self, message: Message) -> bool {
        let mut message = message;
        let shared = self.shared.clone();
        let mut watch = Watch::new(&shared, self.stall_timeout);
        loop {
            match self.try_send(message) {
                Ok(()) => return true,
                Err(back) => message = back,
            }
            let gone = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            if self.queue.is_none() || gone {
                return false;
            }
            if watch.stalled() {
                self.give_up();
                return false;
            }
            std::thread::sleep(NAP);
        }
    }

    /// Leaves the exporter behind: its thread ends when it comes back, and saves what it can.
    fn give_up(&mut self) {
        self.queue = None;
        self.thread = None;
        let error = Error::ExporterStalls {
            exporter: self.name.clone(),
            waited: self.stall_timeout,
        };
        self.problems.add(&error.chain());
    }
}

/// Tells whether the exporter's thread has done anything lately.
struct Watch<'a> {
    shared: &'a Shared,
    seen: u64,
    since: Instant,
    timeout: Duration,
}

impl<'a> Watch<'a> {
    fn new(shared: &'a Shared, timeout: Duration) -> Self {
        Self {
            shared,
            seen: shared.progress.load(Ordering::Relaxed),
            since: Instant::now(),
            timeout,
        }
    }

    fn stalled(&mut self) -> bool {
        let now = self.shared.progress.load(Ordering::Relaxed);
        if now != self.seen {
            (self.seen, self.since) = (now, Instant::now());
        }
        self.since.elapsed() > self.timeout
    }
}

impl Shared {
    fn lose(&self, batch: &Batch) {
        self.lose_rows(batch.table(), u64::try_from(batch.len()).unwrap_or(u64::MAX));
    }

    fn lose_rows(&self, table: Table, rows: u64) {
        self.lost[table as usize].fetch_add(rows, Ordering::Relaxed);
    }
}

/// The exporter's thread.
struct Worker {
    exporter: Box<dyn Exporter>,
    shared: Arc<Shared>,
    problems: Problems,
    /// Failed writes in a row.
    failures: u32,
    /// Whether it may be called at all: not after a panic.
    usable: bool,
}

impl Worker {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Write(batch) => {
                    self.write(&batch);
                    if self.shared.flush_due.swap(false, Ordering::Relaxed) {
                        self.call(|exporter| exporter.flush());
                    }
                }
                Message::Flush(done) => {
                    self.call(|exporter| exporter.flush());
                    if let Some(done) = done {
                        // Whoever asked may have given up waiting.
                        let _ = done.send(());
                    }
                }
                Message::Finish(end) => {
                    self.finish(&end);
                    self.shared.progress.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            self.shared.progress.fetch_add(1, Ordering::Relaxed);
        }
        // The collector gave this exporter up, and it came back after all.
        self.finish(&RunEnd::default());
    }

    /// Ends the run, and counts what the exporter had accepted and could not write.
    fn finish(&mut self, end: &RunEnd) {
        self.call(|exporter| exporter.finish(end));
        for table in Table::ALL {
            let mut rows = 0;
            self.call(|exporter| {
                rows = exporter.unwritten(table);
                Ok(())
            });
            self.shared.lose_rows(table, rows);
        }
    }

    fn write(&mut self, batch: &Batch) {
        if self.failures < FAILURES && self.call(|exporter| exporter.write(batch)) {
            self.failures = 0;
            return;
        }
        self.shared.lose(batch);
        self.failures += 1;
        if self.failures == FAILURES {
            let name = self.exporter.name();
            self.problems.add(&format!(
                "exporter `{name}` failed {FAILURES} times in a row and is written to no more"
            ));
        }
    }

    /// Calls the exporter, catching errors and panics; `true` if it went well.
    fn call(&mut self, what: impl FnOnce(&mut dyn Exporter) -> Result<()>) -> bool {
        if !self.usable {
            return false;
        }
        let error = match catch_unwind(AssertUnwindSafe(|| what(self.exporter.as_mut()))) {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error,
            Err(panic) => {
                self.usable = false;
                let (name, message) = (self.exporter.name().to_owned(), panic_message(panic.as_ref()));
                Error::Panicked { name, message }
            }
        };
        self.problems.add(&error.chain());
        false
    }
}
