//! Reading a table: column-pruned, parallel over row groups and parts, in bounded memory.

mod columns;
mod csv;
mod ipc;
mod label;
mod parquet;
mod unit;

use crate::error::{AnalysisError, Damage, Result};
use crate::run::{Part, Run};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kvlens_core::Table;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub use columns::{Cols, Numbers, Strings};
pub(crate) use csv::{Decoder as CsvDecoder, Head as CsvHead};
pub(crate) use ipc::project;
pub(crate) use unit::Unit;

/// How tables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanOptions {
    /// Threads that read; the results don't depend on it.
    pub threads: NonZeroUsize,
    /// Whether a damaged part is passed over and named, rather than an error.
    pub skip_damaged: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            threads,
            skip_damaged: false,
        }
    }
}

impl ScanOptions {
    /// Sets the threads; 0 counts as 1. Default: one per core.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// Sets whether damaged parts are passed over. Default: they are errors.
    #[must_use]
    pub fn with_skip_damaged(mut self, skip: bool) -> Self {
        self.skip_damaged = skip;
        self
    }
}

/// What a scan came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scanned<A> {
    /// The result.
    pub value: A,
    /// Rows read.
    pub rows: u64,
    /// Parts that were passed over.
    pub damage: Vec<Damage>,
}

/// A table of a run that is about to be read.
///
/// ```no_run
/// use kvlens_analysis::{Cols, Run};
/// use kvlens_core::Table;
/// let run = Run::open("runs/run_id=demo")?;
/// let scan = run.scan(Table::Steps)?.columns(&["generation_tokens"]);
/// let tokens = scan.fold(|| 0, |sum, batch| {
///     *sum += Cols::new(batch).numbers("generation_tokens")?.sum();
///     Ok(())
/// }, |sum, other| *sum += other)?;
/// println!("{} tokens in {} steps", tokens.value, tokens.rows);
/// # Ok::<(), kvlens_analysis::AnalysisError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a scan reads nothing until it is folded"]
pub struct Scan<'a> {
    run: &'a Run,
    table: Table,
    columns: Option<Vec<String>>,
    parts: Option<Range<usize>>,
    options: ScanOptions,
    all_parts: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(run: &'a Run, table: Table) -> Self {
        Self {
            run,
            table,
            columns: None,
            parts: None,
            options: ScanOptions::default(),
            all_parts: true,
        }
    }

    /// Reads these of the run's [`parts`](Run::parts) only.
    pub fn only(mut self, parts: Range<usize>) -> Self {
        self.parts = Some(parts);
        self
    }

    /// Leaves out the files that any Parquet reader can read by itself.
    pub fn without_whole_parquet(mut self) -> Self {
        self.all_parts = false;
        self
    }

    /// Reads these columns only. One that the run lacks, because it is older or its source does not know it, is absent
    /// from the batches; [`Cols`] gives it as missing in every row.
    pub fn columns(mut self, names: &[&str]) -> Self {
        self.columns = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Sets how it is read.
    pub fn options(mut self, options: ScanOptions) -> Self {
        self.options = options;
        self
    }

    /// The schemas of the files: one each, whatever columns were picked; CSV files have none.
    ///
    /// # Errors
    /// [`AnalysisError::Damaged`] for a file that can't be read, unless such are skipped.
    pub fn schemas(&self) -> Result<Vec<SchemaRef>> {
        let mut schemas = Vec::new();
        for part in self.chosen() {
            match Unit::schema(part) {
                Ok(schema) => schemas.extend(schema),
                Err(damage) => drop(self.passable(damage)?),
            }
        }
        Ok(schemas)
    }

    /// Folds every batch into a value.
    ///
    /// Each part, or row group of a Parquet part, gets a value from `new` of its own, with its batches in order; the
    /// values are then merged in the order of the rows, so that the result does not depend on threads. A part that
    /// turns out damaged adds nothing.
    ///
    /// # Errors
    /// [`AnalysisError::Damaged`] unless damaged parts are skipped; whatever `step` returns.
    pub fn fold<A: Send>(
        &self,
        new: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, &RecordBatch) -> Result<()> + Sync,
        merge: impl Fn(&mut A, A) + Sync,
    ) -> Result<Scanned<A>> {
        let (units, damage) = self.units()?;
        let next = AtomicUsize::new(0);
        let merged = Mutex::new(Frontier {
            next: 0,
            waiting: BTreeMap::new(),
            value: new(),
            rows: 0,
            damage,
        });
        let work = || -> Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(at) else { return Ok(()) };
                let outcome = self.one(unit, &new, &step)?;
                merged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(at, outcome, &merge);
            }
        };
        let threads = self.options.threads.get().min(units.len().max(1));
        run_on(threads, work)?;
        let done = merged.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Scanned {
            value: done.value,
            rows: done.rows,
            damage: done.damage,
        })
    }

    /// Hands every batch over in the order of the rows, on this thread.
    ///
    /// # Errors
    /// As [`fold`](Self::fold); rows of a damaged part that come before the damage may have been handed over.
    pub fn for_each(&self, mut each: impl FnMut(&RecordBatch) -> Result<()>) -> Result<Scanned<()>> {
        let (units, mut damage) = self.units()?;
        let mut rows = 0;
        for unit in &units {
            let read = unit.read(self, &mut |batch| {
                rows += batch.num_rows() as u64;
                each(batch)
            })?;
            if let Err(found) = read {
                damage.push(self.passable(found)?);
            }
        }
        Ok(Scanned {
            value: (),
            rows,
            damage,
        })
    }

    fn one<A>(
        &self,
        unit: &Unit,
        new: &impl Fn() -> A,
        step: &impl Fn(&mut A, &RecordBatch) -> Result<()>,
    ) -> Result<Outcome<A>> {
        let mut value = new();
        let mut rows = 0;
        let read = unit.read(self, &mut |batch| {
            rows += batch.num_rows() as u64;
            step(&mut value, batch)
        })?;
        match read {
            Ok(()) => Ok(Outcome::Read(value, rows)),
            Err(damage) => Ok(Outcome::Damaged(self.passable(damage)?)),
        }
    }

    /// What is read independently, and parts of which not even that could be found out.
    fn units(&self) -> Result<(Vec<Unit>, Vec<Damage>)> {
        let (mut units, mut damage) = (Vec::new(), Vec::new());
        let chosen = self.chosen().iter();
        for part in chosen.filter(|part| self.all_parts || !part.is_whole_parquet()) {
            match Unit::of(part) {
                Ok(found) => units.extend(found),
                Err(found) => damage.push(self.passable(found)?),
            }
        }
        Ok((units, damage))
    }

    fn chosen(&self) -> &'a [Part] {
        let parts = self.run.parts(self.table);
        match &self.parts {
            Some(chosen) => parts.get(chosen.clone()).unwrap_or(&[]),
            None => parts,
        }
    }

    fn passable(&self, damage: Damage) -> Result<Damage> {
        if damage.is_gone() {
            return Err(AnalysisError::MovedOn { path: damage.path });
        }
        if self.options.skip_damaged {
            Ok(damage)
        } else {
            Err(AnalysisError::Damaged { damage })
        }
    }

    /// The error for a batch without a column that is asked for and that nothing can be told without.
    fn lacks(&self, batch: &RecordBatch) -> Result<()> {
        let essential = match self.table {
            Table::Requests => ["timestamp", "request_id"].as_slice(),
            Table::Accesses => &["timestamp", "prefix_hash"],
            _ => &["timestamp"],
        };
        let asked = |column: &str| self.columns.as_ref().is_some_and(|_| self.wants(column));
        let absent = |column: &&&str| asked(column) && batch.schema_ref().column_with_name(column).is_none();
        match essential.iter().find(absent) {
            None => Ok(()),
            Some(column) => Err(AnalysisError::NoColumn {
                run_id: self.run.id().to_owned(),
                table: self.table,
                column: (*column).to_owned(),
            }),
        }
    }

    pub(crate) fn wants(&self, column: &str) -> bool {
        self.columns
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == column))
    }
}

enum Outcome<A> {
    Read(A, u64),
    Damaged(Damage),
}

/// Merges values in order as they come in, so that few of them wait.
struct Frontier<A> {
    next: usize,
    waiting: BTreeMap<usize, Outcome<A>>,
    value: A,
    rows: u64,
    damage: Vec<Damage>,
}

impl<A> Frontier<A> {
    fn push(&mut self, at: usize, outcome: Outcome<A>, merge: &impl Fn(&mut A, A)) {
        self.waiting.insert(at, outcome);
        while let Some(outcome) = self.waiting.remove(&self.next) {
            self.next += 1;
            match outcome {
                Outcome::Read(value, rows) => {
                    merge(&mut self.value, value);
                    self.rows += rows;
                }
                Outcome::Damaged(damage) => self.damage.push(damage),
            }
        }
    }
}

/// Runs the same work on several threads, this one among them.
pub(crate) fn run_on(threads: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    if threads <= 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(&work)).collect();
        let mut result = work();
        for helper in helpers {
            result = result.and(helper.join().unwrap_or(Err(AnalysisError::Worker)));
        }
        result
    })
}
