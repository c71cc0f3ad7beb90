//! What a column is: looked up in the run, in the catalog, and among the columns of the row tables.

use crate::run::Run;
use kvlens_core::metric::{Kind, MetricDesc, Unit};
use kvlens_core::record::{BlockRow, RequestRow, Row, StepRow};
use kvlens_schema::manifest::ManifestMetric;

/// Every unit that a manifest can name.
const UNITS: [Unit; 13] = [
    Unit::Nanoseconds,
    Unit::Bytes,
    Unit::Tokens,
    Unit::Blocks,
    Unit::Requests,
    Unit::Steps,
    Unit::Ratio,
    Unit::Millijoules,
    Unit::Milliwatts,
    Unit::Megahertz,
    Unit::Celsius,
    Unit::Count,
    Unit::None,
];

/// The unit that a symbol stands for; [`Unit::None`] for one that is not known.
pub(crate) fn unit(symbol: &str) -> Unit {
    UNITS
        .into_iter()
        .find(|unit| unit.symbol() == symbol)
        .unwrap_or(Unit::None)
}

/// A metric as the run's manifest describes it; `None` for a kind that this version does not know.
pub(crate) fn describe(metric: &ManifestMetric) -> Option<MetricDesc> {
    let kind = match metric.kind.as_str() {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        _ => return None,
    };
    Some(MetricDesc::owned(
        &metric.name,
        kind,
        unit(&metric.unit),
        &metric.help,
    ))
}

/// What a column is called and counted in, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Label {
    /// The column's name.
    pub name: String,
    /// The unit's symbol, as in the Unified Code for Units of Measure; empty for a plain number.
    pub unit: String,
    /// One sentence.
    pub help: String,
}

impl Label {
    /// Describes something that is not a column.
    pub fn new(name: impl Into<String>, unit: Unit, help: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            unit: unit.symbol().to_owned(),
            help: help.into(),
        }
    }

    /// Looks a column up: in the run's own metrics, then in the catalog, then among the row tables' columns.
    pub fn of(run: &Run, name: &str) -> Self {
        if let Some(metric) = run.manifest().metrics.iter().find(|metric| metric.name == name) {
            return Self {
                name: name.to_owned(),
                unit: metric.unit.clone(),
                help: metric.help.clone(),
            };
        }
        Self::standard(name)
    }

    /// Looks a standard column up; an unknown one gets its name alone.
    pub fn standard(name: &str) -> Self {
        if let Some(metric) = kvlens_core::catalog::find(name) {
            return Self::new(name, metric.unit, &*metric.help);
        }
        let columns = [StepRow::COLUMNS, RequestRow::COLUMNS, BlockRow::COLUMNS];
        let found = columns.into_iter().flatten().find(|column| column.name == name);
        match found {
            Some(column) => Self::new(name, column.unit, column.help),
            None => Self::new(name, Unit::None, ""),
        }
    }

    /// The unit, as the core knows it.
    pub fn core_unit(&self) -> Unit {
        unit(&self.unit)
    }
}
