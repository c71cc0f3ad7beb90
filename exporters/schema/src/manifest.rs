//! `run.json`: what a run is and how it ended.

use crate::error::SchemaError;
use crate::layout::{MANIFEST, RunDir};
use crate::output::write_atomic;
use kvlens_core::clock::ClockAnchor;
use kvlens_core::run::{RunEnd, RunSchema, SCHEMA_VERSION, SourceInfo};
use kvlens_core::{Batch, Error, Exporter, JobInfo, MetricDesc, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What stands in `run.json`. Fields that a reader does not know are passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunManifest {
    /// The version of the column layout.
    pub schema_version: u32,
    /// The version of the program that wrote the run.
    #[serde(default)]
    pub kvlens_version: String,
    /// The run's identifier.
    pub run_id: String,
    /// Whether the run was ended by its owner. False while it runs, and for good if it was killed.
    #[serde(default)]
    pub clean_stop: bool,
    /// The host's name.
    #[serde(default)]
    pub host: Option<String>,
    /// The job that the run is part of; null for a process of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<ManifestJob>,
    /// Which boot of which kernel the run was recorded under: runs that share it share their wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The run's clock.
    #[serde(default)]
    pub clock: ManifestClock,
    /// Planned time between samples.
    #[serde(default)]
    pub interval_ns: u64,
    /// The tables that are recorded.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Anything else that the run's owner wanted kept, such as the configuration.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// The sources: engines, models, devices.
    #[serde(default)]
    pub sources: Vec<ManifestSource>,
    /// The metric columns of `samples`.
    #[serde(default)]
    pub metrics: Vec<ManifestMetric>,
    /// How the run ended; null while it runs, and for good if it was killed.
    #[serde(default)]
    pub end: Option<ManifestEnd>,
    /// Whether the run was killed, and what it had flushed was made whole since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// The processes of a job that was compacted into one run: what the manifest of each said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<RunManifest>,
    /// What the run was before it was compacted; null for one that was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<ManifestCompaction>,
    /// How the run came into object storage; null for one that was written to disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<ManifestUpload>,
}

/// A clock anchor: a monotonic reading and the UTC time it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ManifestClock {
    /// The monotonic reading.
    pub monotonic_ns: u64,
    /// UTC nanoseconds since 1970.
    pub wall_ns: u64,
    /// How far apart the two readings may lie.
    pub uncertainty_ns: u64,
}

impl From<ClockAnchor> for ManifestClock {
    fn from(anchor: ClockAnchor) -> Self {
        let ClockAnchor {
            monotonic_ns,
            wall_ns,
            uncertainty_ns,
        } = anchor;
        Self {
            monotonic_ns,
            wall_ns,
            uncertainty_ns,
        }
    }
}

impl From<ManifestClock> for ClockAnchor {
    fn from(clock: ManifestClock) -> Self {
        let ManifestClock {
            monotonic_ns,
            wall_ns,
            uncertainty_ns,
        } = clock;
        Self {
            monotonic_ns,
            wall_ns,
            uncertainty_ns,
        }
    }
}

/// The job that a run is part of: see [`JobInfo`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ManifestJob {
    /// The job's identifier, the same in each of its processes.
    pub id: String,
    /// The process's number in the job, from 0.
    pub rank: Option<u32>,
    /// How many processes the job has.
    pub world_size: Option<u32>,
}

impl From<&JobInfo> for ManifestJob {
    fn from(job: &JobInfo) -> Self {
        Self {
            id: job.id.clone(),
            rank: job.rank,
            world_size: job.world_size,
        }
    }
}

/// A source: see [`SourceInfo`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ManifestSource {
    /// The source's name: the `source` column.
    pub name: String,
    /// The engine.
    pub engine: String,
    /// The engine's version.
    pub engine_version: Option<String>,
    /// The model that is served.
    pub model: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// Which clock the source's times come from.
    pub clock_domain: Option<String>,
    /// The source's own clock; null takes the run's.
    pub clock: Option<ManifestClock>,
    /// Anything else.
    pub attributes: BTreeMap<String, String>,
}

impl From<&SourceInfo> for ManifestSource {
    fn from(info: &SourceInfo) -> Self {
        Self {
            name: info.name.clone(),
            engine: info.engine.clone(),
            engine_version: info.engine_version.clone(),
            model: info.model.clone(),
            device: info.device.clone(),
            clock_domain: info.clock_domain.clone(),
            clock: info.clock.map(Into::into),
            attributes: info.attributes.clone(),
        }
    }
}

/// A metric: see [`MetricDesc`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ManifestMetric {
    /// The column's name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// The unit's symbol.
    pub unit: String,
    /// What is counted.
    pub help: String,
}

