//! One run on its way into the store: the loop of the uploader's thread.

use crate::backoff;
use crate::error::{Result, StoreError};
use crate::journal::{Journal, Line};
use crate::open::Store;
use crate::options::UploadOptions;
use crate::report::{UploadReport, bytes};
use crate::spool::{self, Sealed};
use crate::transfer::{self, Sent};
use kvlens_schema::RunManifest;
use kvlens_schema::layout::MANIFEST;
use object_store::ObjectStoreExt;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The object that says that a run is under way.
pub(crate) const OPEN: &str = "_open.json";
/// How often the spool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Failures in a row, of the kind that waiting does not mend, after which the end of a run waits no longer.
const DEFINITE_FAILURES: u32 = 3;

/// What the owner tells the uploader's thread.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// 0 while the run is being written.
    state: AtomicU8,
    changed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// It is written: send the rest.
    Ended = 1,
    /// It never began: leave nothing behind.
    Abandoned = 2,
}

impl Control {
    pub(crate) fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
        self.changed.notify_one();
    }

    fn is(&self, state: State) -> bool {
        self.state.load(Ordering::Acquire) == state as u8
    }
}

/// A time in which the store takes nothing.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Failures in a row.
    failures: u32,
    /// How many of them waiting does not mend.
    definite: u32,
    next_attempt: Instant,
}

type Done = (Sealed, Result<Sent>);

pub(crate) struct Session {
    /// The run's place in the store.
    store: Store,
    run: PathBuf,
    journal: Journal,
    options: UploadOptions,
    report: UploadReport,
    /// Files that wait, oldest first, and when they were looked for.
    waiting: VecDeque<Sealed>,
    looked: Option<Instant>,
    /// Files under way, and their bytes.
    sending: BTreeMap<String, u64>,
    tasks: JoinSet<Done>,
    outage: Option<Outage>,
    /// Moves whenever the store takes something.
    progress: Arc<AtomicU64>,
    /// The last value of `progress`, and since when.
    seen: (u64, Instant),
}

impl Session {
    pub(crate) fn new(store: Store, run: &Path, journal: Journal, options: UploadOptions) -> Self {
        Self {
            report: UploadReport::new(store.url(), run),
            run: run.to_path_buf(),
            store,
            journal,
            options,
            waiting: VecDeque::new(),
            looked: None,
            sending: BTreeMap::new(),
            tasks: JoinSet::new(),
            outage: None,
            progress: Arc::default(),
            seen: (0, Instant::now()),
        }
    }

    /// Takes note of a failure that came before the loop.
    pub(crate) fn began_with(&mut self, error: &StoreError) {
        self.failed(error);
    }

    /// Sends what is sealed until the run has ended and everything is sent, or the patience is.
    pub(crate) async fn run(mut self, control: &Control) -> UploadReport {
        let mut ended_at = None;
        loop {
            if control.is(State::Abandoned) {
                return self.abandon().await;
            }
            let ended = control.is(State::Ended);
            if ended && ended_at.is_none() {
                ended_at = Some(Instant::now());
                self.seen.1 = Instant::now();
                self.looked = None;
            }
            let looked = self.look(ended);
            if let Err(error) = &looked {
                self.failed(error);
            }
            let idle = looked.is_ok() && self.tasks.is_empty() && self.waiting.is_empty();
            if ended && (idle || self.gives_up()) {
                break;
            }
            self.launch();
            self.wait(control).await;
        }
        self.tasks.shutdown().await;
        self.sending.clear();
        self.end().await
    }

    async fn wait(&mut self, control: &Control) {
        let until = |outage: &Outage| outage.next_attempt.saturating_duration_since(Instant::now());
        let nap = match &self.outage {
            Some(outage) if self.tasks.is_empty() => until(outage).min(LOOK_EVERY),
            _ => LOOK_EVERY,
        };
        tokio::select! {
            Some(done) = self.tasks.join_next() => match done {
                Ok((sealed, sent)) => self.settle(&sealed, sent),
                // A task that panicked sent nothing; its file is looked at again.
                Err(_) => self.sending.clear(),
            },
            () = control.changed.notified() => {}
            () = tokio::time::sleep(nap.max(Duration::from_millis(1))) => {}
        }
    }

