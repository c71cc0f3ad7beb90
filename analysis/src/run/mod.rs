//! Runs on disk: one, or many.

mod job;
mod open_part;
mod parts;

use crate::error::{AnalysisError, Result};
use crate::scan::Scan;
use arrow_schema::SchemaRef;
use kvlens_core::Table;
use kvlens_core::run::{RunInfo, RunSchema, SourceInfo};
use kvlens_schema::RunManifest;
use kvlens_schema::layout::MANIFEST;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub use job::JobFacts;
pub(crate) use open_part::OpenPart;
pub(crate) use parts::PartKind;
pub use parts::{Format, Part};

/// Directories below the one given that are searched for runs: `team=a/date=b/run_id=c` and a little more.
pub const SEARCH_DEPTH: usize = 6;

/// A run on disk, finished or not.
///
/// Opening reads the manifest and lists the parts; rows are read by a [`Scan`]. What an unfinished run has flushed is
/// part of it: the sealed parts, the whole row groups of the open one, and the stream of rows that came after.
#[derive(Debug, Clone)]
pub struct Run {
    dir: PathBuf,
    manifest: RunManifest,
    format: Option<Format>,
    parts: BTreeMap<Table, Vec<Part>>,
    /// What the processes are that this run is made of, if it is a whole job.
    job: Option<JobFacts>,
    /// Their directories; none for the run of one process.
    members: Vec<PathBuf>,
}

