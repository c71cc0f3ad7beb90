//! Footers of Parquet parts: what is known before rows are read.

use super::schema::Union;
use arrow_schema::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::object_store::ObjectMeta;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use std::sync::Arc;

/// Footers that are read at the same time.
const AT_ONCE: usize = 32;

/// A whole Parquet file of a run.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) run_id: Arc<str>,
    pub(crate) store: ObjectStoreUrl,
    pub(crate) meta: ObjectMeta,
    /// Known once the footer was read.
    pub(crate) rows: Option<usize>,
}

/// Reads footers: adds their columns to the schema, and to the files how many rows they hold.
///
/// DataFusion keeps what was read and does not read it again for the query.
pub(super) async fn read(files: &mut [Sealed], union: &mut Union, runtime: &RuntimeEnv) -> Result<()> {
    // Owned futures: those that borrow from `files` are not general enough for an async trait.
    let each: Vec<_> = files.iter().cloned().map(|file| footer(file, runtime)).collect();
    let footers: Vec<Arc<ParquetMetaData>> = futures::stream::iter(each)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (file, footer) in files.iter_mut().zip(footers) {
        let footer = footer.file_metadata();
        union.add(
            &file.run_id,
            &parquet_to_arrow_schema(footer.schema_descr(), footer.key_value_metadata())?,
        )?;
        file.rows = usize::try_from(footer.num_rows()).ok();
    }
    Ok(())
}

async fn footer(file: Sealed, runtime: &RuntimeEnv) -> Result<Arc<ParquetMetaData>> {
    let store = runtime.object_store(&file.store)?;
    let cache = runtime.cache_manager.get_file_metadata_cache();
    let footer = DFParquetMetadata::new(store.as_ref(), &file.meta).with_file_metadata_cache(Some(cache));
    let named = |error: datafusion::common::DataFusionError| {
        error.context(format!("can't read the footer of `{}`", file.meta.location))
    };
    footer.fetch_metadata().await.map_err(named)
}

impl Sealed {
    /// The file as a scan wants it.
    pub(super) fn partitioned(&self, schema: &SchemaRef) -> PartitionedFile {
        let file = PartitionedFile::new_from_meta(self.meta.clone());
        let file = file.with_partition_values(vec![run_id_value(&self.run_id)]);
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = self.rows.map_or(Precision::Absent, Precision::Exact);
        file.with_statistics(Arc::new(statistics))
    }
}

/// A run's identifier as a value of its column.
pub(super) fn run_id_value(run_id: &str) -> ScalarValue {
    ScalarValue::Utf8View(Some(run_id.to_owned()))
}