    /// Looks for what is sealed and neither sent nor under way, if it is time to, or nothing is known to wait.
    fn look(&mut self, ended: bool) -> Result<()> {
        let recently = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY);
        if recently && !(self.waiting.is_empty() && self.tasks.is_empty() && ended) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let mut waiting = spool::sealed(&self.run, ended)?;
        waiting.retain(|sealed| !self.sending.contains_key(&sealed.path) && !self.is_sent(sealed));
        let under_way: u64 = self.sending.values().sum();
        let mut total = under_way + waiting.iter().map(|sealed| sealed.bytes).sum::<u64>();
        self.report.backlog_bytes_max = self.report.backlog_bytes_max.max(total);
        let mut dropped = Vec::new();
        while total > self.options.spool_limit && !waiting.is_empty() {
            let least = (0..waiting.len()).min_by_key(|at| waiting.get(*at).map(Sealed::worth));
            let sealed = waiting.remove(least.unwrap_or(0));
            total = total.saturating_sub(sealed.bytes);
            dropped.push(sealed);
        }
        self.drop_files(dropped);
        self.waiting = waiting.into();
        Ok(())
    }

    /// Whether the store has a file already, from an upload that was cut short: then only its removal is left to do.
    fn is_sent(&self, sealed: &Sealed) -> bool {
        let known = self.journal.lines.get(&sealed.path);
        let sent = known.is_some_and(|line| line.bytes == sealed.bytes);
        if sent {
            self.remove(&sealed.path);
        }
        sent
    }

    fn drop_files(&mut self, dropped: Vec<Sealed>) {
        let Some(first) = dropped.first() else { return };
        if self.report.dropped_files == 0 {
            self.options.notice(&format!(
                "more than {} wait for {}: the oldest parts are given up, first {}",
                bytes(self.options.spool_limit),
                self.store.url(),
                first.path
            ));
        }
        for sealed in dropped {
            self.report.dropped_files += 1;
            self.report.dropped_bytes += sealed.bytes;
            // Given up for good: it is to make room.
            let _ = fs::remove_file(self.run.join(&sealed.path));
            self.note(&sealed, None, true);
        }
    }

    fn note(&mut self, sealed: &Sealed, tag: Option<String>, dropped: bool) {
        let line = Line {
            path: sealed.path.clone(),
            bytes: sealed.bytes,
            tag,
            dropped,
        };
        if let Err(error) = self.journal.add(line) {
            // Not fatal: after a crash the file would be sent twice.
            self.report.last_error = Some(error.chain());
        }
    }

    /// Starts uploads: as many as may run at once, or a single one to see whether an outage is over.
    fn launch(&mut self) {
        let most = match &self.outage {
            None => self.options.concurrency,
            Some(outage) if Instant::now() >= outage.next_attempt => 1,
            Some(_) => 0,
        };
        while self.tasks.len() < most {
            let Some(sealed) = self.waiting.pop_front() else {
                return;
            };
            self.sending.insert(sealed.path.clone(), sealed.bytes);
            let (store, file) = (self.store.clone(), self.run.join(&sealed.path));
            let (multipart_from, progress) = (self.options.multipart_from, self.progress.clone());
            self.tasks.spawn(async move {
                let sent = transfer::send(&store, &sealed.path, &file, multipart_from, &progress).await;
                (sealed, sent)
            });
        }
    }

    fn settle(&mut self, sealed: &Sealed, sent: Result<Sent>) {
        self.sending.remove(&sealed.path);
        match sent {
            Ok(sent) => {
                self.report.files += 1;
                self.report.bytes += sent.bytes;
                self.note(sealed, sent.tag, false);
                self.remove(&sealed.path);
                self.recovered();
            }
            Err(error) => {
                self.report.retries += 1;
                self.failed(&error);
            }
        }
    }

    fn remove(&self, path: &str) {
        if self.journal.header.remove {
            // One that can't be removed stays, which harms nobody.
            let _ = fs::remove_file(self.run.join(path));
        }
    }

    fn failed(&mut self, error: &StoreError) {
        let text = error.chain();
        if self.outage.is_none() {
            self.report.outages += 1;
            self.options.notice(&format!(
                "uploads to {} fail, parts wait in {}: {text}",
                self.store.url(),
                self.run.display()
            ));
        }
        self.report.last_error = Some(text);
        let now = Instant::now();
        let outage = self.outage.get_or_insert(Outage {
            since: now,
            failures: 0,
            definite: 0,
            next_attempt: now,
        });
        outage.failures = outage.failures.saturating_add(1);
        outage.definite = if error.is_definite() {
            outage.definite + 1
        } else {
            0
        };
        outage.next_attempt = now + backoff::wait(outage.failures);
    }

    fn recovered(&mut self) {
        if let Some(outage) = self.outage.take() {
            let lasted = outage.since.elapsed();
            self.report.outage += lasted;
            self.report.last_error = None;
            let (url, seconds) = (self.store.url(), lasted.as_secs_f64());
            self.options
                .notice(&format!("uploads to {url} go on after {seconds:.1} s"));
        }
    }

    /// Whether the end has waited long enough for a store that takes nothing.
    fn gives_up(&mut self) -> bool {
        let progress = self.progress.load(Ordering::Relaxed);
        if progress != self.seen.0 {
            self.seen = (progress, Instant::now());
        }
        let definite = self
            .outage
            .as_ref()
            .is_some_and(|outage| outage.definite >= DEFINITE_FAILURES);
        definite || self.seen.1.elapsed() >= self.options.patience
    }

    /// Sends the manifest if nothing else is left, or says what is.
    async fn end(mut self) -> UploadReport {
        let left = spool::sealed(&self.run, true).map(|mut left| {
            left.retain(|sealed| !self.is_sent(sealed));
            left
        });
        let result = match left.and_then(|left| Ok((left, spool::unsealed(&self.run)?))) {
            Err(error) => Err(error),
            Ok((left, unsealed)) => {
                self.report.left_files = (left.len() + unsealed.len()) as u64;
                self.report.left_bytes = left.iter().map(|sealed| sealed.bytes).sum();
                match unsealed.into_iter().next() {
                    Some(path) => Err(StoreError::Unsealed { path }),
                    None if left.is_empty() => self.send_manifest().await,
                    None => return self.close(),
                }
            }
        };
        match result {
            Ok(()) => self.report.complete = true,
            Err(error) => self.report.last_error = Some(error.chain()),
        }
        self.close()
    }

    fn close(mut self) -> UploadReport {
        if let Some(outage) = self.outage.take() {
            self.report.outage += outage.since.elapsed();
        }
        if self.report.complete {
            self.remove(MANIFEST);
            let is_spool = self.journal.header.remove;
            // The list has served its purpose; if it stays, a later upload finds nothing to do.
            let _ = self.journal.remove();
            if is_spool {
                spool::remove_empty(&self.run);
            }
        }
        self.report
    }

    async fn send_manifest(&mut self) -> Result<()> {
        let mut manifest = RunManifest::read(&self.run)?;
        manifest.upload = Some(self.report.manifest());
        manifest.write(&self.run)?;
        let path = self.run.join(MANIFEST);
        self.seen.1 = Instant::now();
        let mut failures = 0;
        loop {
            match transfer::send(&self.store, MANIFEST, &path, u64::MAX, &self.progress).await {
                Ok(_) => break,
                Err(error) => {
                    self.failed(&error);
                    if self.gives_up() {
                        return Err(error);
                    }
                    failures += 1;
                    tokio::time::sleep(backoff::wait(failures)).await;
                }
            }
        }
        // Readers pass it over; who may write but not delete leaves it there.
        let _ = self.store.client().delete(&self.store.path(OPEN)).await;
        Ok(())
    }

    async fn abandon(mut self) -> UploadReport {
        self.tasks.shutdown().await;
        let _ = self.store.client().delete(&self.store.path(OPEN)).await;
        let _ = self.journal.remove();
        spool::remove_empty(&self.run);
        self.report
    }
}

