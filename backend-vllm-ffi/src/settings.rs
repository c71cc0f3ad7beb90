//! The configuration, and what it makes: a feed, and a collector with its exporters.

use crate::destination::{self, Upload};
use crate::error::{Error, Result};
use crate::fault::{self, FaultyExporter};
use crate::feed::{Feed, FeedBuilder, QueueSizes};
use crate::prometheus::PrometheusSource;
use crate::shared::lock;
use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::collector::CollectorBuilder;
use kvlens_core::record::Table;
use kvlens_core::{CollectorHandle, JobInfo, RunInfo, SourceInfo, SystemClock, Tables};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The most problems kept in words.
const MAX_PROBLEMS: usize = 100;

/// What `kvlens_open` is told, as JSON; the header lists the keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    out: PathBuf,
    #[serde(default)]
    spool: Option<PathBuf>,
    run_id: String,
    #[serde(default = "parquet")]
    formats: Vec<String>,
    #[serde(default = "all_tables")]
    tables: Vec<String>,
    #[serde(default = "second")]
    interval_ms: u64,
    #[serde(default = "second")]
    flush_interval_ms: u64,
    #[serde(default = "half_minute")]
    stall_timeout_ms: u64,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    job: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    source: SourceSettings,
    #[serde(default)]
    queues: Option<Queues>,
    /// Read this page instead of waiting for pushes.
    #[serde(default)]
    metrics_url: Option<String>,
    /// Print problems on standard error as they arise.
    #[serde(default = "yes")]
    print_problems: bool,
    #[serde(default)]
    inject_fault: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SourceSettings {
    name: Option<String>,
    engine: Option<String>,
    engine_version: Option<String>,
    model: Option<String>,
    device: Option<String>,
    clock_domain: Option<String>,
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Queues {
    steps: usize,
    requests: usize,
    blocks: usize,
}

fn parquet() -> Vec<String> {
    vec!["parquet".to_owned()]
}

fn all_tables() -> Vec<String> {
    ["samples", "steps", "requests", "blocks"]
        .map(str::to_owned)
        .into()
}

fn second() -> u64 {
    1_000
}

fn half_minute() -> u64 {
    30_000
}

fn yes() -> bool {
    true
}

impl Settings {
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let settings: Self = serde_json::from_str(json).map_err(|source| Error::Config { source })?;
        settings.tables()?;
        settings.fault()?;
        for format in &settings.formats {
            if !["parquet", "csv", "arrow"].contains(&format.as_str()) {
                let mend = "use `parquet`, `csv` or `arrow`";
                return Err(setting("formats", format, mend));
            }
        }
        // Made and tried here, so that a caller learns at once, and of the real cause.
        let path = settings.local()?;
        let refused = |source| Error::Output {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&path).map_err(refused)?;
        try_to_write(&path).map_err(refused)?;
        Ok(settings)
    }

    /// The directory under which exporters write.
    fn local(&self) -> Result<PathBuf> {
        destination::local(&self.out, self.spool.as_deref())
    }

    pub(crate) fn feed(&self) -> FeedBuilder {
        let queues = self.queues.map_or_else(QueueSizes::default, |queues| QueueSizes {
            steps: queues.steps.min(1 << 22),
            requests: queues.requests.min(1 << 22),
            blocks: queues.blocks.min(1 << 22),
        });
        // The clock is the collector's, which `start` makes.
        FeedBuilder::new(self.source_info(), SystemClock::new()).queues(queues)
    }

    /// Begins the run.
    pub(crate) fn start(
        self,
        builder: FeedBuilder,
        problems: &Arc<Mutex<Vec<String>>>,
    ) -> Result<(Feed, CollectorHandle, Upload)> {
        let clock = SystemClock::new();
        let (feed, source) = builder.on_clock(clock).build()?;
        feed.shared.set_fault(self.fault()?);
        let mut collector = CollectorBuilder::new(self.run_info()?)
            .clock(clock)
            .interval(Duration::from_millis(self.interval_ms))
            .flush_interval(Duration::from_millis(self.flush_interval_ms))
            .stall_timeout(Duration::from_millis(self.stall_timeout_ms))
            .on_problem(self.on_problem(problems));
        collector = match &self.metrics_url {
            Some(url) => collector.source(PrometheusSource::from_url(self.source_info(), url)),
            None => collector.local_source(source),
        };
        let out = self.local()?;
        let collector = self.exporters(collector, &out)?;
        let (run, print) = (out.join(format!("run_id={}", self.run_id)), self.print_problems);
        let notice = move |text: &str| {
            if print {
                eprintln!("kvlens: {text}");
            }
        };
        let upload = Upload::start(&self.out, &run, notice)?;
        match collector.spawn() {
            Ok(handle) => Ok((feed, handle, upload)),
            Err(error) => {
                upload.abandon();
                Err(error.into())
            }
        }
    }

    fn exporters(&self, mut collector: CollectorBuilder, out: &Path) -> Result<CollectorBuilder> {
        // First in, last out: it writes down how the others ended.
        collector = collector.exporter(Manifest::create(out));
        for format in &self.formats {
            collector = match format.as_str() {
                "csv" => collector.exporter(CsvExporter::create(out, CsvOptions::default())),
                "arrow" => collector.exporter(ArrowExporter::create(out, ArrowOptions::default())),
                _ => collector.exporter(ParquetExporter::create(
                    out,
                    ParquetOptions::default().with_threads(1),
                )),
            };
        }
        let fault = self.fault()?;
        if fault == fault::EXPORTER_PANIC || fault == fault::EXPORTER_STALL {
            collector = collector.exporter(FaultyExporter(fault));
        }
        Ok(collector)
    }

    fn on_problem(&self, problems: &Arc<Mutex<Vec<String>>>) -> impl Fn(&str) + Send + Sync + 'static {
        let (problems, print) = (problems.clone(), self.print_problems);
        move |problem: &str| {
            if print {
                eprintln!("kvlens: {problem}");
            }
            let mut problems = lock(&problems);
            if problems.len() < MAX_PROBLEMS {
                problems.push(problem.to_owned());
            }
        }
    }

    fn run_info(&self) -> Result<RunInfo> {
        let mut run = RunInfo::new(&self.run_id).with_tables(self.tables()?);
        run.host.clone_from(&self.host);
        run.job = self
            .job
            .as_ref()
            .map_or_else(JobInfo::from_env, |job| Some(JobInfo::named(job)));
        run.attributes.clone_from(&self.attributes);
        Ok(run)
    }

    fn source_info(&self) -> SourceInfo {
        let given = &self.source;
        let name = given.name.as_deref().unwrap_or("engine-0");
        let mut info = SourceInfo::new(name, given.engine.as_deref().unwrap_or("unknown"));
        info.engine_version.clone_from(&given.engine_version);
        info.model.clone_from(&given.model);
        info.device.clone_from(&given.device);
        info.clock_domain.clone_from(&given.clock_domain);
        info.attributes.clone_from(&given.attributes);
        info
    }

    fn tables(&self) -> Result<Tables> {
        let mut tables = Tables::NONE;
        for name in &self.tables {
            let table = Table::from_name(name)
                .ok_or_else(|| setting("tables", name, "use `samples`, `steps`, `requests` or `blocks`"))?;
            tables = tables.with(table);
        }
        Ok(tables)
    }

    fn fault(&self) -> Result<u32> {
        let Some(name) = &self.inject_fault else {
            return Ok(0);
        };
        let mend =
            "use `source_panic`, `push_panic`, `exporter_panic` or `exporter_stall`, and only in tests";
        fault::from_name(name).ok_or_else(|| setting("inject_fault", name, mend))
    }
}

fn setting(setting: &'static str, found: &str, mend: &'static str) -> Error {
    let found = found.to_owned();
    Error::Setting { setting, found, mend }
}

/// Makes a file and removes it again: whether a directory can be written is not what its mode says.
fn try_to_write(directory: &std::path::Path) -> std::io::Result<()> {
    let path = directory.join(format!(".kvlens-{}", std::process::id()));
    std::fs::File::create(&path)?;
    std::fs::remove_file(path)
}