impl From<&MetricDesc> for ManifestMetric {
    fn from(metric: &MetricDesc) -> Self {
        Self {
            name: metric.name.to_string(),
            kind: metric.kind.to_string(),
            unit: metric.unit.symbol().to_owned(),
            help: metric.help.to_string(),
        }
    }
}

/// How a run ended: see [`RunEnd`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ManifestEnd {
    /// When, on the run's monotonic clock.
    pub monotonic_ns: u64,
    /// When, in UTC nanoseconds since 1970.
    pub wall_ns: u64,
    /// Rows handed to exporters, by table.
    pub rows: BTreeMap<String, u64>,
    /// Rows of these that an exporter did not write, by table, the most of any exporter; and as `engine_queue` those that
    /// an engine's full queue did not take.
    pub rows_dropped: BTreeMap<String, u64>,
    /// Anomalies clamped.
    pub anomalies: u64,
    /// What went wrong and was survived.
    pub problems: Vec<String>,
    /// The run's clock again, from the start to the end: how far the wall clock has moved against the first reading.
    pub clocks: Vec<ManifestClock>,
}

impl ManifestEnd {
    /// How far the wall clock was at the end from where the first reading puts it; rows are placed by the first.
    pub fn wall_drift_ns(&self) -> Option<i64> {
        let (first, last) = (self.clocks.first()?, self.clocks.last()?);
        let placed = ClockAnchor::from(*first).to_wall(last.monotonic_ns);
        i64::try_from(i128::from(last.wall_ns) - i128::from(placed)).ok()
    }
}

/// What a run was before it was compacted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ManifestCompaction {
    /// Files with rows.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl ManifestCompaction {
    /// Says how many files of how many bytes there were.
    pub fn new(files: u64, bytes: u64) -> Self {
        Self { files, bytes }
    }
}

/// How a run came into object storage: what is counted here is final, the manifest being the last to go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ManifestUpload {
    /// The run's URL.
    pub url: String,
    /// Files, the manifest not counted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that failed and were tried again.
    pub retries: u64,
    /// Times that the store took nothing.
    pub outages: u64,
    /// How long it took nothing, over all of them.
    pub outage_ns: u64,
    /// The most bytes of sealed parts that waited on disk at once.
    pub backlog_bytes_max: u64,
    /// Files that were given up because too much waited.
    pub dropped_files: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
}

impl ManifestUpload {
    /// Names the run's URL; everything else is zero.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }
}

impl RunManifest {
    /// Describes a run that begins.
    pub fn new(schema: &RunSchema) -> Self {
        let run = &schema.run;
        Self {
            schema_version: SCHEMA_VERSION,
            kvlens_version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: run.run_id.clone(),
            clean_stop: false,
            host: run.host.clone(),
            job: run.job.as_ref().map(Into::into),
            boot_id: boot_id(),
            clock: run.clock.into(),
            interval_ns: u64::try_from(run.interval.as_nanos()).unwrap_or(u64::MAX),
            tables: run.tables.iter().map(|table| table.name().to_owned()).collect(),
            attributes: run.attributes.clone(),
            sources: schema.sources.iter().map(Into::into).collect(),
            metrics: schema.metrics.iter().map(Into::into).collect(),
            end: None,
            recovered: false,
            members: Vec::new(),
            compaction: None,
            upload: None,
        }
    }

    /// Adds how the run ended.
    pub fn set_end(&mut self, end: &RunEnd) {
        self.clean_stop = end.clean_stop;
        self.end = Some(ManifestEnd {
            monotonic_ns: end.monotonic_ns,
            wall_ns: ClockAnchor::from(self.clock).to_wall(end.monotonic_ns),
            rows: end.rows.clone(),
            rows_dropped: end.rows_dropped.clone(),
            anomalies: end.anomalies,
            problems: end.problems.clone(),
            clocks: end.clocks.iter().map(|anchor| (*anchor).into()).collect(),
        });
    }

