//! Runs in object storage.

use super::footers::Sealed;
use super::found::Found;
use crate::error::{Result, SqlError};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::object_store::ObjectStore;
use kvlens_analysis::Run;
use kvlens_core::Table;
use kvlens_store::{RemoteRun, StoreOptions};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// The stores of a catalog's runs, and how they are reached.
#[derive(Debug, Clone, Default)]
pub(super) struct Stores {
    /// `None` takes what the environment says.
    options: Option<StoreOptions>,
    roots: BTreeSet<Url>,
}

impl Stores {
    pub(super) fn new(options: StoreOptions) -> Self {
        Self {
            options: Some(options),
            roots: BTreeSet::new(),
        }
    }

    fn options(&self) -> StoreOptions {
        self.options.clone().unwrap_or_else(StoreOptions::from_env)
    }

    /// The complete runs below a URL; of one that ends in `job=ID` those of that job.
    pub(super) fn runs(&mut self, url: &str, refused: &mut Vec<(PathBuf, SqlError)>) -> Result<Vec<Found>> {
        let url = url.trim_end_matches('/');
        let job = url
            .rsplit_once('/')
            .and_then(|(above, last)| Some((above, last.strip_prefix("job=")?)));
        let mut below = kvlens_store::runs(job.map_or(url, |(above, _)| above), &self.options())?;
        if let Some((above, wanted)) = job {
            below
                .runs
                .retain(|run| run.manifest.job.as_ref().is_some_and(|job| job.id == wanted));
            below.refused.clear();
            if below.runs.is_empty() {
                let (url, job) = (above.to_owned(), wanted.to_owned());
                return Err(SqlError::NotOfJob { url, job });
            }
        }
        refused.extend(
            below
                .refused
                .into_iter()
                .map(|(url, error)| (url.into(), error.into())),
        );
        let mut found = Vec::new();
        for run in below.runs {
            self.roots.insert(run.store.root_url());
            match look(run)? {
                Ok(run) => found.push(run),
                Err(url) => refused.push((url.clone().into(), SqlError::NotParquet { url })),
            }
        }
        Ok(found)
    }

    /// Lets a session read from the stores, each by a client of its own: connections belong to the runtime that made them.
    pub(super) fn register(&self, runtime: &RuntimeEnv) -> Result<()> {
        for root in &self.roots {
            let store = kvlens_store::open(root.as_str(), &self.options())?;
            runtime.register_object_store(root, Arc::clone(store.client()));
        }
        Ok(())
    }
}

/// The run with its Parquet files; its URL where it has rows in other files only.
fn look(remote: RemoteRun) -> EngineResult<Result<Found, String>> {
    let store = ObjectStoreUrl::parse(remote.store.root_url())?;
    let run_id: Arc<str> = remote.manifest.run_id.as_str().into();
    let mut parts = Vec::new();
    let mut others = false;
    for meta in &remote.files {
        let name = remote.name(meta);
        let table = name
            .split_once('/')
            .and_then(|(table, _)| Table::from_name(table));
        let extension = meta.location.extension();
        match table.filter(|_| extension == Some("parquet")) {
            Some(table) => parts.push((
                table,
                Sealed {
                    run_id: Arc::clone(&run_id),
                    store: store.clone(),
                    meta: meta.clone(),
                    rows: None,
                },
            )),
            None => others |= matches!(extension, Some("arrow" | "csv")),
        }
    }
    if parts.is_empty() && others {
        return Ok(Err(remote.store.url().to_owned()));
    }
    parts.sort_by(|(_, a), (_, b)| a.meta.location.cmp(&b.meta.location));
    let run = Run::from_manifest(remote.store.url(), remote.manifest);
    Ok(Ok(Found::in_a_store(run, parts)))
}

/// Opens stores as queries come upon them, by what the environment says.
#[derive(Debug, Default)]
pub(crate) struct OpensStores {
    known: DefaultObjectStoreRegistry,
}

impl ObjectStoreRegistry for OpensStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        self.known.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.known.get_store(url) {
            return Ok(store);
        }
        let opened = kvlens_store::open(url.as_str(), &StoreOptions::from_env());
        let client = opened
            .map_err(|error| DataFusionError::External(Box::new(error)))?
            .client()
            .clone();
        self.known.register_store(url, Arc::clone(&client));
        Ok(client)
    }
}
