//! Where runs wait on their way to a store, and which of their files are ready to go.

use crate::error::{Result, StoreError};
use kvlens_core::Table;
use kvlens_schema::layout::MANIFEST;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The directory that runs wait in unless one is named: `kvlens/spool` in the user's cache directory, or in the system's
/// temporary one where there is none.
pub fn default_dir() -> PathBuf {
    cache().join("spool")
}

/// The user's cache directory for this program.
pub(crate) fn cache() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("kvlens")
}

/// A file of a run that will not change any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sealed {
    /// When it was written; the oldest goes first.
    modified: Option<SystemTime>,
    /// Its path below the run's directory, with `/`.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
}

impl Sealed {
    /// How much of a loss it would be: the totals of a run are in its samples, details in the other tables.
    pub(crate) fn worth(&self) -> usize {
        let table = self.path.split('/').next().and_then(Table::from_name);
        match table {
            Some(Table::Accesses) => 0,
            Some(Table::Blocks) => 1,
            Some(Table::Steps) => 2,
            Some(Table::Requests) => 3,
            Some(Table::Samples) | None => 4,
        }
    }
}

/// The files that are ready, oldest first.
///
/// While a run is written these are the parts in the tables' directories: a CSV file is one, and grows, to the end. Of a
/// run that has `ended` it is everything but the manifest. Names that begin with `_` or `.` are under construction.
pub(crate) fn sealed(run: &Path, ended: bool) -> Result<Vec<Sealed>> {
    let mut found = Vec::new();
    for (name, path, is_dir) in listing(run)? {
        if is_dir {
            for (inner, path, is_dir) in listing(&path)? {
                if !is_dir {
                    found.extend(look(format!("{name}/{inner}"), &path)?);
                }
            }
        } else if ended && name != MANIFEST {
            found.extend(look(name, &path)?);
        }
    }
    found.sort();
    Ok(found)
}

/// Files under construction, or left behind by a kill: their rows are in no sealed file.
pub(crate) fn unsealed(run: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (name, path, is_dir) in entries(run)? {
        if is_dir {
            let inner = entries(&path)?.into_iter();
            found.extend(
                inner
                    .filter(|(name, ..)| name.starts_with("_part-"))
                    .map(|(_, path, _)| path),
            );
        } else if name.starts_with('_') && path.extension().is_some_and(|extension| extension == "arrow") {
            found.push(path);
        }
    }
    Ok(found)
}

/// What is in a directory and not hidden.
fn listing(dir: &Path) -> Result<Vec<(String, PathBuf, bool)>> {
    let mut found = entries(dir)?;
    found.retain(|(name, ..)| !name.starts_with(['_', '.']));
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<(String, PathBuf, bool)>> {
    let failed = |error| StoreError::io("list", dir, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_dir = entry.file_type().map_err(failed)?.is_dir();
        // A name that is no text is not ours.
        found.extend(
            entry
                .file_name()
                .into_string()
                .ok()
                .map(|name| (name, entry.path(), is_dir)),
        );
    }
    Ok(found)
}

/// `None` for a file that went away.
fn look(name: String, path: &Path) -> Result<Option<Sealed>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path, error)),
        Ok(metadata) => Ok(Some(Sealed {
            modified: metadata.modified().ok(),
            path: name,
            bytes: metadata.len(),
        })),
    }
}

/// Removes a run's directory as far as it is empty.
pub(crate) fn remove_empty(run: &Path) {
    for (_, path, is_dir) in listing(run).unwrap_or_default() {
        if is_dir {
            // One that is not empty stays.
            let _ = fs::remove_dir(path);
        }
    }
    let _ = fs::remove_dir(run);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_sealed_goes_and_the_manifest_goes_apart() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("steps")).unwrap();
        for name in [
            "run.json",
            "steps.csv",
            "_steps.arrow",
            "steps/part-0.parquet",
            "steps/_part-1.parquet",
        ] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let names = |ended| -> Vec<_> {
            let mut names: Vec<_> = sealed(dir.path(), ended)
                .unwrap()
                .into_iter()
                .map(|sealed| sealed.path)
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(false), ["steps/part-0.parquet"]);
        assert_eq!(names(true), ["steps.csv", "steps/part-0.parquet"]);
    }
}
