//! A table over the files of many runs.

use super::footers::{self, Sealed, run_id_value};
use super::found::Found;
use super::loose::{self, LooseExec};
use super::schema::{RUN_ID, Union, run_id_type};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, Statistics, project_schema};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::scalar::ScalarValue;
use kvlens_analysis::Run;
use kvlens_core::Table;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A table over the files of many runs.
#[derive(Debug, Clone)]
pub(crate) struct RunTable {
    pub(crate) table: Table,
    /// The columns of the files.
    pub(crate) files_schema: SchemaRef,
    /// The same and [`RUN_ID`].
    schema: SchemaRef,
    pub(crate) sealed: Vec<Sealed>,
    /// Runs with rows that no whole Parquet file holds.
    pub(crate) loose: Vec<Run>,
}

impl RunTable {
    /// Looks at the files of runs, newest first, so that its columns come first.
    pub(crate) async fn new(table: Table, runs: &[Found], runtime: &RuntimeEnv) -> Result<Self> {
        let mut sealed = Vec::new();
        for found in runs.iter().rev() {
            sealed.extend(found.whole_parts(table)?);
        }
        let mut union = Union::default();
        footers::read(&mut sealed, &mut union, runtime).await?;
        let runs = || runs.iter().map(|found| &found.run);
        let loose: Vec<Run> = runs()
            .filter(|run| loose::has_loose(run, table))
            .cloned()
            .collect();
        for run in loose.iter().rev() {
            union.add(run.id(), &loose::schema(run, table))?;
        }
        if sealed.is_empty() && loose.is_empty() {
            // Nothing recorded it: a table without rows, with the columns it would have.
            runs().try_for_each(|run| union.add(run.id(), &run.table_schema(table)))?;
        }
        Ok(Self::from_parts(table, union.finish(), sealed, loose))
    }

    pub(crate) fn from_parts(
        table: Table,
        files_schema: SchemaRef,
        sealed: Vec<Sealed>,
        loose: Vec<Run>,
    ) -> Self {
        let mut fields = files_schema.fields().to_vec();
        fields.push(Arc::new(run_id_field()));
        Self {
            table,
            schema: Arc::new(Schema::new(fields)),
            files_schema,
            sealed,
            loose,
        }
    }

    /// Reads the files of one store.
    async fn scan_files(
        &self,
        state: &dyn Session,
        (store, files): (ObjectStoreUrl, Vec<&Sealed>),
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = rows(&files).map_or(Precision::Absent, Precision::Exact);
        let files: FileGroup = files
            .into_iter()
            .map(|file| file.partitioned(&self.files_schema))
            .collect();
        let schema = TableSchema::builder(Arc::clone(&self.files_schema));
        let schema = schema
            .with_table_partition_cols(vec![Arc::new(run_id_field())])
            .build();
        let config = FileScanConfigBuilder::new(store, Arc::new(ParquetSource::new(schema)))
            .with_file_groups(files.split_files(state.config().target_partitions()))
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let format = ParquetFormat::new().with_options(state.default_table_options().parquet);
        format.create_physical_plan(state, config).await
    }

    /// The runs that filters on [`RUN_ID`] leave.
    fn wanted_runs(&self, state: &dyn Session, filters: &[Expr]) -> Result<HashSet<String>> {
        let ids = self
            .sealed
            .iter()
            .map(|file| file.run_id.as_ref())
            .chain(self.loose.iter().map(Run::id));
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        let filters = filters.iter().filter(|filter| is_of_run_id(filter));
        let Some(filter) = datafusion::logical_expr::utils::conjunction(filters.cloned()) else {
            return Ok(ids.into_iter().map(str::to_owned).collect());
        };
        let schema = Arc::new(Schema::new(vec![run_id_field()]));
        let values = ScalarValue::iter_to_array(ids.iter().map(|id| run_id_value(id)));
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values?])?;
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
        let kept = filter.evaluate(&batch)?.into_array(ids.len())?;
        let kept = kept
            .as_boolean_opt()
            .cloned()
            .unwrap_or_else(|| vec![true; ids.len()].into());
        let kept = ids
            .iter()
            .zip(kept.iter())
            .filter(|(_, kept)| *kept == Some(true));
        Ok(kept.map(|(id, _)| (*id).to_owned()).collect())
    }
}

#[async_trait]
impl TableProvider for RunTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = self.wanted_runs(state, filters)?;
        let mut by_store = BTreeMap::<String, (ObjectStoreUrl, Vec<&Sealed>)>::new();
        for file in self
            .sealed
            .iter()
            .filter(|file| wanted.contains(file.run_id.as_ref()))
        {
            let entry = by_store.entry(file.store.to_string());
            entry
                .or_insert_with(|| (file.store.clone(), Vec::new()))
                .1
                .push(file);
        }
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        for files in by_store.into_values() {
            plans.push(self.scan_files(state, files, projection, limit).await?);
        }
        let loose: Vec<Run> = self
            .loose
            .iter()
            .filter(|run| wanted.contains(run.id()))
            .cloned()
            .collect();
        let projected = project_schema(&self.schema, projection)?;
        if !loose.is_empty() {
            plans.push(Arc::new(LooseExec::new(
                self.table,
                loose,
                Arc::clone(&projected),
                limit,
            )));
        }
        if plans.is_empty() {
            return Ok(Arc::new(EmptyExec::new(projected)));
        }
        UnionExec::try_new(plans)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let kind = |filter: &&Expr| {
            if is_of_run_id(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                // Whole files and row groups are left out; the rows are looked at again.
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(kind).collect())
    }
}

/// Whether a filter is about nothing but the run.
fn is_of_run_id(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty() && columns.iter().all(|column| column.name == RUN_ID) && !filter.is_volatile()
}

/// How many rows files hold together, where all are known.
fn rows(files: &[&Sealed]) -> Option<usize> {
    files.iter().map(|file| file.rows).sum()
}

fn run_id_field() -> Field {
    Field::new(RUN_ID, run_id_type(), false)
}
