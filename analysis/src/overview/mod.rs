//! A run in one pass: everything that summaries, trends, warnings and plots over time are made of.

pub(crate) mod bins;
mod distribution;
pub(crate) mod merged;
pub(crate) mod requests;
pub(crate) mod samples;
pub(crate) mod steps;
mod timeline;

use crate::error::{AnalysisError, Damage, Result};
use crate::kv::Lives;
use crate::run::Run;
use crate::scan::{ScanOptions, Scanned};
use arrow_array::RecordBatch;
use kvlens_core::Table;
use requests::Requests;
pub(crate) use samples::MetricColumns;
use samples::Samples;
use std::collections::BTreeMap;
use std::sync::Arc;
use steps::Steps;

pub use bins::MAX_BINS;
pub(crate) use merged::Merged;

pub use distribution::{Basis, CdfPoint, DensityBin, Distribution, QUANTILES};
pub use steps::{IdleGap, LongStep};
pub use timeline::{CounterSeries, GaugeSeries, Timeline};

/// What one pass over a run's tables gives, in memory that does not grow with the run beyond the values kept for exact
/// quantiles.
#[derive(Debug)]
pub struct Overview<'a> {
    pub(crate) run: &'a Run,
    pub(crate) steps: Option<Steps>,
    pub(crate) requests: Option<Requests>,
    pub(crate) samples: Option<Samples>,
    pub(crate) lives: Option<Lives>,
    pub(crate) rows: BTreeMap<&'static str, u64>,
    pub(crate) damage: Vec<Damage>,
}

impl<'a> Overview<'a> {
    /// Reads a run.
    ///
    /// # Errors
    /// [`AnalysisError::EmptyRun`] if no table has a row, [`AnalysisError::Damaged`] for a part that can't be read
    /// unless such parts are skipped.
    pub fn read(run: &'a Run, options: ScanOptions) -> Result<Self> {
        let mut out = Self {
            run,
            steps: None,
            requests: None,
            samples: None,
            lives: None,
            rows: BTreeMap::new(),
            damage: Vec::new(),
        };
        out.steps = out.pass(
            Table::Steps,
            &steps::columns(),
            options,
            Steps::default,
            Steps::add,
            Steps::merge,
        )?;
        let columns = requests::columns();
        out.requests = out.pass(
            Table::Requests,
            &columns,
            options,
            Requests::default,
            Requests::add,
            Requests::merge,
        )?;
        let metrics = Arc::new(MetricColumns::of(run));
        let columns = metrics.columns();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        out.samples = out.pass(
            Table::Samples,
            &columns,
            options,
            || Samples::new(&metrics),
            Samples::add,
            Samples::merge,
        )?;
        out.lives = out.pass(
            Table::Blocks,
            &Lives::COLUMNS,
            options,
            Lives::default,
            Lives::add,
            Lives::merge,
        )?;
        out.pass(
            Table::Accesses,
            &["position"],
            options,
            || (),
            |(), _| Ok(()),
            |(), ()| (),
        )?;
        if out.rows.values().all(|rows| *rows == 0) && out.damage.is_empty() {
            return Err(AnalysisError::EmptyRun {
                run_id: run.id().to_owned(),
            });
        }
        Ok(out)
    }

    fn pass<A: Send>(
        &mut self,
        table: Table,
        columns: &[&str],
        options: ScanOptions,
        new: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, &RecordBatch) -> Result<()> + Sync,
        merge: impl Fn(&mut A, A) + Sync,
    ) -> Result<Option<A>> {
        if !self.run.has(table) {
            return Ok(None);
        }
        let scan = self.run.scan(table)?.columns(columns).options(options);
        let Scanned {
            value, rows, damage, ..
        } = scan.fold(new, step, merge)?;
        self.rows.insert(table.name(), rows);
        self.damage.extend(damage);
        Ok((rows > 0).then_some(value))
    }

    /// The run.
    pub fn run(&self) -> &'a Run {
        self.run
    }

    /// Rows read, by table.
    pub fn rows(&self) -> &BTreeMap<&'static str, u64> {
        &self.rows
    }

    /// Parts that were passed over.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Whether parts of a table were passed over.
    pub(crate) fn is_damaged(&self, table: Table) -> bool {
        let parts = self.run.parts(table);
        let of_table = |damage: &Damage| parts.iter().any(|part| part.path == damage.path);
        self.damage.iter().any(of_table)
    }

    /// Block lives; `None` if the run did not record them.
    pub fn lives(&self) -> Option<&Lives> {
        self.lives.as_ref()
    }

    /// A count over the run: from steps where they are recorded, then from requests, then from samples.
    pub fn total(&self, name: &str) -> Option<u64> {
        self.step_total(name)
            .or_else(|| self.requests.as_ref()?.total(name))
            .or_else(|| self.samples.as_ref()?.counter(name))
    }

    /// A count over the steps.
    pub(crate) fn step_total(&self, name: &str) -> Option<u64> {
        let at = steps::COUNTERS.iter().position(|known| *known == name)?;
        let lanes = self.steps.as_ref()?.lanes.values();
        lanes
            .filter_map(|lane| lane.totals.get(at).copied().flatten())
            .reduce(u64::saturating_add)
    }

    /// From the first to the last record, in UTC nanoseconds.
    pub fn span(&self) -> Option<(i64, i64)> {
        let lanes = || self.steps.iter().flat_map(|steps| steps.lanes.values());
        let mut starts: Vec<i64> = lanes().map(|lane| lane.start_ns).collect();
        let mut ends: Vec<i64> = lanes().map(|lane| lane.end_ns).collect();
        if let Some(requests) = &self.requests {
            starts.extend(requests.start_ns.and_then(|at| i64::try_from(at).ok()));
            ends.extend(requests.end_ns.and_then(|at| i64::try_from(at).ok()));
        }
        if let (true, Some(samples)) = (starts.is_empty(), &self.samples) {
            starts.extend(samples.start_ns);
            ends.extend(samples.end_ns);
        }
        let (start, end) = (starts.into_iter().min()?, ends.into_iter().max()?);
        Some((start, end.max(start)))
    }
}
