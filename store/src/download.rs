//! Runs from a store into a local directory, where every reader finds them.
//!
//! Files that are there already, with the size and the time of the object, are not fetched again; files whose object is
//! gone are removed. So a directory that is used again and again holds what the store holds now.

use crate::error::{Result, StoreError};
use crate::open::{Store, StoreOptions, open};
use crate::remote::Complete;
use crate::spool;
use crate::uploader::{on_a_thread, runtime};
use futures_util::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;
use tokio::task::JoinSet;

/// Bytes that one download may take.
pub const LIMIT: u64 = 16 << 30;
/// Objects that are fetched at once.
const AT_ONCE: usize = 8;

/// What a download came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// Where the run, or the directory of runs, is now.
    pub path: PathBuf,
    /// Files that were fetched.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Files that were there already.
    pub reused: u64,
}

/// The directory that runs are downloaded into unless one is named: `kvlens/runs` in the user's cache directory.
pub fn default_cache() -> PathBuf {
    spool::cache().join("runs")
}

/// Fetches what is below a URL, be it a run or many, into `cache`: at most `limit` bytes, counted before the first is
/// fetched.
///
/// # Errors
/// [`StoreError::NotThere`] when no complete run is below the URL, [`StoreError::TooLarge`] over the limit, and what the
/// store or the disk says.
pub fn download(url: &str, cache: &Path, options: &StoreOptions, limit: u64) -> Result<Downloaded> {
    let store = open(url, options)?;
    let into = cache.join(local_name(&store)?);
    on_a_thread(move || runtime()?.block_on(fetch(store, into, limit)))?
}

/// A directory below the cache that stands for a URL: `s3/bucket/prefix`.
fn local_name(store: &Store) -> Result<PathBuf> {
    let url = store.root_url();
    let prefix = store.path("");
    let place = [url.scheme(), url.host_str().unwrap_or("localhost")].into_iter();
    let name: PathBuf = place.chain(prefix.as_ref().split('/')).collect();
    plain(&name).then_some(name).ok_or_else(|| StoreError::Url {
        url: store.url().to_owned(),
        problem: "it leads out of its bucket".to_owned(),
    })
}

fn plain(path: &Path) -> bool {
    path.components()
        .all(|piece| matches!(piece, Component::Normal(_)))
}

/// An object, and its place on disk.
#[derive(Debug)]
struct Wanted {
    object: ObjectMeta,
    file: PathBuf,
}

async fn fetch(store: Store, into: PathBuf, limit: u64) -> Result<Downloaded> {
    let wanted = list(&store, &into).await?;
    let total: u64 = wanted.iter().map(|wanted| wanted.object.size).sum();
    if total > limit {
        let url = store.url().to_owned();
        return Err(StoreError::TooLarge {
            url,
            bytes: total,
            limit,
        });
    }
    let keep: BTreeSet<&Path> = wanted.iter().map(|wanted| wanted.file.as_path()).collect();
    remove_others(&into, &keep)?;
    let mut done = Downloaded {
        path: into,
        fetched: 0,
        fetched_bytes: 0,
        reused: 0,
    };
    let mut tasks: JoinSet<Result<u64>> = JoinSet::new();
    for wanted in wanted {
        if is_current(&wanted) {
            done.reused += 1;
            continue;
        }
        if tasks.len() >= AT_ONCE {
            done.take(tasks.join_next().await)?;
        }
        let store = store.clone();
        tasks.spawn(async move { get(&store, &wanted).await });
    }
    while !tasks.is_empty() {
        done.take(tasks.join_next().await)?;
    }
    Ok(done)
}

impl Downloaded {
    fn take(&mut self, task: Option<Result<Result<u64>, tokio::task::JoinError>>) -> Result<()> {
        let Some(done) = task else { return Ok(()) };
        self.fetched_bytes += done.map_err(|error| StoreError::Thread {
            source: std::io::Error::other(error),
        })??;
        self.fetched += 1;
        Ok(())
    }
}

/// The files of every complete run below the URL, each with its place on disk.
async fn list(store: &Store, into: &Path) -> Result<Vec<Wanted>> {
    let prefix = store.path("");
    let place = |object: ObjectMeta| {
        let below: PathBuf = object
            .location
            .prefix_match(&prefix)?
            .map(|piece| piece.as_ref().to_owned())
            .collect();
        let file = into.join(&below);
        plain(&below).then_some(Wanted { object, file })
    };
    let complete = Complete::list(store).await?;
    Ok(complete.files.into_iter().filter_map(place).collect())
}

fn is_current(wanted: &Wanted) -> bool {
    let Ok(metadata) = fs::metadata(&wanted.file) else {
        return false;
    };
    metadata.len() == wanted.object.size
        && metadata
            .modified()
            .is_ok_and(|time| time == modified(&wanted.object))
}

fn modified(object: &ObjectMeta) -> SystemTime {
    object.last_modified.into()
}

/// Fetches one object under another name, then gives it its own.
async fn get(store: &Store, wanted: &Wanted) -> Result<u64> {
    let url = || store.url_of_path(&wanted.object.location);
    let failed = |error| StoreError::store("read", url(), error);
    let directory = wanted.file.parent().unwrap_or(Path::new("."));
    let draft = directory.join(format!(
        "_{}.{}.tmp",
        wanted.file.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    fs::create_dir_all(directory).map_err(|e| StoreError::io("make the directory", directory, e))?;
    let io = |e| StoreError::io("write", &draft, e);
    let mut file = File::create(&draft).map_err(io)?;
    let mut stream = store
        .client()
        .get(&wanted.object.location)
        .await
        .map_err(failed)?
        .into_stream();
    let mut bytes = 0;
    while let Some(chunk) = stream.try_next().await.map_err(failed)? {
        file.write_all(&chunk).map_err(io)?;
        bytes += chunk.len() as u64;
    }
    if bytes != wanted.object.size {
        return Err(StoreError::Differs {
            url: url(),
            expected: format!("{} bytes", wanted.object.size),
            found: format!("{bytes} bytes"),
        });
    }
    file.set_modified(modified(&wanted.object)).map_err(io)?;
    fs::rename(&draft, &wanted.file).map_err(io)?;
    Ok(bytes)
}

/// Removes files whose object is gone.
fn remove_others(dir: &Path, keep: &BTreeSet<&Path>) -> Result<()> {
    let Ok(listing) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in listing {
        let path = entry.map_err(|e| StoreError::io("list", dir, e))?.path();
        if path.is_dir() {
            remove_others(&path, keep)?;
            // One that is not empty stays.
            let _ = fs::remove_dir(&path);
        } else if !keep.contains(path.as_path()) {
            fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
    }
    Ok(())
}
