//! Follows a run while it is being written.
//!
//! [`Follow::poll`] reads what was added since the last time: row groups of Parquet parts that were finished meanwhile,
//! and the new bytes of the streams beside them (or of Arrow and CSV files). Nothing is written and no lock is taken: the
//! engine can't notice. What was read is kept as [`Live`] figures, in memory that does not grow with the run.
//!
//! | module | what it does |
//! |---|---|
//! | `cursor` | how far the parts of a table were read |
//! | `tail` | the new bytes of a file that grows |
//! | `track` | figures by time, finer for the recent past |
//! | `live` | rows into figures |
//! | `view` | figures of a window, ready to draw |

mod cursor;
mod live;
mod tail;
mod track;
mod view;

use crate::error::{AnalysisError, Damage, Result};
use crate::run::{Format, Part, PartKind, Run, Runs};
use crate::scan::{Cols, Scan};
use arrow_array::RecordBatch;
use cursor::Cursor;
use kvlens_core::Table;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tail::Tail;

pub use live::{Live, Selection};
pub use view::{Gauges, Latency, Quantiles, Rates, Series, View, Window};

/// Rows that one poll reads, about: a long run is caught up with in several, so that a caller can show how far it is.
pub const ROWS_A_POLL: u64 = 1 << 20;
/// Problems kept in words.
const PROBLEMS: usize = 20;
/// The tables that are followed, in the order in which they are read: steps say best what gauges are.
const TABLES: [Table; 3] = [Table::Steps, Table::Requests, Table::Samples];

/// A run that is being followed.
///
/// ```no_run
/// use kvlens_analysis::follow::{Follow, Selection, Window};
/// let mut follow = loop {
///     match Follow::open("runs")? {
///         Some(follow) => break follow,
///         None => std::thread::sleep(std::time::Duration::from_millis(250)),
///     }
/// };
/// while !follow.poll()?.ended {
///     let view = follow.live().view(&Selection::All, Window::Recent(60_000_000_000), 80);
///     println!("{:?} running, {} tokens/s", view.now.running, view.rates.generation_tokens);
///     std::thread::sleep(std::time::Duration::from_millis(250));
/// }
/// # Ok::<(), kvlens_analysis::AnalysisError>(())
/// ```
#[derive(Debug)]
pub struct Follow {
    run: Run,
    tables: BTreeMap<Table, Place>,
    live: Live,
    /// The parts that a recovery made: where they change, places in parts mean nothing any more.
    recovered: Vec<PathBuf>,
    problems: Vec<String>,
    newest: Option<SystemTime>,
}

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Polled {
    /// Rows read.
    pub rows: u64,
    /// Whether there is more to read now.
    pub more: bool,
    /// Whether the run has ended and all of it was read.
    pub ended: bool,
}

/// How far a table was read.
#[derive(Debug)]
enum Place {
    Parts(Cursor),
    File(Tail),
}

impl Follow {
    /// Begins with a run: its directory, its `run.json`, or the run under a directory that began last. `None` if there is
    /// none yet.
    ///
    /// # Errors
    /// What opening the run gives, such as [`AnalysisError::Layout`] for one of a newer version.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<Self>> {
        Ok(newest(path.as_ref())?.map(|run| Self {
            run,
            tables: BTreeMap::new(),
            live: Live::default(),
            recovered: Vec::new(),
            problems: Vec::new(),
            newest: None,
        }))
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// What opening the run gives: it was removed, or its manifest can't be read. Damage to a part is a
    /// [problem](Self::problems), and the rest is read.
    pub fn poll(&mut self) -> Result<Polled> {
        let run = Run::open(self.run.dir())?;
        self.forget_if_recovered(&run);
        let ended = run.manifest().end.is_some() || run.is_finished();
        let mut left = ROWS_A_POLL;
        for table in TABLES {
            if run.has(table) && left > 0 {
                self.table(&run, table, &mut left)?;
            }
        }
        self.newest = newest_write(&run).or(self.newest);
        self.run = run;
        Ok(Polled {
            rows: ROWS_A_POLL - left,
            more: left == 0,
            ended: ended && left > 0,
        })
    }

    /// The run, as it was at the last poll.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The figures so far.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// How long ago the run's files were last written; `None` before anything was.
    pub fn age(&self) -> Option<Duration> {
        // A clock that was set back makes a file new.
        self.newest
            .map(|newest| SystemTime::now().duration_since(newest).unwrap_or_default())
    }

    /// What could not be read, in words; the first twenty.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn table(&mut self, run: &Run, table: Table, left: &mut u64) -> Result<()> {
        let columns = live::columns(run, table);
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let scan = Scan::new(run, table).columns(&columns);
        let place = self.tables.entry(table).or_insert_with(|| match run.format() {
            Some(Format::Parquet) | None => Place::Parts(Cursor::default()),
            Some(_) => Place::File(Tail::default()),
        });
        let live = &mut self.live;
        let mut each = |batch: &RecordBatch| {
            *left = left.saturating_sub(batch.num_rows() as u64);
            live.add(table, Cols::new(batch))
        };
        let damage = match place {
            Place::Parts(cursor) => cursor.read(run.parts(table), &scan, &mut each)?,
            Place::File(tail) => tail.read(run.parts(table), &scan, &mut each)?,
        };
        damage.into_iter().for_each(|damage| self.problem(&damage));
        Ok(())
    }

    fn problem(&mut self, damage: &Damage) {
        let text = std::error::Error::source(damage)
            .map_or_else(|| damage.to_string(), |cause| format!("{damage}: {cause}"));
        if self.problems.len() < PROBLEMS && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    /// Begins anew where the run was recovered meanwhile.
    fn forget_if_recovered(&mut self, run: &Run) {
        let parts = TABLES.iter().flat_map(|table| run.parts(*table));
        let recovered: Vec<PathBuf> = parts
            .filter(|part| part.is_tail())
            .map(|part| part.path.clone())
            .collect();
        if recovered != self.recovered {
            self.recovered = recovered;
            self.tables.clear();
            self.live = Live::default();
        }
    }
}

/// The run that a path names, or the one under it that began last.
fn newest(path: &Path) -> Result<Option<Run>> {
    let found = match Run::open(path) {
        Ok(run) => return Ok(Some(run)),
        Err(AnalysisError::ManyRuns { .. }) => Runs::open(path)?,
        Err(AnalysisError::NoRuns { .. }) => return Ok(None),
        Err(AnalysisError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let began = |run: &Run| (run.manifest().clock.wall_ns, run.id().to_owned());
    Ok(found.into_iter().max_by_key(began))
}

/// When the files of a run were written last. The last files of a table are the ones that are written.
fn newest_write(run: &Run) -> Option<SystemTime> {
    let last = |table| run.parts(table).iter().rev().take(3);
    let files = Table::ALL
        .into_iter()
        .flat_map(last)
        .map(|part: &Part| match &part.kind {
            PartKind::OpenParquet(footer, _) => footer,
            _ => &part.path,
        });
    files
        .filter_map(|path| path.metadata().and_then(|file| file.modified()).ok())
        .max()
}