    /// Reads the manifest of a run directory.
    ///
    /// # Errors
    /// [`SchemaError::NotARun`] without a manifest, [`SchemaError::TooNew`] for one of a newer version,
    /// [`SchemaError::Manifest`] for one that can't be understood.
    pub fn read(run: impl AsRef<Path>) -> Result<Self, SchemaError> {
        let path = run.as_ref().join(MANIFEST);
        let text = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => SchemaError::NotARun {
                path: run.as_ref().to_path_buf(),
            },
            _ => SchemaError::io("read", &path, error),
        })?;
        Self::parse(&path, &text)
    }

    /// Understands the text of a manifest; `path` is where it was found.
    ///
    /// # Errors
    /// [`SchemaError::TooNew`] for one of a newer version, [`SchemaError::Manifest`] for one that can't be understood.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, SchemaError> {
        let parse = |source| SchemaError::Manifest {
            path: path.to_path_buf(),
            source,
        };
        // The version first: of a newer manifest nothing else may be as expected.
        let Version {
            schema_version: found,
        } = serde_json::from_slice(text).map_err(parse)?;
        if found > SCHEMA_VERSION {
            let (path, known) = (path.to_path_buf(), SCHEMA_VERSION);
            return Err(SchemaError::TooNew { path, found, known });
        }
        serde_json::from_slice(text).map_err(parse)
    }

    /// Notes in a run's manifest that the run was killed and has been recovered, unless the manifest says how the run
    /// ended. Fields that we don't know stay as they are.
    ///
    /// # Errors
    /// As [`read`](Self::read) and [`write`](Self::write).
    pub fn mark_recovered(run: impl AsRef<Path>) -> Result<(), SchemaError> {
        let path = run.as_ref().join(MANIFEST);
        let manifest = Self::read(&run)?;
        if manifest.end.is_some() || manifest.recovered {
            return Ok(());
        }
        let parse = |source| SchemaError::Manifest {
            path: path.clone(),
            source,
        };
        let text = fs::read(&path).map_err(|e| SchemaError::io("read", &path, e))?;
        let mut fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&text).map_err(parse)?;
        fields.insert("recovered".to_owned(), true.into());
        let mut text = serde_json::to_vec_pretty(&fields).map_err(parse)?;
        text.push(b'\n');
        write_atomic(&path, &text, true)
    }

    /// Writes the manifest of a run directory; an old one is replaced at once or not at all.
    ///
    /// # Errors
    /// [`SchemaError::Io`] when the disk refuses.
    pub fn write(&self, run: impl AsRef<Path>) -> Result<(), SchemaError> {
        let path = run.as_ref().join(MANIFEST);
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| SchemaError::Manifest {
            path: path.clone(),
            source,
        })?;
        text.push(b'\n');
        write_atomic(&path, &text, true)
    }
}

/// The kernel's boot identifier, on Linux.
fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

/// The exporter that writes `run.json`: when the run begins, and again when it ends.
///
/// Attach it before the exporters of the tables: it refuses a run directory that holds a run already.
///
/// ```
/// use kvlens_core::{Exporter, RunInfo, RunSchema, run::RunEnd};
/// use kvlens_schema::{Manifest, RunManifest};
/// let out = tempfile::tempdir()?;
/// let run = RunSchema::new(RunInfo::new("demo"), vec![], vec![]);
/// let mut manifest = Manifest::create(out.path());
/// manifest.begin(&run)?;
/// manifest.finish(&RunEnd::default())?;
/// assert_eq!(RunManifest::read(out.path().join("run_id=demo"))?.run_id, "demo");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "an exporter does nothing until a collector drives it"]
pub struct Manifest {
    out: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Begun(RunDir, Box<RunManifest>),
    Finished,
}

impl Manifest {
    /// The exporter's name.
    pub const NAME: &str = "manifest";

    /// Makes the exporter; the run's directory is made under `out` when the run begins.
    pub fn create(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            state: State::New,
        }
    }

    fn begun(&self) -> Result<()> {
        let exporter = || Self::NAME.to_owned();
        match self.state {
            State::New => Err(Error::NotBegun { exporter: exporter() }),
            State::Begun(..) => Ok(()),
            State::Finished => Err(Error::Finished { exporter: exporter() }),
        }
    }
}

impl Exporter for Manifest {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn begin(&mut self, schema: &RunSchema) -> Result<()> {
        if !matches!(self.state, State::New) {
            return Err(Error::Finished {
                exporter: Self::NAME.to_owned(),
            });
        }
        let write = || {
            let dir = RunDir::create(&self.out, &schema.run.run_id)?;
            if dir.manifest().exists() {
                return Err(SchemaError::Exists { path: dir.manifest() });
            }
            let manifest = RunManifest::new(schema);
            manifest.write(dir.path())?;
            Ok((dir, manifest))
        };
        let (dir, manifest) = write().map_err(|e: SchemaError| e.export(Self::NAME))?;
        self.state = State::Begun(dir, Box::new(manifest));
        Ok(())
    }

    fn write(&mut self, _batch: &Batch) -> Result<()> {
        self.begun()
    }

    fn flush(&mut self) -> Result<()> {
        self.begun()
    }

    fn finish(&mut self, end: &RunEnd) -> Result<()> {
        self.begun()?;
        if let State::Begun(dir, mut manifest) = std::mem::replace(&mut self.state, State::Finished) {
            manifest.set_end(end);
            manifest.write(dir.path()).map_err(|e| e.export(Self::NAME))?;
        }
        Ok(())
    }
}
