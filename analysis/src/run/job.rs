//! The processes of a job, read as one run.
//!
//! Every process has a run of its own. Read together, their rows keep apart by source: `engine-0` of rank 3 becomes
//! `rank3/engine-0`. So counters, which are cumulative per source, sum; histograms, which are deltas, merge; gauges sum
//! where that means something. Rows of different processes meet at their UTC timestamps.

use super::{Part, Run};
use crate::error::{AnalysisError, Result};
use kvlens_core::Table;
use kvlens_schema::RunManifest;
use kvlens_schema::manifest::{ManifestEnd, ManifestMetric};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a path's last piece begins with that picks a job among the runs of a directory.
pub(super) const SELECTION: &str = "job=";

/// What the processes of a job have in common, and what not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct JobFacts {
    /// The job's identifier.
    pub id: String,
    /// Processes whose runs are here.
    pub processes: usize,
    /// Processes that the job had, as its launcher said.
    pub world_size: Option<u32>,
    /// Ranks below the world size of which no run is here; the first few.
    pub missing_ranks: Vec<u32>,
    /// Hosts.
    pub hosts: usize,
    /// Kernels, as far as known: processes of one share their wall clock, those of several rely on how well their hosts'
    /// clocks were set, which is not recorded.
    pub kernels: usize,
    /// How far two processes of one kernel may be apart in time: the widest bracket of their clock readings, twice.
    pub clock_uncertainty_ns: u64,
    /// The most that a process's wall clock moved against its monotonic one; its rows are placed by the first reading.
    pub clock_drift_ns: Option<u64>,
}

impl JobFacts {
    /// What limits figures over the whole job.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(world_size) = self.world_size.filter(|size| *size as usize > self.processes) {
            let missing: Vec<_> = self.missing_ranks.iter().map(u32::to_string).collect();
            let which = match missing.as_slice() {
                [] => String::new(),
                [one] => format!(", rank {one} is missing"),
                several => format!(", ranks {} are missing", several.join(", ")),
            };
            notes.push(format!(
                "{} of {world_size} processes are here{which}",
                self.processes
            ));
        }
        if self.kernels > 1 {
            notes.push(format!(
                "the processes ran on {} machines: times of different machines are as far apart as their clocks were set",
                self.kernels
            ));
        }
        notes
    }
}

/// The runs of a directory that are of one job: the one that is named, or the only one.
pub(super) fn select(path: &Path, dirs: &[PathBuf], wanted: Option<&str>) -> Result<Option<Run>> {
    let mut found: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for dir in dirs {
        let run = match Run::open_dir(dir, None) {
            Ok(run) => run,
            // A run that is just beginning, or a stranger's, is none of this job's.
            Err(_) if wanted.is_some() => continue,
            Err(error) => return Err(error),
        };
        let Some(job) = run.manifest.job.as_ref().map(|job| job.id.clone()) else {
            if wanted.is_some() {
                continue;
            }
            return Ok(None);
        };
        found.entry(job).or_default().push(run);
    }
    match wanted {
        Some(wanted) => match found.remove(wanted) {
            Some(runs) => join(path, wanted, runs).map(Some),
            None => Err(AnalysisError::UnknownJob {
                job: wanted.to_owned(),
                path: path.to_path_buf(),
                known: found.into_keys().collect(),
            }),
        },
        None if found.len() == 1 => match found.pop_first() {
            Some((job, runs)) => join(path, &job, runs).map(Some),
            None => Ok(None),
        },
        None => Ok(None),
    }
}

/// Makes one run of several.
fn join(path: &Path, job: &str, mut runs: Vec<Run>) -> Result<Run> {
    runs.sort_by(|a, b| (rank(a), a.id()).cmp(&(rank(b), b.id())));
    let Some(first) = runs.first() else {
        return Err(AnalysisError::NoRuns {
            path: path.to_path_buf(),
        });
    };
    let manifests: Vec<&RunManifest> = runs.iter().map(Run::manifest).collect();
    let facts = facts(job, &manifests);
    let mut manifest = first.manifest.clone();
    job.clone_into(&mut manifest.run_id);
    manifest.clean_stop = runs.iter().all(Run::is_finished);
    manifest.host = host(&runs);
    manifest.upload = None;
    manifest.sources = Vec::new();
    let labels = labels(&runs);
    for (run, label) in runs.iter().zip(&labels) {
        manifest
            .attributes
            .retain(|name, value| run.manifest.attributes.get(name) == Some(value));
        add_metrics(&mut manifest.metrics, &run.manifest.metrics);
        manifest.sources.extend(run.manifest.sources.iter().map(|source| {
            let mut source = source.clone();
            source.name = format!("{label}/{}", source.name);
            source
        }));
    }
    manifest.end = end(&runs);
    manifest.members = runs.iter().map(|run| run.manifest.clone()).collect();
    manifest.job = manifest.job.map(|mut job| {
        job.rank = None;
        job
    });
    let members = runs.iter().map(|run| run.dir.clone()).collect();
    let format = first.format;
    let mut parts: BTreeMap<Table, Vec<Part>> = BTreeMap::new();
    for (run, label) in runs.into_iter().zip(labels) {
        let label: Arc<str> = label.into();
        for (table, of_run) in run.parts {
            let labelled = of_run.into_iter().map(|part| part.labelled(&label));
            parts.entry(table).or_default().extend(labelled);
        }
    }
    Ok(Run {
        dir: path.to_path_buf(),
        manifest,
        format,
        parts,
        job: Some(facts),
        members,
    })
}

