//! One run in, one run out.

use crate::check::Tally;
use crate::error::{CompactError, Result};
use crate::sorter::Sorter;
use crate::unify::{fit, union};
use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use kvlens_analysis::{AnalysisError, Part, Run};
use kvlens_core::Table;
use kvlens_parquet::{BatchWriter, ParquetOptions};
use kvlens_schema::RunManifest;
use kvlens_schema::layout::{MANIFEST, RUN_ID_MAX, check_run_id, sync_dir};
use kvlens_schema::manifest::ManifestCompaction;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How runs are rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactOptions {
    group_rows: usize,
    parquet: ParquetOptions,
}

impl CompactOptions {
    /// Rows of a row group: what a reader reads at least of a column.
    pub const GROUP_ROWS: usize = ParquetOptions::ROW_GROUP_ROWS;
    /// Rows of a file.
    pub const PART_ROWS: usize = 8 << 20;

    /// Sets the rows of a file, at least 1. Default: [`PART_ROWS`](Self::PART_ROWS).
    #[must_use]
    pub fn with_part_rows(mut self, rows: usize) -> Self {
        self.parquet = self.parquet.with_part_rows(rows);
        self
    }

    /// Sets the rows of a row group, at least 1. Default: [`GROUP_ROWS`](Self::GROUP_ROWS).
    #[must_use]
    pub fn with_group_rows(mut self, rows: usize) -> Self {
        self.group_rows = rows.max(1);
        self
    }

    /// Sets how many threads encode columns; 0 counts as 1. Default: one.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.parquet = self.parquet.with_threads(threads);
        self
    }
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            group_rows: Self::GROUP_ROWS,
            parquet: ParquetOptions::default().with_part_rows(Self::PART_ROWS),
        }
    }
}

/// A run that was rewritten and compared with its source, row by row.
#[derive(Debug)]
#[non_exhaustive]
pub struct Compacted {
    /// The new run's directory.
    pub path: PathBuf,
    /// The new run's identifier: the source's, or the job's.
    pub run_id: String,
    /// The tables, by name.
    pub tables: BTreeMap<String, TableCompacted>,
    sources: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

/// A table that was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TableCompacted {
    /// Rows, the same before and after.
    pub rows: u64,
    /// Files before.
    pub files_before: u64,
    /// Files after.
    pub files_after: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after.
    pub bytes_after: u64,
}

/// Rewrites a run, or a whole job as one run, into a directory under `out`.
///
/// # Errors
/// [`CompactError::Open`] for a run that is not sealed, [`CompactError::Csv`] for one in CSV, [`CompactError::Exists`]
/// when the result is there already, [`CompactError::Differs`] when it does not hold every row: nothing is left of it
/// then, and the source is as it was.
pub fn compact(run: &Run, out: impl AsRef<Path>, options: &CompactOptions) -> Result<Compacted> {
    refuse(run)?;
    let run_id = usable(run.id());
    let path = out.as_ref().join(format!("run_id={run_id}"));
    let exists = || CompactError::Exists { path: path.clone() };
    if path.exists() {
        return Err(exists());
    }
    // A name that readers pass over; what an earlier attempt left is in the way of nobody but us.
    let draft = out.as_ref().join(format!("_run_id={run_id}.tmp"));
    remove_dir(&draft)?;
    let written = write(run, &run_id, &draft, options).and_then(|tables| {
        fs::rename(&draft, &path).map_err(|error| match error.kind() {
            std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => exists(),
            _ => CompactError::io("rename", &draft, error),
        })?;
        sync_dir(out.as_ref())?;
        Ok(tables)
    });
    let tables = match written {
        Ok(tables) => tables,
        Err(error) => {
            // The error is what matters; a draft that stays is passed over by readers.
            let _ = remove_dir(&draft);
            return Err(error);
        }
    };
    let parts = Table::ALL.into_iter().flat_map(|table| run.parts(table));
    Ok(Compacted {
        path,
        run_id,
        tables,
        sources: run.directories(),
        files: parts.map(|part| part.path.clone()).collect(),
    })
}

impl Compacted {
    /// Removes the source, of which every row is in the new run. A directory that holds anything else than that source,
    /// such as the same run in another format, is left alone; the paths of those are returned.
    ///
    /// # Errors
    /// [`CompactError::Io`] when the file system refuses.
    pub fn remove_source(self) -> Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for source in &self.sources {
            let manifest = source.join(MANIFEST);
            let known = |path: &Path| path == manifest || self.files.iter().any(|file| file == path);
            if all_files(source)?.iter().all(|path| known(path)) {
                fs::remove_dir_all(source).map_err(|e| CompactError::io("remove", source, e))?;
            } else {
                kept.push(source.clone());
            }
        }
        Ok(kept)
    }
}

/// Refuses what can't be rewritten without loss.
fn refuse(run: &Run) -> Result<()> {
    for part in Table::ALL.into_iter().flat_map(|table| run.parts(table)) {
        let path = part.path.clone();
        if !part.is_sealed() {
            return Err(CompactError::Open { path });
        }
        if part.path.extension().is_some_and(|extension| extension == "csv") {
            return Err(CompactError::Csv { path });
        }
    }
    Ok(())
}

