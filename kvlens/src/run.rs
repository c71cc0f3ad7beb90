//! Puts a run together: a directory, its formats, what is recorded.

use kvlens_core::collector::{CollectorBuilder, RunReport, SourceSummary};
use kvlens_core::recorder::Recorder;
use kvlens_core::{Collector, CollectorHandle, Exporter, Result, RunInfo, StatsSource, Tables};
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
/// The run lands in `<out>/run_id=<id>/` with a `run.json` and the formats that were asked for.
#[derive(Debug)]
#[must_use]
pub struct RunBuilder {
    out: PathBuf,
    info: RunInfo,
    formats: Vec<Format>,
    exporters: Vec<Box<dyn Exporter>>,
    collector: CollectorBuilder,
}

impl RunBuilder {
    /// Starts a run under a directory, with an identifier made of the time and the process, and without a format.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let info = RunInfo::new(new_run_id(SystemTime::now())).with_host(host);
        let collector = CollectorBuilder::new(info.clone());
        Self {
            out: out.into(),
            info,
            formats: Vec::new(),
            exporters: Vec::new(),
            collector,
        }
    }

    /// Sets the run's identifier: letters, digits, `.`, `_` and `-`.
    pub fn run_id(mut self, id: impl Into<String>) -> Self {
        self.info.run_id = id.into();
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

    /// The directory that the run lands in.
    pub fn directory(&self) -> PathBuf {
        self.out.join(format!("run_id={}", self.info.run_id))
    }

    /// Starts the run, with a collector on a thread of its own.
    ///
    /// # Errors
    /// As [`CollectorBuilder::spawn`].
    pub fn start(self) -> Result<Run> {
        let directory = self.directory();
        Ok(Run {
            handle: self.assemble().spawn()?,
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
        let collector = self.recorder(recorder)?.assemble().build()?;
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
            directory,
            next_tick_ns,
        })
    }

    fn assemble(self) -> CollectorBuilder {
        let mut collector = self.collector.run(self.info);
        // The manifest begins first, since it refuses a directory that holds a run, and ends last, to say how it went.
        collector = collector.exporter(Manifest::create(&self.out));
        for format in self.formats {
            collector = match format {
                #[cfg(feature = "parquet")]
                Format::Parquet => collector.exporter(kvlens_parquet::ParquetExporter::create(
                    &self.out,
                    kvlens_parquet::ParquetOptions::default(),
                )),
                #[cfg(feature = "csv")]
                Format::Csv => collector.exporter(kvlens_csv::CsvExporter::create(
                    &self.out,
                    kvlens_csv::CsvOptions::default(),
                )),
                #[cfg(feature = "arrow")]
                Format::Arrow => collector.exporter(kvlens_arrow::ArrowExporter::create(
                    &self.out,
                    kvlens_arrow::ArrowOptions::default(),
                )),
            };
        }
        self.exporters
            .into_iter()
            .fold(collector, CollectorBuilder::exporter)
    }
}

/// A run that is being recorded.
///
/// Dropping it ends the run as not clean; everything recorded so far is kept.
#[derive(Debug)]
#[must_use = "dropping it ends the run"]
pub struct Run {
    handle: CollectorHandle,
    directory: PathBuf,
}

impl Run {
    /// The run's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
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

    /// Ends the run.
    ///
    /// # Panics
    /// If the collector's thread died of a defect.
    pub fn stop(self) -> RunReport {
        self.handle
            .stop()
            .expect("the collector's thread catches what sources and exporters do")
    }
}

/// A run that the engine's own thread drives.
#[derive(Debug)]
#[must_use = "dropping it ends the run"]
pub struct DrivenRun {
    collector: Arc<Mutex<Option<Collector>>>,
    directory: PathBuf,
    next_tick_ns: u64,
}

impl DrivenRun {
    /// The run's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
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

    /// Ends the run.
    ///
    /// # Panics
    /// Never: the collector is there until this call.
    pub fn finish(self) -> RunReport {
        let collector = lock(&self.collector).take();
        collector.expect("taken only here").finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an identifier that sorts by time and differs between processes and runs.
fn new_run_id(now: SystemTime) -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let time = humantime::format_rfc3339_millis(now).to_string();
    let time: String = time.chars().filter(|c| !matches!(c, '-' | ':' | '.')).collect();
    format!(
        "{time}-{}-{}",
        std::process::id(),
        RUNS.fetch_add(1, Ordering::Relaxed)
    )
}