impl Run {
    /// Opens a run: its directory, its `run.json`, or a directory with this one run in it; or a whole job as one run: a
    /// directory that holds the runs of one job and no others, or `DIRECTORY/job=ID` for the runs of that job among all
    /// that the directory holds. A pattern (`runs/*/run_id=a*`) stands for the directories that it matches.
    ///
    /// # Errors
    /// [`AnalysisError::Layout`] for a manifest that is newer or unreadable, [`AnalysisError::NoRuns`] where there is
    /// none, [`AnalysisError::ManyRuns`] where there are several and not of one job, [`AnalysisError::UnknownJob`] where
    /// none is of the job, [`AnalysisError::Pattern`] for a bad pattern.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(path, None)
    }

    /// Opens a run that was written in several formats, to read one of them; `None` takes Parquet before Arrow before
    /// CSV.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_as(path: impl AsRef<Path>, format: Option<Format>) -> Result<Self> {
        let path = path.as_ref();
        let dir = match path.file_name() {
            Some(name) if name == MANIFEST => path.parent().unwrap_or(Path::new(".")),
            _ => path,
        };
        if !dir.exists() {
            if let Some((parent, job)) = selection(dir) {
                return job::select(parent, &find(parent)?, Some(job))?.ok_or_else(|| {
                    AnalysisError::NoRuns {
                        path: dir.to_path_buf(),
                    }
                });
            }
            if !is_pattern(dir) {
                let source = fs::metadata(dir).err();
                let source = source.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
                return Err(AnalysisError::io("read", dir, source));
            }
        }
        if dir.join(MANIFEST).is_file() {
            return Self::open_dir(dir, format);
        }
        if dir.is_file() {
            return Err(AnalysisError::NoRuns {
                path: dir.to_path_buf(),
            });
        }
        match find_all(dir)?.as_slice() {
            [] => Err(AnalysisError::NoRuns {
                path: dir.to_path_buf(),
            }),
            [only] => Self::open_dir(only, format),
            several @ [first, ..] => {
                job::select(dir, several, None)?.ok_or_else(|| AnalysisError::ManyRuns {
                    path: dir.to_path_buf(),
                    count: several.len(),
                    first: first.clone(),
                })
            }
        }
    }

    fn open_dir(dir: &Path, format: Option<Format>) -> Result<Self> {
        let manifest = RunManifest::read(dir)?;
        let format = match format {
            None => parts::formats(dir)?.into_iter().next(),
            chosen => chosen,
        };
        let mut parts = BTreeMap::new();
        for table in Table::ALL {
            let found = match format {
                Some(format) => parts::find(dir, table, format)?,
                None => Vec::new(),
            };
            if !found.is_empty() {
                parts.insert(table, found);
            }
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            format,
            parts,
            job: job::of_members(&manifest),
            manifest,
            members: Vec::new(),
        })
    }

    /// A run of which the manifest alone is here: its files are elsewhere, in a store that a query engine reads itself.
    /// It has no part, and says that it is Parquet.
    pub fn from_manifest(place: impl Into<PathBuf>, manifest: RunManifest) -> Self {
        Self {
            dir: place.into(),
            format: Some(Format::Parquet),
            parts: BTreeMap::new(),
            job: job::of_members(&manifest),
            manifest,
            members: Vec::new(),
        }
    }

    /// Opens a run that may still be written and asks it something, again from the start where the writer replaced a
    /// file meanwhile.
    ///
    /// # Errors
    /// What opening or asking gives; [`AnalysisError::MovedOn`] after three attempts.
    ///
    /// ```no_run
    /// use kvlens_analysis::{Run, ScanOptions, summary::summary};
    /// let now = Run::ask("runs/run_id=live", |run| summary(run, ScanOptions::default()))?;
    /// # Ok::<(), kvlens_analysis::AnalysisError>(())
    /// ```
    pub fn ask<T>(path: impl AsRef<Path>, question: impl Fn(&Self) -> Result<T>) -> Result<T> {
        const RETRIES: usize = 2;
        for _ in 0..RETRIES {
            match Self::open(&path).and_then(|run| question(&run)) {
                Err(AnalysisError::MovedOn { .. }) => {}
                answer => return answer,
            }
        }
        question(&Self::open(&path)?)
    }

    /// The run's identifier.
    pub fn id(&self) -> &str {
        &self.manifest.run_id
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directories that its files are in: several for a job.
    pub fn directories(&self) -> Vec<PathBuf> {
        if self.members.is_empty() {
            vec![self.dir.clone()]
        } else {
            self.members.clone()
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &RunManifest {
        &self.manifest
    }

    /// The format that is read; `None` when no table has a file yet.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Whether the run was ended by its owner; false while it runs, and for good when it was killed.
    pub fn is_finished(&self) -> bool {
        self.manifest.clean_stop
    }

    /// What the processes are that this run is made of; `None` for the run of one process.
    pub fn job(&self) -> Option<&JobFacts> {
        self.job.as_ref()
    }

    /// Whether a table was recorded.
    pub fn has(&self, table: Table) -> bool {
        self.parts.contains_key(&table)
    }

    /// The files of a table, in the order of their rows.
    pub fn parts(&self, table: Table) -> &[Part] {
        self.parts.get(&table).map_or(&[], Vec::as_slice)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`AnalysisError::NoTable`] if the run has none of that name.
    pub fn scan(&self, table: Table) -> Result<Scan<'_>> {
        if self.has(table) {
            return Ok(Scan::new(self, table));
        }
        Err(AnalysisError::NoTable {
            run_id: self.id().to_owned(),
            table,
        })
    }

    /// The columns of a table, as the manifest promises them. Histograms are structs, which CSV does not keep.
    pub fn table_schema(&self, table: Table) -> SchemaRef {
        kvlens_schema::table_schema(&self.schema(), table)
    }

    /// What the run was when it began, as far as columns follow from it.
    pub(crate) fn schema(&self) -> RunSchema {
        let sources = self.manifest.sources.iter();
        let sources = sources.map(|source| SourceInfo::new(&source.name, &source.engine));
        let metrics = self.manifest.metrics.iter().filter_map(crate::metrics::describe);
        RunSchema::new(RunInfo::new(self.id()), sources.collect(), metrics.collect())
    }
}

/// Several runs.
#[derive(Debug, Default)]
pub struct Runs {
    runs: Vec<Run>,
    /// Runs that could not be opened.
    refused: Vec<(PathBuf, AnalysisError)>,
}

impl Runs {
    /// Opens every run under a directory, whatever partitions lie between, or of every path that a pattern matches;
    /// of `DIRECTORY/job=ID` the runs of that job.
    ///
    /// A run that can't be opened is named by [`refused`](Self::refused) and does not keep the others away.
    ///
    /// # Errors
    /// [`AnalysisError::Pattern`] for a bad pattern, [`AnalysisError::NoRuns`] if nothing is found,
    /// [`AnalysisError::UnknownJob`] if no run is of the job.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match selection(path).filter(|_| !path.exists()) {
            Some((parent, job)) => Self::open(parent)?.of_job(parent, job),
            None => Self::open_all(path),
        }
    }

    fn open_all(path: &Path) -> Result<Self> {
        let mut out = Self::default();
        for dir in find_all(path)? {
            match Run::open_dir(&dir, None) {
                Ok(run) => out.runs.push(run),
                Err(error) => out.refused.push((dir, error)),
            }
        }
        if out.runs.is_empty() && out.refused.is_empty() {
            return Err(AnalysisError::NoRuns {
                path: path.to_path_buf(),
            });
        }
        Ok(out)
    }

    /// Leaves the runs of one job; strangers are none of its, whatever is wrong with them.
    fn of_job(mut self, path: &Path, wanted: &str) -> Result<Self> {
        let job = |run: &Run| run.manifest.job.as_ref().map(|job| job.id.clone());
        let known: BTreeSet<String> = self.runs.iter().filter_map(job).collect();
        if !known.contains(wanted) {
            return Err(AnalysisError::UnknownJob {
                job: wanted.to_owned(),
                path: path.to_path_buf(),
                known: known.into_iter().collect(),
            });
        }
        self.runs.retain(|run| job(run).as_deref() == Some(wanted));
        self.refused.clear();
        Ok(self)
    }

    /// The runs, by path.
    pub fn iter(&self) -> std::slice::Iter<'_, Run> {
        self.runs.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Runs that could not be opened, and why.
    pub fn refused(&self) -> &[(PathBuf, AnalysisError)] {
        &self.refused
    }

    /// Takes the runs that could not be opened, and why.
    pub fn take_refused(&mut self) -> Vec<(PathBuf, AnalysisError)> {
        std::mem::take(&mut self.refused)
    }

    /// Finds a run by its identifier.
    ///
    /// # Errors
    /// [`AnalysisError::UnknownRun`] if there is none.
    pub fn find(&self, run_id: &str) -> Result<&Run> {
        let found = self.runs.iter().find(|run| run.id() == run_id);
        found.ok_or_else(|| AnalysisError::UnknownRun {
            run_id: run_id.to_owned(),
            known: self.runs.iter().map(|run| run.id().to_owned()).collect(),
        })
    }
}

