//! The runs of a session, and their tables by name.

use super::found::Found;
use super::provider::RunTable;
use super::runs::{self, RUNS};
use crate::error::{Result, SqlError};
use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as EngineResult, plan_err};
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use kvlens_analysis::{Run, Runs};
use kvlens_core::Table;
use kvlens_schema::layout::store_scheme;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs, as tables of a DataFusion session.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = datafusion::prelude::SessionContext::new();
/// kvlens_sql::register(&session);
/// kvlens_sql::RunCatalog::open(&["runs"])?.register(&session)?;
/// session.sql("select run_id, count(*) from steps group by run_id").await?.show().await?;
/// # Ok(()) }
/// ```
///
/// A run that is not finished is looked at anew by every query.
#[derive(Debug, Clone, Default)]
pub struct RunCatalog {
    runs: Vec<Found>,
    refused: Arc<Vec<(PathBuf, SqlError)>>,
    #[cfg(feature = "store")]
    stores: super::remote::Stores,
}

impl RunCatalog {
    /// Opens runs: directories of runs, directories with runs below them, patterns, `DIRECTORY/job=ID` for the runs of a
    /// job; with the feature `store` URLs of stores too, which are reached by what the environment says.
    ///
    /// # Errors
    /// [`SqlError::Run`] where a path leads to no run, [`SqlError::Refused`] when none of the runs can be opened,
    /// [`SqlError::NoStore`] for a URL without the feature.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        Self::default().with(paths)
    }

    /// Opens runs as [`open`](Self::open) does, and says how stores are reached.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "store")]
    pub fn open_with(paths: &[impl AsRef<Path>], options: kvlens_store::StoreOptions) -> Result<Self> {
        let stores = super::remote::Stores::new(options);
        let empty = Self {
            stores,
            ..Self::default()
        };
        empty.with(paths)
    }

    fn with(mut self, paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut refused = Vec::new();
        let mut seen = HashSet::new();
        for path in paths {
            let path = path.as_ref();
            let opened = match store_scheme(path) {
                Some(_) => self.below(path, &mut refused)?,
                None => {
                    let mut here = Runs::open(path)?;
                    refused.extend(
                        here.take_refused()
                            .into_iter()
                            .map(|(path, error)| (path, error.into())),
                    );
                    here.into_iter().map(Found::on_disk).collect()
                }
            };
            let new = opened
                .into_iter()
                .filter(|found| seen.insert(found.run.dir().to_path_buf()));
            self.runs.extend(new);
        }
        if self.runs.is_empty() && !refused.is_empty() {
            let count = refused.len();
            let (path, source) = refused.swap_remove(0);
            let source = Box::new(source);
            return Err(SqlError::Refused { count, path, source });
        }
        self.refused = Arc::new(refused);
        Ok(self)
    }

    #[cfg(feature = "store")]
    fn below(&mut self, url: &Path, refused: &mut Vec<(PathBuf, SqlError)>) -> Result<Vec<Found>> {
        self.stores.runs(&url.to_string_lossy(), refused)
    }

    #[cfg(not(feature = "store"))]
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "as with the feature"
    )]
    fn below(&mut self, url: &Path, _refused: &mut Vec<(PathBuf, SqlError)>) -> Result<Vec<Found>> {
        Err(SqlError::NoStore {
            path: url.to_path_buf(),
        })
    }

    /// The runs. Of those in a store the directory is their URL, and they have no part that could be scanned.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = &Run> {
        self.runs.iter().map(|found| &found.run)
    }

    /// Runs that were found and can't be opened, and why: their rows are in no table.
    pub fn refused(&self) -> &[(PathBuf, SqlError)] {
        &self.refused
    }

    /// Makes the tables known to a session, in its default schema, beside those that are there already.
    ///
    /// # Errors
    /// [`SqlError::Engine`] when the session has no such catalog; what a store says that the runs are in.
    pub fn register(self, session: &SessionContext) -> Result<()> {
        let options = session.state().config_options().catalog.clone();
        let catalog = session.catalog(&options.default_catalog).ok_or_else(|| {
            let name = &options.default_catalog;
            DataFusionError::Plan(format!(
                "the session has no catalog `{name}` to put the tables in"
            ))
        })?;
        #[cfg(feature = "store")]
        self.stores.register(&session.runtime_env())?;
        let beside = catalog.schema(&options.default_schema);
        let tables = Tables {
            catalog: self,
            runtime: session.runtime_env(),
            beside: beside.unwrap_or_else(|| Arc::new(MemorySchemaProvider::new())),
        };
        catalog.register_schema(&options.default_schema, Arc::new(tables))?;
        Ok(())
    }

    /// The runs as they are now.
    fn refreshed(&self) -> Vec<Found> {
        self.runs.iter().map(Found::refreshed).collect()
    }
}

/// What a session asks for tables.
#[derive(Debug)]
struct Tables {
    catalog: RunCatalog,
    runtime: Arc<RuntimeEnv>,
    /// Tables and views of other origin.
    beside: Arc<dyn SchemaProvider>,
}

impl Tables {
    fn own() -> impl Iterator<Item = &'static str> {
        Table::ALL.into_iter().map(Table::name).chain([RUNS])
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.beside.table_names();
        names.retain(|name| Self::own().all(|own| own != name));
        names.extend(Self::own().map(str::to_owned));
        names
    }

    fn table_exist(&self, name: &str) -> bool {
        Self::own().any(|own| own == name) || self.beside.table_exist(name)
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        if Self::own().any(|own| own == name) {
            return plan_err!("`{name}` is a table of the runs; take another name");
        }
        self.beside.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        self.beside.deregister_table(name)
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        if name == RUNS {
            return Ok(Some(runs::table(&self.catalog.refreshed())?));
        }
        let Some(table) = Table::ALL.into_iter().find(|table| table.name() == name) else {
            return self.beside.table(name).await;
        };
        let found = RunTable::new(table, &self.catalog.refreshed(), &self.runtime).await?;
        Ok(Some(Arc::new(found)))
    }
}
