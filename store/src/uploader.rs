//! From the spool to the store: in the background while a run is written, or later.

use crate::error::{Result, StoreError};
use crate::journal::{Header, Journal};
use crate::open::{Store, StoreOptions, open};
use crate::options::UploadOptions;
use crate::report::UploadReport;
use crate::session::{self, Control, Session, State};
use crate::spool;
use kvlens_schema::SchemaError;
use kvlens_schema::layout::MANIFEST;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio::runtime::Builder;

/// Sends a run's parts to a store as they are sealed, on a thread of its own.
///
/// Whoever writes the run goes on as if there were no store, and calls [`finish`](Self::finish) when it is written. An
/// outage, be it of hours, makes parts wait on disk, up to a [limit](UploadOptions::with_spool_limit). Dropping it is a
/// `finish` whose report nobody reads.
#[derive(Debug)]
#[must_use = "dropping it waits for what is left"]
pub struct Uploader {
    control: Arc<Control>,
    thread: Option<JoinHandle<UploadReport>>,
    url: String,
    run: PathBuf,
}

impl Uploader {
    /// Starts, before the run begins: makes its directory, named `run_id=…`, and announces the run in the store.
    ///
    /// # Errors
    /// [`StoreError::Credentials`], [`StoreError::NotThere`] or [`StoreError::RunExists`] when the run could never be
    /// uploaded. A store that is down for now is none: it is told of, and tried again.
    pub fn start(store: &Store, run: &Path, options: UploadOptions) -> Result<Self> {
        let store = store.below(&name_of(run));
        let url = store.url().to_owned();
        let control = Arc::new(Control::default());
        let (answer, started) = sync_channel(1);
        let (shared, directory) = (control.clone(), run.to_path_buf());
        let thread = spawn(move || {
            let begun = begin(store, &directory, options);
            match begun {
                Ok((session, runtime)) => {
                    // The one who asks waits for it.
                    let _ = answer.send(Ok(()));
                    runtime.block_on(session.run(&shared))
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                    UploadReport::default()
                }
            }
        })?;
        let died = || StoreError::Thread {
            source: std::io::Error::other("it ended at once"),
        };
        started.recv().map_err(|_| died())??;
        Ok(Self {
            control,
            thread: Some(thread),
            url,
            run: run.to_path_buf(),
        })
    }

    /// The run's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the run waits.
    pub fn directory(&self) -> &Path {
        &self.run
    }

    /// Sends what is left, the manifest last, once the run is written: waits as long as the store takes something, and
    /// [some time](UploadOptions::with_patience) more.
    pub fn finish(mut self) -> UploadReport {
        self.end(State::Ended)
    }

    /// Undoes [`start`](Self::start), for a run that did not begin after all.
    pub fn abandon(mut self) {
        self.end(State::Abandoned);
    }

    fn end(&mut self, state: State) -> UploadReport {
        let Some(thread) = self.thread.take() else {
            return UploadReport::default();
        };
        self.control.set(state);
        thread.join().unwrap_or_else(|_| {
            let mut report = UploadReport::new(&self.url, &self.run);
            report.last_error = Some("the thread that uploads panicked, which is a defect".to_owned());
            report
        })
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        self.end(State::Ended);
    }
}

/// Uploads a run that is written: one whose upload was cut short, or any other, then `to` a store.
///
/// What is there already is not sent again. A run that was killed has to be recovered first.
///
/// # Errors
/// [`StoreError::NoDestination`] when nobody ever said where to, [`StoreError::Unsealed`] for a run that is not
/// recovered, [`StoreError::Layout`] for one that is still being written. That the store does not take everything is no
/// error but in the report.
pub fn upload(
    run: &Path,
    to: Option<&str>,
    store: &StoreOptions,
    options: &UploadOptions,
) -> Result<UploadReport> {
    if !session::exists(&run.join(MANIFEST))? {
        let path = run.to_path_buf();
        return Err(SchemaError::NotARun { path }.into());
    }
    if let Some(path) = spool::unsealed(run)?.into_iter().next() {
        return Err(StoreError::Unsealed { path });
    }
    let known = Journal::open(run)?;
    let url = destination(run, to, known.as_ref())?;
    let place = open(&url, store)?;
    // Nothing of a run that is written is given up to make room.
    let options = options.clone().with_spool_limit(u64::MAX);
    let directory = run.to_path_buf();
    let work = move || {
        let runtime = runtime()?;
        let journal = match known {
            Some(mut journal) => {
                journal.header.remove = options.keep.map_or(journal.header.remove, |keep| !keep);
                journal
            }
            None => {
                // Asked before anything is written down: a refusal leaves nothing behind.
                if let Some(error) = runtime.block_on(session::announce(&place, marker()))? {
                    return Err(error);
                }
                let remove = options.keep.is_some_and(|keep| !keep);
                Journal::create(&directory, &Header { url, remove })?
            }
        };
        let control = Control::default();
        control.set(State::Ended);
        let session = Session::new(place, &directory, journal, options);
        Ok(runtime.block_on(session.run(&control)))
    };
    on_a_thread(work)?
}

/// The URL of a run that is to be uploaded: where it was going, or `to`.
fn destination(run: &Path, to: Option<&str>, known: Option<&Journal>) -> Result<String> {
    let given = to.map(|to| format!("{}/{}", to.trim_end_matches('/'), name_of(run)));
    match (known.map(|journal| journal.header.url.clone()), given) {
        (Some(known), Some(given)) if known != given => Err(StoreError::OtherDestination {
            path: run.to_path_buf(),
            known,
            given,
        }),
        (Some(url), _) | (None, Some(url)) => Ok(url),
        (None, None) => Err(StoreError::NoDestination {
            path: run.to_path_buf(),
        }),
    }
}

fn begin(store: Store, run: &Path, options: UploadOptions) -> Result<(Session, tokio::runtime::Runtime)> {
    let runtime = runtime()?;
    let header = Header {
        url: store.url().to_owned(),
        remove: !options.keep.unwrap_or(false),
    };
    let journal = Journal::create(run, &header)?;
    let trouble = match runtime.block_on(session::announce(&store, marker())) {
        Ok(trouble) => trouble,
        Err(error) => {
            // The refusal is what matters; an empty directory that stays harms nobody.
            let _ = journal.remove();
            spool::remove_empty(run);
            return Err(error);
        }
    };
    let mut session = Session::new(store, run, journal, options);
    if let Some(error) = trouble {
        session.began_with(&error);
    }
    Ok((session, runtime))
}

/// What `_open.json` says.
fn marker() -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let began = now.map_or(0, |now| now.as_secs());
    format!("{{\"began_unix_s\": {began}, \"pid\": {}}}\n", std::process::id()).into_bytes()
}

/// The run's directory in the store is called as it is on disk.
fn name_of(run: &Path) -> String {
    run.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|source| StoreError::Thread { source })
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    let named = std::thread::Builder::new().name("kvlens-upload".to_owned());
    named.spawn(work).map_err(|source| StoreError::Thread { source })
}

/// Does it on a thread of its own: the caller's may belong to a runtime, in which no other can be started.
pub(crate) fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    spawn(work)?.join().map_err(|_| StoreError::Thread {
        source: std::io::Error::other("it panicked, which is a defect"),
    })
}
