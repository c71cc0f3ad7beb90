//! A latency over time as counts in a grid, ready to draw.

use crate::error::{AnalysisError, Result};
use crate::metrics::Label;
use crate::overview::requests::LATENCIES;
use crate::run::Run;
use crate::scan::{Cols, ScanOptions};
use arrow_array::RecordBatch;
use kvlens_core::Table;
use kvlens_core::histogram::Config;
use std::collections::BTreeMap;

/// Columns of the grid at most, unless said otherwise.
pub const DEFAULT_COLUMNS: usize = 200;
/// The narrowest column: 2^20 ns, about a millisecond.
const NARROWEST: u32 = 20;

/// Eight rows for each doubling of the value.
fn rows() -> Config {
    Config::new(3, 48).unwrap_or(Config::DEFAULT)
}

/// Counts of values by time and size.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct HeatMap {
    /// What is counted.
    pub label: Label,
    /// When the first column begins, in UTC nanoseconds since 1970.
    pub start_ns: i64,
    /// The width of a column.
    pub column_ns: i64,
    /// The smallest and the largest value of each row, from small to large; rows are an eighth of a doubling high.
    pub rows: Vec<(u64, u64)>,
    /// Counts: one list per column, one number per row.
    pub counts: Vec<Vec<u64>>,
}

impl HeatMap {
    /// The row that holds a quantile of each column, as its smallest and largest value; `None` where a column is empty.
    pub fn quantile(&self, q: f64) -> Vec<Option<(u64, u64)>> {
        let one = |counts: &Vec<u64>| {
            let total: u64 = counts.iter().sum();
            let mut left = crate::stats::quantiles::rank(q, total);
            let row = counts.iter().position(|count| {
                let here = left < *count;
                left = left.saturating_sub(*count);
                here
            })?;
            self.rows.get(row).copied()
        };
        self.counts.iter().map(one).collect()
    }
}

/// Counts a latency over time: a request's at its arrival, a step's at its start.
///
/// # Errors
/// [`AnalysisError::UnknownMetric`] for a name that is neither a request's latency nor `step_time_ns`,
/// [`AnalysisError::NoTable`] if its table was not recorded, or what reading it gives.
pub fn heat_map(run: &Run, name: &str, columns: usize, options: ScanOptions) -> Result<HeatMap> {
    let table = table_of(name)?;
    let mut found = heat_maps(run, table, &[name], columns, options)?;
    Ok(found.remove(0))
}

/// Counts several latencies of one table in one pass, in the order of their names.
pub(crate) fn heat_maps(
    run: &Run,
    table: Table,
    names: &[&str],
    columns: usize,
    options: ScanOptions,
) -> Result<Vec<HeatMap>> {
    let time = if table == Table::Steps {
        "timestamp"
    } else {
        "arrival"
    };
    let grid = || Grid {
        shift: NARROWEST,
        columns: BTreeMap::new(),
        at_most: columns.clamp(1, 1 << 14),
    };
    let new = || -> Vec<Grid> { names.iter().map(|_| grid()).collect() };
    let step = |grids: &mut Vec<Grid>, batch: &RecordBatch| {
        let mut pairs = grids.iter_mut().zip(names);
        pairs.try_for_each(|(grid, name)| grid.add(Cols::new(batch), time, name))
    };
    let merge = |mine: &mut Vec<Grid>, theirs: Vec<Grid>| {
        mine.iter_mut()
            .zip(theirs)
            .for_each(|(mine, theirs)| mine.merge(theirs));
    };
    let wanted = [&[time], names].concat();
    let scan = run.scan(table)?.columns(&wanted).options(options);
    let grids = scan.fold(new, step, merge)?.value;
    let named = grids.into_iter().zip(names);
    Ok(named
        .map(|(grid, name)| grid.finish(Label::of(run, name)))
        .collect())
}

/// The table that holds a latency.
fn table_of(name: &str) -> Result<Table> {
    match name {
        "step_time_ns" => Ok(Table::Steps),
        _ if LATENCIES.contains(&name) => Ok(Table::Requests),
        _ => {
            let known = LATENCIES.iter().chain(&["step_time_ns"]);
            Err(AnalysisError::UnknownMetric {
                name: name.to_owned(),
                known: known.map(|name| (*name).to_owned()).collect(),
            })
        }
    }
}

/// Columns that widen as the run gets longer.
#[derive(Debug)]
struct Grid {
    shift: u32,
    columns: BTreeMap<i64, Vec<u64>>,
    at_most: usize,
}

impl Grid {
    fn add(&mut self, cols: Cols<'_>, time: &str, value: &str) -> Result<()> {
        let (times, values) = (cols.numbers(time)?, cols.numbers(value)?);
        let config = rows();
        for row in 0..cols.rows() {
            let at = times.get(row).and_then(|at| i64::try_from(at).ok());
            if let (Some(at), Some(value)) = (at, values.get(row)) {
                let column = self
                    .columns
                    .entry(at >> self.shift)
                    .or_insert_with(|| vec![0; config.buckets()]);
                column[config.index(value)] += 1;
                if self.columns.len() > 2 * self.at_most {
                    self.widen_to_fit();
                }
            }
        }
        self.widen_to_fit();
        Ok(())
    }

    fn span(&self) -> u64 {
        let ends = self.columns.keys().next().zip(self.columns.keys().next_back());
        ends.map_or(0, |(first, last)| last.abs_diff(*first).saturating_add(1))
    }

    fn widen_to_fit(&mut self) {
        while self.span() > self.at_most as u64 {
            self.widen();
        }
    }

    fn widen(&mut self) {
        for (number, counts) in std::mem::take(&mut self.columns) {
            self.take(number >> 1, counts);
        }
        self.shift += 1;
    }

    fn take(&mut self, number: i64, counts: Vec<u64>) {
        match self.columns.get_mut(&number) {
            Some(known) => known
                .iter_mut()
                .zip(counts)
                .for_each(|(known, count)| *known += count),
            None => drop(self.columns.insert(number, counts)),
        }
    }

    fn merge(&mut self, mut other: Self) {
        while other.shift < self.shift {
            other.widen();
        }
        while self.shift < other.shift {
            self.widen();
        }
        for (number, counts) in other.columns {
            self.take(number, counts);
        }
        self.widen_to_fit();
    }

    /// Cuts the grid to the rows that hold something, and fills the gaps in time.
    fn finish(self, label: Label) -> HeatMap {
        let config = rows();
        let filled = |row: &usize| {
            self.columns
                .values()
                .any(|counts| counts.get(*row).is_some_and(|count| *count > 0))
        };
        let low = (0..config.buckets()).find(filled).unwrap_or(0);
        let high = (0..config.buckets()).rev().find(filled).map_or(0, |row| row + 1);
        let first = self.columns.keys().next().copied().unwrap_or(0);
        let last = self.columns.keys().next_back().copied().unwrap_or(first - 1);
        let column = |number: i64| {
            let counts = self.columns.get(&number).and_then(|counts| counts.get(low..high));
            counts.map_or_else(|| vec![0; high - low], <[u64]>::to_vec)
        };
        HeatMap {
            label,
            start_ns: first << self.shift,
            column_ns: 1 << self.shift,
            rows: (low..high).map(|row| config.range(row)).collect(),
            counts: (first..=last).map(column).collect(),
        }
    }
}