impl<'a> IntoIterator for &'a Runs {
    type Item = &'a Run;
    type IntoIter = std::slice::Iter<'a, Run>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Runs {
    type Item = Run;
    type IntoIter = std::vec::IntoIter<Run>;

    fn into_iter(self) -> Self::IntoIter {
        self.runs.into_iter()
    }
}

/// The directory and the job of a path such as `runs/job=night`.
fn selection(path: &Path) -> Option<(&Path, &str)> {
    let job = path.file_name()?.to_str()?.strip_prefix(job::SELECTION)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    (!job.is_empty() && parent.is_dir()).then_some((parent, job))
}

/// The directories where a search begins.
fn starts(path: &Path) -> Result<Vec<PathBuf>> {
    if path.exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    let pattern = path.to_string_lossy();
    let paths = glob::glob(&pattern).map_err(|source| AnalysisError::Pattern {
        pattern: pattern.clone().into_owned(),
        source,
    })?;
    // A directory that may not be listed matches nothing.
    Ok(paths.flatten().filter(|path| path.is_dir()).collect())
}

/// Whether a path that is not there may be meant as a pattern.
pub fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[']) && !path.exists()
}

/// Every run under a directory, or under those that a pattern matches.
fn find_all(path: &Path) -> Result<Vec<PathBuf>> {
    let mut dirs = Vec::new();
    for start in starts(path)? {
        dirs.extend(find(&start)?);
    }
    dirs.sort();
    dirs.dedup();
    Ok(dirs)
}

/// Every run under a directory, itself included.
fn find(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    search(dir, SEARCH_DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

fn search(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if dir.join(MANIFEST).is_file() {
        found.push(dir.to_path_buf());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(|e| AnalysisError::io("list", dir, e))? {
        let entry = entry.map_err(|e| AnalysisError::io("list", dir, e))?;
        let hidden = entry.file_name().to_string_lossy().starts_with(['.', '_']);
        // Links are not followed: a link to a directory above would never end.
        if !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&entry.path(), depth - 1, found)?;
        }
    }
    Ok(())
}
