//! Puts a run together: a directory, its formats, what is recorded.

use crate::destination::{Destination, Upload};
use kvlens_core::collector::{CollectorBuilder, RunReport, SourceSummary};
use kvlens_core::recorder::Recorder;
use kvlens_core::{Collector, CollectorHandle, Exporter, JobInfo, Result, RunInfo, StatsSource, Tables};
use kvlens_schema::Manifest;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A file format of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Parquet parts, crash-safe.
    #[cfg(feature = "parquet")]
    Parquet,
    /// CSV files.
    #[cfg(feature = "csv")]
    Csv,
    /// Arrow IPC files.
    #[cfg(feature = "arrow")]
    Arrow,
}

/// Puts a run together.
///
/// The run lands in `<out>/run_id=<id>/` with a `run.json` and the formats that were asked for. With the feature `store`,
/// `out` can be the URL of a store, such as `s3://bucket/prefix`: parts wait in a local directory, the spool, and are
/// uploaded in the background.
#[derive(Debug)]
#[must_use]
pub struct RunBuilder {
    destination: Destination,
    info: RunInfo,
    formats: Vec<Format>,
    exporters: Vec<Box<dyn Exporter>>,
    collector: CollectorBuilder,
    #[cfg(feature = "parquet")]
    parquet: kvlens_parquet::ParquetOptions,
}

