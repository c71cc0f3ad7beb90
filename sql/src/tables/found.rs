//! A run of a catalog, on disk or in a store.

use super::footers::Sealed;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::{ObjectMeta, path::Path as StorePath};
use kvlens_analysis::{Part, Run};
use kvlens_core::Table;
use std::sync::Arc;

/// A run of a catalog.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// What it says of itself; for a run on disk its files too.
    pub(super) run: Run,
    /// The Parquet files of a run in a store.
    remote: Option<Arc<Vec<(Table, Sealed)>>>,
}

impl Found {
    pub(super) fn on_disk(run: Run) -> Self {
        Self { run, remote: None }
    }

    #[cfg(feature = "store")]
    pub(super) fn in_a_store(run: Run, files: Vec<(Table, Sealed)>) -> Self {
        Self {
            run,
            remote: Some(Arc::new(files)),
        }
    }

    /// The run as it is now.
    pub(super) fn refreshed(&self) -> Self {
        // What is complete in a store stays as it is.
        if self.remote.is_some() || self.run.is_finished() {
            return self.clone();
        }
        // A run that went away since is told of when its files are read.
        Run::open(self.run.dir()).map_or_else(|_| self.clone(), Self::on_disk)
    }

    /// The whole Parquet files of a table.
    pub(super) fn whole_parts(&self, table: Table) -> Result<Vec<Sealed>> {
        if let Some(remote) = &self.remote {
            let of_table = remote.iter().filter(|(of, _)| *of == table);
            return Ok(of_table.map(|(_, sealed)| sealed.clone()).collect());
        }
        let run_id: Arc<str> = self.run.id().into();
        let parts = self
            .run
            .parts(table)
            .iter()
            .filter(|part| part.is_whole_parquet());
        parts.map(|part| sealed(&run_id, part)).collect()
    }
}

fn sealed(run_id: &Arc<str>, part: &Part) -> Result<Sealed> {
    let named = |error: std::io::Error| {
        DataFusionError::IoError(error).context(format!("can't read `{}`", part.path.display()))
    };
    let known = std::fs::metadata(&part.path).map_err(named)?;
    Ok(Sealed {
        run_id: Arc::clone(run_id),
        store: ObjectStoreUrl::local_filesystem(),
        meta: ObjectMeta {
            location: StorePath::from_filesystem_path(&part.path)?,
            last_modified: known.modified().map_err(named)?.into(),
            size: known.len(),
            e_tag: None,
            version: None,
        },
        rows: None,
    })
}