/// What a job's processes were, from the manifest of one that was compacted into a run.
pub(super) fn of_members(manifest: &RunManifest) -> Option<JobFacts> {
    let job = manifest.job.as_ref().filter(|_| !manifest.members.is_empty())?;
    Some(facts(&job.id, &manifest.members.iter().collect::<Vec<_>>()))
}

fn rank(run: &Run) -> Option<u32> {
    run.manifest.job.as_ref()?.rank
}

/// A name for each run: its rank where each has one of its own, else its identifier.
fn labels(runs: &[Run]) -> Vec<String> {
    let ranks: BTreeSet<u32> = runs.iter().filter_map(rank).collect();
    let by_rank = ranks.len() == runs.len();
    let label = |run: &Run| match rank(run) {
        Some(rank) if by_rank => format!("rank{rank}"),
        _ => run.id().to_owned(),
    };
    runs.iter().map(label).collect()
}

fn host(runs: &[Run]) -> Option<String> {
    let hosts: BTreeSet<&String> = runs.iter().filter_map(|run| run.manifest.host.as_ref()).collect();
    match hosts.len() {
        0 => None,
        1 => hosts.first().map(|host| (*host).clone()),
        several => Some(format!("{several} hosts")),
    }
}

fn add_metrics(all: &mut Vec<ManifestMetric>, more: &[ManifestMetric]) {
    for metric in more {
        if !all.iter().any(|known| known.name == metric.name) {
            all.push(metric.clone());
        }
    }
}

/// What the processes' ends say together; `None` unless each has one.
fn end(runs: &[Run]) -> Option<ManifestEnd> {
    let mut all = ManifestEnd::default();
    for run in runs {
        let end = run.manifest.end.as_ref()?;
        all.wall_ns = all.wall_ns.max(end.wall_ns);
        all.anomalies += end.anomalies;
        for (mine, theirs) in [
            (&mut all.rows, &end.rows),
            (&mut all.rows_dropped, &end.rows_dropped),
        ] {
            for (table, rows) in theirs {
                *mine.entry(table.clone()).or_insert(0) += rows;
            }
        }
        let told = end
            .problems
            .iter()
            .map(|problem| format!("{}: {problem}", run.id()));
        all.problems.extend(told);
    }
    Some(all)
}

fn facts(job: &str, processes: &[&RunManifest]) -> JobFacts {
    const SHOWN: usize = 16;
    let jobs = || processes.iter().filter_map(|manifest| manifest.job.as_ref());
    let world_size = jobs().filter_map(|job| job.world_size).max();
    let here: BTreeSet<u32> = jobs().filter_map(|job| job.rank).collect();
    let missing = (0..world_size.unwrap_or(0)).filter(|rank| !here.is_empty() && !here.contains(rank));
    let distinct = |of: fn(&RunManifest) -> Option<&String>| {
        processes
            .iter()
            .filter_map(|manifest| of(manifest))
            .collect::<BTreeSet<_>>()
            .len()
    };
    let drift = |manifest: &&RunManifest| Some(manifest.end.as_ref()?.wall_drift_ns()?.unsigned_abs());
    let uncertainties = processes.iter().map(|manifest| manifest.clock.uncertainty_ns);
    JobFacts {
        id: job.to_owned(),
        processes: processes.len(),
        world_size,
        missing_ranks: missing.take(SHOWN).collect(),
        hosts: distinct(|manifest| manifest.host.as_ref()),
        kernels: distinct(|manifest| manifest.boot_id.as_ref()),
        clock_uncertainty_ns: uncertainties.max().unwrap_or(0).saturating_mul(2),
        clock_drift_ns: processes.iter().filter_map(drift).max(),
    }
}