/// Looks whether the store can be written, and says there that the run is under way.
///
/// # Errors
/// What only a person can mend; anything else is told by the second value and will be tried again.
pub(crate) async fn announce(store: &Store, text: Vec<u8>) -> Result<Option<StoreError>> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let ask = async {
        let manifest = store.path(MANIFEST);
        if store.client().head(&manifest).await.is_ok() {
            let url = store.url_of(MANIFEST);
            return Err(StoreError::RunExists { url });
        }
        // A bucket that is not there looks like an object that is not there, unless it is listed. Who may write need not
        // be allowed to list.
        let listed = store.client().list_with_delimiter(Some(&store.path(""))).await;
        if let Err(error) = listed {
            let error = StoreError::store("list", store.url().to_owned(), error);
            if matches!(error, StoreError::NotThere { .. }) {
                return Err(error);
            }
        }
        transfer::put(store, OPEN, text).await
    };
    let answered = tokio::time::timeout(TIMEOUT, ask).await;
    let answered = answered.unwrap_or_else(|_| {
        Err(StoreError::Silent {
            url: store.url().to_owned(),
            seconds: TIMEOUT.as_secs(),
        })
    });
    match answered {
        Ok(_) => Ok(None),
        Err(error) if error.is_definite() => Err(error),
        Err(error) => Ok(Some(error)),
    }
}

/// Whether a file is there.
pub(crate) fn exists(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("read", path, error)),
    }
}
