//! Rows that no whole Parquet file holds: of unfinished runs, of Arrow and of CSV files.

use super::schema::{RUN_ID, run_id_type};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::compute::cast;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};
use kvlens_analysis::{AnalysisError, Format, Run, Scan};
use kvlens_core::Table;
use kvlens_schema::histogram;
use std::sync::Arc;

/// Batches that wait to be taken.
const WAITING: usize = 2;
/// What CSV keeps of a histogram, as column names' endings.
const CSV_PARTS: [&str; 6] = ["_count", "_sum", "_p50", "_p90", "_p99", "_max"];

/// Whether a run has rows of a table that no whole Parquet file holds.
pub(super) fn has_loose(run: &Run, table: Table) -> bool {
    run.parts(table).iter().any(|part| !part.is_whole_parquet())
}

/// The columns that these rows have.
pub(super) fn schema(run: &Run, table: Table) -> Schema {
    let schema = run.table_schema(table);
    let flat = |field: &FieldRef| -> Vec<FieldRef> {
        if run.format() == Some(Format::Csv) && field.data_type() == &histogram::data_type() {
            let part = |end| {
                Arc::new(Field::new(
                    format!("{}{end}", field.name()),
                    DataType::UInt64,
                    true,
                ))
            };
            return CSV_PARTS.into_iter().map(part).collect();
        }
        vec![Arc::clone(field)]
    };
    Schema::new(schema.fields().iter().flat_map(flat).collect::<Vec<_>>())
}

/// Reads the loose rows of some runs, a partition each.
#[derive(Debug, Clone)]
pub(crate) struct LooseExec {
    pub(crate) table: Table,
    pub(crate) runs: Vec<Run>,
    /// The columns to hand over.
    pub(crate) schema: SchemaRef,
    pub(crate) fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl LooseExec {
    pub(crate) fn new(table: Table, runs: Vec<Run>, schema: SchemaRef, fetch: Option<usize>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(runs.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self {
            table,
            runs,
            schema,
            fetch,
            properties,
        }
    }
}

impl DisplayAs for LooseExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LooseExec: table={}, runs={}",
            self.table.name(),
            self.runs.len()
        )?;
        self.fetch.map_or(Ok(()), |fetch| write!(f, ", fetch={fetch}"))
    }
}

impl ExecutionPlan for LooseExec {
    fn name(&self) -> &'static str {
        "LooseExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let fetch = limit.into_iter().chain(self.fetch).min();
        Some(Arc::new(Self {
            fetch,
            ..self.clone()
        }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(run) = self.runs.get(partition).cloned() else {
            return internal_err!("partition {partition} of {} does not exist", self.runs.len());
        };
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), WAITING);
        let out = stream.tx();
        let (table, schema) = (self.table, Arc::clone(&self.schema));
        let mut left = self.fetch.unwrap_or(usize::MAX);
        stream.spawn_blocking(move || {
            let mut send = |batch: &RecordBatch| {
                let fitted =
                    fit(batch, &schema, run.id()).map(|batch| batch.slice(0, left.min(batch.num_rows())));
                left -= fitted.as_ref().map_or(0, RecordBatch::num_rows);
                let taken = out.blocking_send(fitted).is_ok();
                if taken && left > 0 {
                    Ok(())
                } else {
                    Err(AnalysisError::Stopped)
                }
            };
            let read = scan(&run, table, &schema).and_then(|scan| scan.for_each(&mut send));
            match read {
                Ok(_) | Err(AnalysisError::Stopped) => Ok(()),
                Err(error) => Err(DataFusionError::External(Box::new(error))),
            }
        });
        Ok(stream.build())
    }
}

fn scan<'a>(run: &'a Run, table: Table, schema: &Schema) -> kvlens_analysis::Result<Scan<'a>> {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    // Without any column there would be no telling how many rows there are.
    let names = if names.iter().all(|name| *name == RUN_ID) {
        vec!["timestamp"]
    } else {
        names
    };
    Ok(run.scan(table)?.columns(&names).without_whole_parquet())
}

/// Gives a batch the columns that are wanted: those that it lacks are null.
fn fit(batch: &RecordBatch, schema: &SchemaRef, run_id: &str) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let column = |field: &FieldRef| -> Result<ArrayRef> {
        if field.name() == RUN_ID && field.data_type() == &run_id_type() {
            let ids = std::iter::repeat_n(run_id, rows);
            return Ok(Arc::new(StringViewArray::from_iter_values(ids)));
        }
        match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), rows)),
            Some(array) if array.data_type() == field.data_type() => Ok(Arc::clone(array)),
            Some(array) => Ok(cast(array, field.data_type())?),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}