/// A job's identifier as a run's: other characters become `-`.
fn usable(id: &str) -> String {
    if check_run_id(id).is_ok() {
        return id.to_owned();
    }
    let fits = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let id: String = id.chars().map(fits).take(RUN_ID_MAX - 4).collect();
    format!("job-{}", id.trim_start_matches('.'))
}

fn write(
    run: &Run,
    run_id: &str,
    draft: &Path,
    options: &CompactOptions,
) -> Result<BTreeMap<String, TableCompacted>> {
    let mut tables = BTreeMap::new();
    let mut tallies = BTreeMap::new();
    for table in Table::ALL.into_iter().filter(|table| run.has(*table)) {
        let (tally, done) = write_table(run, table, run_id, draft, options)?;
        tallies.insert(table.name(), tally);
        tables.insert(table.name().to_owned(), done);
    }
    let mut manifest = run.manifest().clone();
    run_id.clone_into(&mut manifest.run_id);
    manifest.compaction = Some(ManifestCompaction::new(
        tables.values().map(|table| table.files_before).sum(),
        tables.values().map(|table| table.bytes_before).sum(),
    ));
    fs::create_dir_all(draft).map_err(|e| CompactError::io("make the directory", draft, e))?;
    manifest.write(draft)?;
    verify(draft, &tallies)?;
    Ok(tables)
}

fn write_table(
    run: &Run,
    table: Table,
    run_id: &str,
    draft: &Path,
    options: &CompactOptions,
) -> Result<(Tally, TableCompacted)> {
    let parts = run.parts(table);
    let schema = union(table, &run.scan(table)?.schemas()?, run_id)?;
    let mut writer = BatchWriter::create(draft.join(table.name()), schema.clone(), options.parquet.clone())?;
    let mut tally = Tally::default();
    for process in processes(parts) {
        let mut sorter = Sorter::new(table, options.group_rows, ParquetOptions::ROW_GROUP_BYTES);
        let mut failed = None;
        let read = run.scan(table)?.only(process).for_each(|batch| {
            let taken = take(table, batch, &schema, &mut tally, &mut sorter)
                .and_then(|group| group.map_or(Ok(()), |group| Ok(writer.write(&group)?)));
            // The reader's error type has no room for ours: it is kept aside, and reading ends.
            taken.map_err(|error| {
                failed = Some(error);
                AnalysisError::Worker
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        read?;
        if let Some(rest) = sorter.finish()? {
            let half = rest.num_rows().min(options.group_rows);
            writer.write(&rest.slice(0, half))?;
            if half < rest.num_rows() {
                writer.write(&rest.slice(half, rest.num_rows() - half))?;
            }
        }
    }
    let files = writer.finish()?;
    let done = TableCompacted {
        rows: tally.rows,
        files_before: parts.len() as u64,
        files_after: files.len() as u64,
        bytes_before: sizes(parts.iter().map(|part| &part.path))?,
        bytes_after: sizes(files.iter())?,
    };
    Ok((tally, done))
}

fn take(
    table: Table,
    batch: &RecordBatch,
    schema: &SchemaRef,
    tally: &mut Tally,
    sorter: &mut Sorter,
) -> Result<Option<RecordBatch>> {
    tally
        .add(batch)
        .map_err(|source| rows(table, "compare", source))?;
    sorter.push(fit(table, batch, schema)?)
}

fn rows(table: Table, action: &'static str, source: ArrowError) -> CompactError {
    let table = table.name();
    CompactError::Rows {
        action,
        table,
        source,
    }
}

/// The parts of each process, which follow each other.
fn processes(parts: &[Part]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| parts.get(before));
        match found.last_mut() {
            Some(range) if before.is_some_and(|before| before.process() == part.process()) => {
                range.end = at + 1;
            }
            _ => found.push(at..at + 1),
        }
    }
    found
}

/// Reads the result again and compares it with what was read from the source.
fn verify(draft: &Path, before: &BTreeMap<&'static str, Tally>) -> Result<()> {
    let result = Run::open(draft)?;
    RunManifest::read(draft)?;
    for (name, before) in before {
        let Some(table) = Table::from_name(name) else {
            continue;
        };
        let mut after = Tally::default();
        let mut failed = None;
        let read = result.scan(table)?.for_each(|batch| {
            after.add(batch).map_err(|error| {
                failed = Some(error);
                AnalysisError::Worker
            })
        });
        if let Some(source) = failed {
            return Err(rows(table, "compare", source));
        }
        read?;
        if !before.same(&after) {
            return Err(CompactError::Differs {
                table: table.name(),
                before: before.rows,
                after: after.rows,
            });
        }
    }
    Ok(())
}

fn sizes<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<u64> {
    let mut sum = 0;
    for file in files {
        sum += fs::metadata(file)
            .map_err(|e| CompactError::io("read", file, e))?
            .len();
    }
    Ok(sum)
}

/// Every file below a directory.
fn all_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| CompactError::io("list", dir, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.extend(all_files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CompactError::io("remove", dir, error))
        }
        _ => Ok(()),
    }
}