impl RunBuilder {
    /// Starts a run under a directory or the URL of a store, with an identifier made of the time and the process, and
    /// without a format.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let job = JobInfo::from_env();
        let mut info = RunInfo::new(new_run_id(SystemTime::now(), job.as_ref())).with_host(host);
        info.job = job;
        let collector = CollectorBuilder::new(info.clone());
        Self {
            destination: Destination::new(out.into()),
            info,
            formats: Vec::new(),
            exporters: Vec::new(),
            collector,
            #[cfg(feature = "parquet")]
            parquet: kvlens_parquet::ParquetOptions::default(),
        }
    }

    /// Sets the run's identifier: letters, digits, `.`, `_` and `-`.
    pub fn run_id(mut self, id: impl Into<String>) -> Self {
        self.info.run_id = id.into();
        self
    }

    /// Makes the run part of a job: one of several processes that are read as one. Unless set, what the launcher says in
    /// the environment; see [`JobInfo::from_env`].
    pub fn job(mut self, job: JobInfo) -> Self {
        self.info.job = Some(job);
        self
    }

    /// Adds file formats.
    pub fn formats(mut self, formats: impl IntoIterator<Item = Format>) -> Self {
        self.formats.extend(formats);
        self
    }

    /// Sets the time between samples: at least a millisecond, one second unless set.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.info.interval = interval;
        self
    }

    /// Sets which tables are recorded.
    pub fn tables(mut self, tables: Tables) -> Self {
        self.info.tables = tables;
        self
    }

    /// Keeps a fact about the run in its `run.json`.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.info.attributes.insert(key.into(), value.into());
        self
    }

    /// Adds what a recorder records.
    ///
    /// # Errors
    /// [`Error::SourceTaken`](kvlens_core::Error::SourceTaken) if the recorder is recorded already.
    pub fn recorder(mut self, recorder: &Recorder) -> Result<Self> {
        self.collector = self.collector.local_source(recorder.source()?);
        Ok(self)
    }

    /// Adds a source, on a thread of its own.
    pub fn source(mut self, source: impl StatsSource + 'static) -> Self {
        self.collector = self.collector.source(source);
        self
    }

    /// Adds an exporter of your own.
    pub fn exporter(mut self, exporter: impl Exporter + 'static) -> Self {
        self.exporters.push(Box::new(exporter));
        self
    }

    /// Changes how the collector works: clock, timeouts, what happens when an exporter lags.
    pub fn collector(mut self, change: impl FnOnce(CollectorBuilder) -> CollectorBuilder) -> Self {
        self.collector = change(self.collector);
        self
    }

    /// Sets the directory in which parts wait for the store; [`spool::default_dir`](kvlens_store::spool::default_dir)
    /// unless set.
    #[cfg(feature = "store")]
    pub fn spool(mut self, directory: impl Into<PathBuf>) -> Self {
        self.destination.spool = Some(directory.into());
        self
    }

    /// Sets how the store is reached; what the environment says unless set.
    #[cfg(feature = "store")]
    pub fn store(mut self, options: kvlens_store::StoreOptions) -> Self {
        self.destination.store = Some(options);
        self
    }

    /// Sets how much may wait for the store, how long the end of the run waits, and who is told of outages.
    #[cfg(feature = "store")]
    pub fn upload(mut self, options: kvlens_store::UploadOptions) -> Self {
        self.destination.upload = options;
        self
    }

    /// Sets how Parquet parts are cut and encoded.
    #[cfg(feature = "parquet")]
    pub fn parquet(mut self, options: kvlens_parquet::ParquetOptions) -> Self {
        self.parquet = options;
        self
    }

    /// The directory that the run lands in: on its way to a store, the one where its parts wait.
    pub fn directory(&self) -> PathBuf {
        self.destination
            .local()
            .join(format!("run_id={}", self.info.run_id))
    }

    /// Starts the run, with a collector on a thread of its own.
    ///
    /// # Errors
    /// As [`CollectorBuilder::spawn`]; [`Error::Export`](kvlens_core::Error::Export) for a store that refuses the run.
    pub fn start(self) -> Result<Run> {
        let directory = self.directory();
        let (upload, handle) = self.begin(&directory, CollectorBuilder::spawn)?;
        Ok(Run {
            handle,
            upload,
            directory,
        })
    }

    /// Starts the run, driven by the engine's own thread: for an engine on a virtual clock.
    ///
    /// Give the engine's rows [`Overflow::Block`](kvlens_core::recorder::Overflow::Block): when a ring is full, its writer
    /// drains it.
    ///
    /// # Errors
    /// As [`recorder`](Self::recorder) and [`CollectorBuilder::build`].
    pub fn drive(self, recorder: &Recorder) -> Result<DrivenRun> {
        let directory = self.directory();
        let (upload, collector) = self
            .recorder(recorder)?
            .begin(&directory, CollectorBuilder::build)?;
        let next_tick_ns = collector.next_tick_ns();
        let collector = Arc::new(Mutex::new(Some(collector)));
        let driven = collector.clone();
        recorder.on_full(move || {
            if let Some(collector) = lock(&driven).as_mut() {
                collector.poll();
            }
        });
        Ok(DrivenRun {
            collector,
            upload,
            directory,
            next_tick_ns,
        })
    }

    /// Begins the upload, if there is to be one, and the run.
    fn begin<T>(
        self,
        directory: &Path,
        begin: impl FnOnce(CollectorBuilder) -> Result<T>,
    ) -> Result<(Upload, T)> {
        let out = self.destination.local();
        let (destination, collector) = self.assemble(&out);
        let upload = destination.start(directory)?;
        match begin(collector) {
            Ok(begun) => Ok((upload, begun)),
            Err(error) => {
                upload.abandon();
                Err(error)
            }
        }
    }

    fn assemble(self, out: &Path) -> (Destination, CollectorBuilder) {
        let mut collector = self.collector.run(self.info);
        // The manifest begins first, since it refuses a directory that holds a run, and ends last, to say how it went.
        collector = collector.exporter(Manifest::create(out));
        for format in self.formats {
            collector = match format {
                #[cfg(feature = "parquet")]
                Format::Parquet => {
                    collector.exporter(kvlens_parquet::ParquetExporter::create(out, self.parquet.clone()))
                }
                #[cfg(feature = "csv")]
                Format::Csv => collector.exporter(kvlens_csv::CsvExporter::create(
                    out,
                    kvlens_csv::CsvOptions::default(),
                )),
                #[cfg(feature = "arrow")]
                Format::Arrow => collector.exporter(kvlens_arrow::ArrowExporter::create(
                    out,
                    kvlens_arrow::ArrowOptions::default(),
                )),
            };
        }
        let exporters = self.exporters.into_iter();
        (
            self.destination,
            exporters.fold(collector, CollectorBuilder::exporter),
        )
    }
}

