//! Runs of a store, looked at where they are.
//!
//! Nothing but their manifests is fetched: a query engine that reads objects itself takes their files from here.

use crate::error::{Result, StoreError};
use crate::open::{Store, StoreOptions, open};
use crate::session::OPEN;
use crate::uploader::{on_a_thread, runtime};
use futures_util::{StreamExt, TryStreamExt};
use kvlens_schema::RunManifest;
use kvlens_schema::layout::MANIFEST;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStoreExt};
use std::collections::BTreeSet;
use std::path::Path;

/// Manifests that are fetched at once.
const AT_ONCE: usize = 32;

/// A complete run in a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoteRun {
    /// The run's place.
    pub store: Store,
    /// What it says of itself.
    pub manifest: RunManifest,
    /// Its files, the manifest too, with their paths in the bucket.
    pub files: Vec<ObjectMeta>,
}

impl RemoteRun {
    /// The path of one of its files below the run, such as `steps/part-00000.parquet`.
    pub fn name<'a>(&self, file: &'a ObjectMeta) -> &'a str {
        let inside = file.location.as_ref().strip_prefix(self.store.path("").as_ref());
        inside.unwrap_or("").trim_start_matches('/')
    }
}

/// What is below a URL.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RemoteRuns {
    /// The complete runs, by URL.
    pub runs: Vec<RemoteRun>,
    /// Runs whose manifest can't be read or understood, by their URL, and why.
    pub refused: Vec<(String, StoreError)>,
}

/// Finds the complete runs below a URL: itself one, or many, whatever lies between.
///
/// # Errors
/// [`StoreError::NoRuns`] when there is none, and what the store says.
///
/// ```no_run
/// use kvlens_store::{StoreOptions, runs};
/// for run in runs("s3://experiments/today", &StoreOptions::from_env())?.runs {
///     println!("{} has {} files", run.manifest.run_id, run.files.len());
/// }
/// # Ok::<(), kvlens_store::StoreError>(())
/// ```
pub fn runs(url: &str, options: &StoreOptions) -> Result<RemoteRuns> {
    let store = open(url, options)?;
    on_a_thread(move || runtime()?.block_on(look(&store)))?
}

async fn look(store: &Store) -> Result<RemoteRuns> {
    let complete = Complete::list(store).await?;
    let mut of_runs: Vec<(Store, Vec<ObjectMeta>)> = complete
        .runs
        .iter()
        .map(|run| (store.at(run), Vec::new()))
        .collect();
    let places: Vec<&String> = complete.runs.iter().collect();
    for file in complete.files {
        let at = run_of(&file.location, &complete.runs).and_then(|run| places.binary_search(&run).ok());
        if let Some((_, files)) = at.and_then(|at| of_runs.get_mut(at)) {
            files.push(file);
        }
    }
    let each = of_runs.into_iter().map(|(store, files)| async move {
        match manifest(&store).await {
            Ok(manifest) => Ok(RemoteRun {
                store,
                manifest,
                files,
            }),
            Err(error) => Err((store.url().to_owned(), error)),
        }
    });
    let looked: Vec<_> = futures_util::stream::iter(each).buffered(AT_ONCE).collect().await;
    let mut found = RemoteRuns::default();
    for run in looked {
        match run {
            Ok(run) => found.runs.push(run),
            Err(refused) => found.refused.push(refused),
        }
    }
    Ok(found)
}

async fn manifest(run: &Store) -> Result<RunManifest> {
    let url = run.url_of(MANIFEST);
    let failed = |error| StoreError::store("read", url.clone(), error);
    let answer = run.client().get(&run.path(MANIFEST)).await.map_err(failed)?;
    let text = answer.bytes().await.map_err(failed)?;
    Ok(RunManifest::parse(Path::new(&url), &text)?)
}

/// The complete runs below a URL.
#[derive(Debug)]
pub(crate) struct Complete {
    /// Their directories, as paths of the client.
    runs: BTreeSet<String>,
    /// Their files that are not under construction, the manifests too.
    pub(crate) files: Vec<ObjectMeta>,
}

impl Complete {
    pub(crate) async fn list(store: &Store) -> Result<Self> {
        let prefix = store.path("");
        let mut files: Vec<ObjectMeta> = store
            .client()
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| StoreError::store("list", store.url().to_owned(), error))?;
        let named = |name: &str| -> BTreeSet<String> {
            let found = files
                .iter()
                .filter(|object| object.location.filename() == Some(name));
            found
                .map(|object| directory(&object.location).to_owned())
                .collect()
        };
        let runs = named(MANIFEST);
        if runs.is_empty() {
            return Err(StoreError::NoRuns {
                url: store.url().to_owned(),
                under_way: named(OPEN).len(),
            });
        }
        files.retain(|file| !hidden(&file.location) && run_of(&file.location, &runs).is_some());
        Ok(Self { runs, files })
    }
}

/// The run that a file is of: it lies in the run's directory, or in that of a table.
fn run_of<'a>(file: &ObjectPath, runs: &'a BTreeSet<String>) -> Option<&'a String> {
    let directory = directory(file);
    let above = directory.rsplit_once('/').map_or("", |(above, _)| above);
    runs.get(directory).or_else(|| runs.get(above))
}

fn hidden(file: &ObjectPath) -> bool {
    file.filename().is_none_or(|name| name.starts_with(['_', '.']))
}

/// The path of an object without its last piece.
fn directory(location: &ObjectPath) -> &str {
    location
        .as_ref()
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvlens_core::{RunInfo, RunSchema};
    use std::fs;

    #[test]
    fn complete_runs_are_found_with_their_files_and_others_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let run = |id: &str| dir.path().join(format!("team=a/run_id={id}"));
        for id in ["one", "open", "newer"] {
            fs::create_dir_all(run(id).join("steps")).unwrap();
            fs::write(run(id).join("steps/part-00000.parquet"), "x").unwrap();
            fs::write(run(id).join("steps/_part-00001.parquet"), "x").unwrap();
        }
        let schema = RunSchema::new(RunInfo::new("one"), vec![], vec![]);
        RunManifest::new(&schema).write(run("one")).unwrap();
        fs::write(run("newer").join(MANIFEST), r#"{"schema_version": 4000000000}"#).unwrap();
        let url = format!("file://{}", dir.path().display());
        let found = runs(&url, &StoreOptions::default()).unwrap();
        assert_eq!(found.runs.len(), 1);
        let one = &found.runs[0];
        assert_eq!(one.manifest.run_id, "one");
        assert_eq!(one.store.url(), format!("{url}/team=a/run_id=one"));
        let mut names: Vec<_> = one.files.iter().map(|file| one.name(file)).collect();
        names.sort_unstable();
        assert_eq!(names, ["run.json", "steps/part-00000.parquet"]);
        let (place, error) = &found.refused[0];
        assert_eq!(*place, format!("{url}/team=a/run_id=newer"));
        assert!(error.chain().contains("4000000000"), "{}", error.chain());
        let alone = runs(&format!("{url}/team=a/run_id=one"), &StoreOptions::default()).unwrap();
        assert_eq!((alone.runs.len(), alone.runs[0].files.len()), (1, 2));
    }
}
