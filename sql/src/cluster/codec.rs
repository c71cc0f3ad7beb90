//! Tables of ours, as they travel between the members of a cluster.

use crate::tables::{RunTable, Sealed};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Schema, SchemaRef};
use ballista_core::serde::BallistaLogicalExtensionCodec;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result, TableReference, internal_datafusion_err, plan_err};
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::object_store::{ObjectMeta, path::Path as StorePath};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use kvlens_core::Table;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How what follows was written.
const RUNS: u8 = 1;
const ROWS: u8 = 2;
const OTHER: u8 = 0;

/// A table of runs.
#[derive(Debug, Serialize, Deserialize)]
struct WireTable {
    table: String,
    files: Vec<WireFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireFile {
    run_id: String,
    store: String,
    location: String,
    size: u64,
    /// Seconds since 1970: what tells a file that was replaced.
    modified: i64,
    rows: Option<usize>,
}

impl WireTable {
    fn new(table: &RunTable) -> Result<Self> {
        if let Some(run) = table.loose.first() {
            return plan_err!(
                "a cluster reads whole Parquet files only, and run `{}` has rows in other files: make it whole with \
                 `kvlens recover`, leave it out, or ask without a cluster",
                run.id()
            );
        }
        let file = |file: &Sealed| WireFile {
            run_id: file.run_id.to_string(),
            store: file.store.to_string(),
            location: file.meta.location.to_string(),
            size: file.meta.size,
            modified: file.meta.last_modified.timestamp(),
            rows: file.rows,
        };
        Ok(Self {
            table: table.table.name().to_owned(),
            files: table.sealed.iter().map(file).collect(),
        })
    }

    fn open(self, schema: &Schema) -> Result<RunTable> {
        let file = |file: WireFile| {
            Ok(Sealed {
                run_id: file.run_id.into(),
                store: ObjectStoreUrl::parse(file.store)?,
                meta: ObjectMeta {
                    location: StorePath::parse(file.location)?,
                    last_modified: chrono::DateTime::from_timestamp(file.modified, 0).unwrap_or_default(),
                    size: file.size,
                    e_tag: None,
                    version: None,
                },
                rows: file.rows,
            })
        };
        let sealed = self.files.into_iter().map(file).collect::<Result<_>>()?;
        // The run's identifier is the last column, and in no file.
        let fields = schema
            .fields()
            .split_last()
            .map(|(_, files)| files.to_vec())
            .unwrap_or_default();
        let files_schema = Arc::new(Schema::new(fields));
        Ok(RunTable::from_parts(
            known(&self.table)?,
            files_schema,
            sealed,
            Vec::new(),
        ))
    }
}

fn known(name: &str) -> Result<Table> {
    let mut tables = Table::ALL.into_iter();
    tables
        .find(|table| table.name() == name)
        .ok_or_else(|| internal_datafusion_err!("no table is called `{name}`"))
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Writes a schema and rows as an Arrow IPC stream.
fn write_rows(schema: &SchemaRef, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<()> {
    let mut writer = StreamWriter::try_new(out, schema)?;
    rows.iter().try_for_each(|batch| writer.write(batch))?;
    Ok(writer.finish()?)
}

/// Knows tables of runs, and tables in memory such as `runs`; leaves the rest to Ballista.
#[derive(Debug, Default)]
pub(super) struct RunLogicalCodec {
    other: BallistaLogicalExtensionCodec,
}

impl LogicalExtensionCodec for RunLogicalCodec {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], ctx: &TaskContext) -> Result<Extension> {
        self.other.try_decode(buf, inputs, ctx)
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        self.other.try_encode(node, buf)
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table_ref: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        match buf.split_first() {
            Some((&RUNS, text)) => {
                let wire: WireTable = serde_json::from_slice(text).map_err(unreadable)?;
                Ok(Arc::new(wire.open(&schema)?))
            }
            Some((&ROWS, stream)) => {
                let rows = StreamReader::try_new(stream, None)?.collect::<Result<Vec<_>, _>>()?;
                Ok(Arc::new(MemTable::try_new(schema, vec![rows])?))
            }
            Some((_, rest)) => self.other.try_decode_table_provider(rest, table_ref, schema, ctx),
            None => self.other.try_decode_table_provider(buf, table_ref, schema, ctx),
        }
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        if let Some(table) = node.downcast_ref::<RunTable>() {
            buf.push(RUNS);
            return serde_json::to_writer(buf, &WireTable::new(table)?).map_err(unreadable);
        }
        if let Some(table) = node.downcast_ref::<MemTable>() {
            buf.push(ROWS);
            let mut rows = Vec::new();
            for partition in &table.batches {
                // A table that is written to at this very moment has no settled content.
                let partition = partition.try_read().map_err(unreadable)?;
                rows.extend(partition.iter().cloned());
            }
            return write_rows(&table.schema(), &rows, buf);
        }
        buf.push(OTHER);
        self.other.try_encode_table_provider(table_ref, node, buf)
    }

    fn try_decode_file_format(&self, buf: &[u8], ctx: &TaskContext) -> Result<Arc<dyn FileFormatFactory>> {
        self.other.try_decode_file_format(buf, ctx)
    }

    fn try_encode_file_format(&self, buf: &mut Vec<u8>, node: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.other.try_encode_file_format(buf, node)
    }
}