/// A run that is being recorded.
///
/// Dropping it ends the run as not clean; everything recorded so far is kept.
#[derive(Debug)]
#[must_use = "dropping it ends the run"]
pub struct Run {
    // Before the upload: dropped in this order, the run is written when the upload ends.
    handle: CollectorHandle,
    upload: Upload,
    directory: PathBuf,
}

impl Run {
    /// The run's directory: on its way to a store, the one where its parts wait.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The run's URL, if it goes to a store.
    pub fn url(&self) -> Option<&str> {
        self.upload.url()
    }

    /// Waits until everything recorded so far survives the death of the process; `false` if that failed or took longer
    /// than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.handle.flush(timeout)
    }

    /// Each source's figures so far; `None` if the collector did not answer within `timeout`.
    pub fn summaries(&self, timeout: Duration) -> Option<Vec<SourceSummary>> {
        self.handle.summaries(timeout)
    }

    /// Keeps a problem that the run's owner met, in `run.json` and the report: requests that were refused, a signal.
    pub fn add_problem(&self, text: &str) {
        self.handle.add_problem(text);
    }

    /// Ends the run. One that goes to a store is uploaded to its end; what the store does not take stays on disk, and a
    /// problem says so.
    ///
    /// # Panics
    /// If the collector's thread died of a defect.
    pub fn stop(self) -> RunReport {
        let mut report = self
            .handle
            .stop()
            .expect("the collector's thread catches what sources and exporters do");
        report.problems.extend(self.upload.finish());
        report
    }
}

/// A run that the engine's own thread drives.
#[derive(Debug)]
#[must_use = "dropping it ends the run"]
pub struct DrivenRun {
    collector: Arc<Mutex<Option<Collector>>>,
    upload: Upload,
    directory: PathBuf,
    next_tick_ns: u64,
}

impl DrivenRun {
    /// The run's directory: on its way to a store, the one where its parts wait.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The run's URL, if it goes to a store.
    pub fn url(&self) -> Option<&str> {
        self.upload.url()
    }

    /// Takes a sample if one is due: called after every step, with the engine's time.
    #[inline]
    pub fn after_step(&mut self, now_ns: u64) {
        if now_ns >= self.next_tick_ns {
            self.poll();
        }
    }

    /// When the next sample is due, on the engine's clock.
    pub fn next_tick_ns(&self) -> u64 {
        self.next_tick_ns
    }

    #[cold]
    fn poll(&mut self) {
        if let Some(collector) = lock(&self.collector).as_mut() {
            collector.poll();
            self.next_tick_ns = collector.next_tick_ns();
        }
    }

    /// Keeps a problem that the run's owner met, as [`Run::add_problem`].
    pub fn add_problem(&self, text: &str) {
        if let Some(collector) = lock(&self.collector).as_ref() {
            collector.add_problem(text);
        }
    }

    /// Ends the run, as [`Run::stop`].
    ///
    /// # Panics
    /// Never: the collector is there until this call.
    pub fn finish(self) -> RunReport {
        let collector = lock(&self.collector).take();
        let mut report = collector.expect("taken only here").finish();
        report.problems.extend(self.upload.finish());
        report
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an identifier that sorts by time and differs between processes and runs; of the ranks of a job, which may have
/// the same process number on different hosts, by the rank.
fn new_run_id(now: SystemTime, job: Option<&JobInfo>) -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let time = humantime::format_rfc3339_millis(now).to_string();
    let time: String = time.chars().filter(|c| !matches!(c, '-' | ':' | '.')).collect();
    let rank = job.and_then(|job| job.rank);
    format!(
        "{time}-{}-{}{}",
        std::process::id(),
        RUNS.fetch_add(1, Ordering::Relaxed),
        rank.map_or(String::new(), |rank| format!("-r{rank}"))
    )
}
