//! The Arrow schema of each table.

use crate::histogram;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use kvlens_core::metric::{Kind, MetricDesc, Unit};
use kvlens_core::record::{AccessRow, BlockRow, ColumnDesc, ColumnType, RequestRow, Row, StepRow, Table};
use kvlens_core::run::{RunSchema, SCHEMA_VERSION};
use std::collections::HashMap;
use std::sync::Arc;

/// Key of a field's unit, in the Unified Code for Units of Measure.
pub const UNIT_KEY: &str = "kvlens.unit";
/// Key of a field's description.
pub const HELP_KEY: &str = "kvlens.help";
/// Key of a field's kind: `counter`, `gauge` or `histogram`.
pub const KIND_KEY: &str = "kvlens.kind";
/// Key of a schema's version.
pub const VERSION_KEY: &str = "kvlens.schema_version";
/// Key of a schema's run id.
pub const RUN_ID_KEY: &str = "kvlens.run_id";
/// Key of a schema's table.
pub const TABLE_KEY: &str = "kvlens.table";
/// Key of a schema's clock anchor: `monotonic,wall,uncertainty` in nanoseconds.
pub const CLOCK_KEY: &str = "kvlens.clock";

/// Builds the schema of a table: `timestamp`, `monotonic_ns`, `source`, then the table's own columns.
///
/// ```
/// use kvlens_core::{RunInfo, RunSchema, Table, catalog};
/// let run = RunSchema::new(RunInfo::new("r"), vec![], vec![catalog::KV_CACHE_USAGE.clone()]);
/// let schema = kvlens_schema::table_schema(&run, Table::Samples);
/// let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
/// assert_eq!(names[..3], ["timestamp", "monotonic_ns", "source"]);
/// assert_eq!(names[7], "kv_cache_usage");
/// ```
pub fn table_schema(run: &RunSchema, table: Table) -> SchemaRef {
    let mut fields = leading_fields();
    match table {
        Table::Samples => sample_fields(run, &mut fields),
        Table::Steps => row_fields::<StepRow>(&mut fields),
        Table::Requests => row_fields::<RequestRow>(&mut fields),
        Table::Blocks => row_fields::<BlockRow>(&mut fields),
        Table::Accesses => row_fields::<AccessRow>(&mut fields),
    }
    Arc::new(Schema::new_with_metadata(fields, schema_metadata(run, table)))
}

/// The type of every point in time.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The type of text out of a short list.
pub fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The type of a metric's column in `samples`.
pub fn metric_type(metric: &MetricDesc) -> DataType {
    match metric.kind {
        Kind::Histogram => histogram::data_type(),
        Kind::Counter => DataType::UInt64,
        Kind::Gauge if metric.unit.is_integer() => DataType::UInt64,
        Kind::Gauge => DataType::Float64,
    }
}

fn leading_fields() -> Vec<Field> {
    let ns = Unit::Nanoseconds;
    vec![
        field(
            "timestamp",
            timestamp_type(),
            false,
            ns,
            "When, in UTC: `monotonic_ns` through the clock's anchor.",
        ),
        field(
            "monotonic_ns",
            DataType::UInt64,
            false,
            ns,
            "When, on the source's monotonic clock.",
        ),
        field(
            "source",
            dictionary_type(),
            false,
            Unit::None,
            "The source's name.",
        ),
    ]
}

fn row_fields<R: Row>(fields: &mut Vec<Field>) {
    // The row's first column is the time, which the leading fields hold twice.
    fields.extend(R::COLUMNS.iter().skip(1).map(column_field));
}

fn column_field(column: &ColumnDesc) -> Field {
    let data_type = match column.ty {
        ColumnType::Time => timestamp_type(),
        ColumnType::U32 => DataType::UInt32,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Code(_) => dictionary_type(),
        ColumnType::Flag => DataType::Boolean,
        _ => DataType::UInt64,
    };
    field(column.name, data_type, column.nullable, column.unit, column.help)
}

fn sample_fields(run: &RunSchema, fields: &mut Vec<Field>) {
    let ns = Unit::Nanoseconds;
    fields.extend([
        field(
            "served_by",
            DataType::Utf8,
            true,
            Unit::None,
            "The member of a fallback that served the sample.",
        ),
        field(
            "interval_ns",
            DataType::UInt64,
            false,
            ns,
            "The time that the sample covers.",
        ),
        field(
            "overshoot_ns",
            DataType::UInt64,
            false,
            ns,
            "How much later than planned it was taken.",
        ),
        field(
            "merged",
            DataType::UInt32,
            false,
            Unit::Count,
            "Samples merged into this one; 1 for a plain one.",
        ),
    ]);
    fields.extend(run.metrics.iter().map(metric_field));
}

fn metric_field(metric: &MetricDesc) -> Field {
    let mut field = field(&metric.name, metric_type(metric), true, metric.unit, &metric.help);
    field
        .metadata_mut()
        .insert(KIND_KEY.into(), metric.kind.to_string());
    field
}

fn field(name: &str, data_type: DataType, nullable: bool, unit: Unit, help: &str) -> Field {
    let mut metadata = HashMap::from([(HELP_KEY.to_owned(), help.to_owned())]);
    if !unit.symbol().is_empty() {
        metadata.insert(UNIT_KEY.to_owned(), unit.symbol().to_owned());
    }
    Field::new(name, data_type, nullable).with_metadata(metadata)
}

fn schema_metadata(run: &RunSchema, table: Table) -> HashMap<String, String> {
    let clock = run.run.clock;
    let anchor = format!(
        "{},{},{}",
        clock.monotonic_ns, clock.wall_ns, clock.uncertainty_ns
    );
    HashMap::from([
        (VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string()),
        (RUN_ID_KEY.to_owned(), run.run.run_id.clone()),
        (TABLE_KEY.to_owned(), table.name().to_owned()),
        (CLOCK_KEY.to_owned(), anchor),
    ])
}
