//! Paths of a run directory.
//!
//! ```text
//! <out>/run_id=<id>/run.json
//! <out>/run_id=<id>/steps/part-00000.parquet        Parquet, sealed
//! <out>/run_id=<id>/steps.csv                       CSV
//! <out>/run_id=<id>/steps.arrow                     Arrow IPC
//! ```
//! Names that begin with `_` belong to a run that is being written, or that was killed: readers pass them over
//! (Spark, `pyarrow` and `DuckDB`'s globs do), a recovery turns them into the names above.

use crate::error::SchemaError;
use kvlens_core::record::Table;
use std::fs;
use std::path::{Path, PathBuf};

/// The manifest's file name.
pub const MANIFEST: &str = "run.json";

/// The longest run id.
pub const RUN_ID_MAX: usize = 128;

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the directory of a run under `out`; it may be there already, for another exporter of the same run.
    ///
    /// # Errors
    /// [`SchemaError::RunId`] when the id can't be a directory's name, [`SchemaError::Io`] when the directory can't be
    /// made.
    pub fn create(out: impl AsRef<Path>, run_id: &str) -> Result<Self, SchemaError> {
        check_run_id(run_id)?;
        let path = out.as_ref().join(format!("run_id={run_id}"));
        fs::create_dir_all(&path).map_err(|source| SchemaError::Io {
            action: "make the run directory",
            path: path.clone(),
            source,
        })?;
        Ok(Self { path })
    }

    /// Names a directory as a run's, without looking at it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.path.join(MANIFEST)
    }

    /// The directory of a table's parts.
    pub fn table(&self, table: Table) -> PathBuf {
        self.path.join(table.name())
    }

    /// A table's only file, such as `steps.csv`.
    pub fn file(&self, table: Table, extension: &str) -> PathBuf {
        self.path.join(format!("{}.{extension}", table.name()))
    }

    /// A table's only file while it is being written, such as `_steps.arrow`.
    pub fn open_file(&self, table: Table, extension: &str) -> PathBuf {
        self.path.join(format!("_{}.{extension}", table.name()))
    }
}

/// Finds the runs under a directory, oldest name first; the directory itself when it is a run, if only by its name.
///
/// # Errors
/// [`SchemaError::Io`] when the directory can't be listed.
pub fn find_runs(out: impl AsRef<Path>) -> Result<Vec<RunDir>, SchemaError> {
    let out = out.as_ref();
    if out.join(MANIFEST).is_file() {
        return Ok(vec![RunDir::new(out)]);
    }
    let listing = fs::read_dir(out).map_err(|e| SchemaError::io("list", out, e))?;
    let mut runs = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|e| SchemaError::io("list", out, e))?;
        if is_named_as_a_run(&entry.path()) && entry.path().is_dir() {
            runs.push(RunDir::new(entry.path()));
        }
    }
    if runs.is_empty() && is_named_as_a_run(out) {
        runs.push(RunDir::new(out));
    }
    runs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(runs)
}

fn is_named_as_a_run(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("run_id="))
}

/// The scheme of a store's URL, such as `s3`; `None` for a path on disk.
///
/// ```
/// use kvlens_schema::layout::store_scheme;
/// assert_eq!(store_scheme("s3://bucket/prefix".as_ref()), Some("s3"));
/// assert_eq!(store_scheme("runs/today".as_ref()), None);
/// ```
pub fn store_scheme(out: &Path) -> Option<&str> {
    let (scheme, _) = out.to_str()?.split_once("://")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed))
        .then_some(scheme)
}

/// Checks that a run id can be a directory's name and a partition's value on any system.
///
/// # Errors
/// [`SchemaError::RunId`] if it can't.
pub fn check_run_id(run_id: &str) -> Result<(), SchemaError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=RUN_ID_MAX).contains(&run_id.len()) && !run_id.starts_with('.');
    if fits && run_id.bytes().all(allowed) {
        return Ok(());
    }
    Err(SchemaError::RunId {
        run_id: run_id.to_owned(),
    })
}

/// Makes a directory's entries safe against a loss of power; a no-op where directories can't be opened.
///
/// # Errors
/// [`SchemaError::Io`] when the file system refuses.
pub fn sync_dir(path: &Path) -> Result<(), SchemaError> {
    match fs::File::open(path) {
        Ok(dir) if cfg!(unix) => dir.sync_all().map_err(|e| SchemaError::io("sync", path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_checked() {
        for good in ["a", "2026-11-24T02.23_0", "x-1"] {
            check_run_id(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a=b", "a b", "é", "a\0", &"x".repeat(129)] {
            assert!(check_run_id(bad).is_err(), "{bad:?}");
        }
    }
}
