//! The error type of this crate.

use kvlens_core::Table;
use kvlens_schema::SchemaError;
use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = AnalysisError> = std::result::Result<T, E>;

/// What can go wrong when a run is read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// The manifest or the layout of a run is not as it should be: no run, a newer version, unreadable.
    #[error(transparent)]
    Layout(#[from] SchemaError),
    /// The operating system refused something.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A path or a pattern leads to no run.
    #[error("no run under `{}`: there is no `run.json`; name the directory of a run (`run_id=…`), or one that holds runs", path.display())]
    NoRuns {
        /// The path or the pattern.
        path: PathBuf,
    },
    /// One run was asked for and there are several.
    #[error("`{}` holds {count} runs; name one of them, such as `{}`{}", path.display(), first.display(), or_a_job(path))]
    ManyRuns {
        /// The path.
        path: PathBuf,
        /// How many runs there are.
        count: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// No run under a directory is of the given job.
    #[error("no run under `{}` is of job `{job}`; there are: {}", path.display(), listed(known))]
    UnknownJob {
        /// The job.
        job: String,
        /// The directory.
        path: PathBuf,
        /// The jobs there are.
        known: Vec<String>,
    },
    /// A pattern can't be understood.
    #[error("pattern `{pattern}` can't be understood")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: glob::PatternError,
    },
    /// No run has the given identifier.
    #[error("no run is called `{run_id}`; there are: {}", listed(known))]
    UnknownRun {
        /// The identifier.
        run_id: String,
        /// The identifiers there are.
        known: Vec<String>,
    },
    /// A run holds no row of any table.
    #[error("run `{run_id}` is empty: no table of it has a row")]
    EmptyRun {
        /// The run.
        run_id: String,
    },
    /// A run did not record a table that is needed.
    #[error("run `{run_id}` has no table `{}`: record it to ask this", table.name())]
    NoTable {
        /// The run.
        run_id: String,
        /// The table.
        table: Table,
    },
    /// A column that a question can't do without is not there.
    #[error("`{}` of run `{run_id}` has no column `{column}`", table.name())]
    NoColumn {
        /// The run.
        run_id: String,
        /// The table.
        table: Table,
        /// The column.
        column: String,
    },
    /// A column has a type that its name does not promise.
    #[error("column `{column}` has type {found}, expected {expected}")]
    ColumnType {
        /// The column.
        column: String,
        /// The type found.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A part of a table can't be read; [`ScanOptions::skip_damaged`](crate::ScanOptions::skip_damaged) uses the rest.
    #[error("{damage}")]
    Damaged {
        /// Which part, and why.
        #[source]
        damage: Damage,
    },
    /// A file of a run that is being written was there when the run was opened and has been replaced since.
    #[error("`{}` was replaced while the run was read: it is still being written; open the run again", path.display())]
    MovedOn {
        /// The file.
        path: PathBuf,
    },
    /// A sample holds too few of a run's block contents to make a curve of.
    #[error("too few sampled: {followed} block contents of run `{run_id}`; follow a larger share")]
    TooFewSampled {
        /// The run.
        run_id: String,
        /// The contents that were followed.
        followed: u64,
    },
    /// A run has no such request.
    #[error("run `{run_id}` has no request `{request_id}` among its finished ones")]
    UnknownRequest {
        /// The run.
        run_id: String,
        /// The request.
        request_id: String,
    },
    /// No metric has such a name.
    #[error("`{name}` is not a metric that can be compared; there are: {}", listed(known))]
    UnknownMetric {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A condition can't be understood.
    #[error(
        "condition `{expression}`: {problem} at character {at}; write it like `ttft_p99>+5%` or `hit_rate<0.3`"
    )]
    Condition {
        /// The condition.
        expression: String,
        /// What is wrong.
        problem: String,
        /// Where, from 1.
        at: usize,
    },
    /// A comparison needs at least two runs.
    #[error("a comparison needs at least two runs, {given} given")]
    TooFewRuns {
        /// How many were given.
        given: usize,
    },
    /// A report lays a few runs over each other, not none and not many.
    #[error("a report takes 1 to {most} runs, {given} given")]
    RunCount {
        /// How many were given.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// The runs hold nothing for a plot.
    #[error("there is no plot `{id}` of these runs: {reason}")]
    NoPlot {
        /// The plot.
        id: String,
        /// Why.
        reason: String,
    },
    /// No plot has such a name.
    #[error("no plot is called `{id}`; there are: {}", known.join(", "))]
    UnknownPlot {
        /// The name.
        id: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A plot can't be drawn.
    #[error("could not draw plot `{id}`: {problem}")]
    Drawing {
        /// The plot.
        id: String,
        /// What there is none for.
        problem: &'static str,
    },
    /// The names of a process's sources could not be told apart from another's.
    #[error("could not put a process's label before the names of its sources")]
    Label {
        /// What Arrow said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// Whoever takes the batches of a scan wants no more of them.
    #[error("the scan was stopped by its reader")]
    Stopped,
    /// A worker thread died.
    #[error("a reading thread panicked; this is a defect")]
    Worker,
}

/// How to ask for the runs of a job; a pattern is no place to look for one.
fn or_a_job(path: &Path) -> String {
    if path.is_dir() {
        format!(", or a job of several: `{}`", path.join("job=ID").display())
    } else {
        String::new()
    }
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

impl AnalysisError {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        Self::Io { action, path, source }
    }
}

/// A part of a table that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("`{}`{} is damaged", path.display(), place(*row_group))]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The row group, where the damage is confined to one.
    pub row_group: Option<usize>,
    /// Rows that are lost with it, where that is known.
    pub rows: Option<u64>,
    /// What the format's reader said.
    #[source]
    pub cause: DamageCause,
}

impl Damage {
    pub(crate) fn of(path: &Path, cause: DamageCause) -> Self {
        Self {
            path: path.to_path_buf(),
            row_group: None,
            rows: None,
            cause,
        }
    }

    /// That it was left out, for people.
    pub(crate) fn note(&self) -> String {
        let rows = self
            .rows
            .map_or_else(String::new, |rows| format!(" ({rows} rows)"));
        format!("left out{rows}: {self}: {}", self.cause)
    }

    /// Whether it is a file of a part under construction that is no longer there: its rows are in another one now.
    pub(crate) fn is_gone(&self) -> bool {
        let name = self.path.file_name().map(|name| name.to_string_lossy());
        let draft = name.is_some_and(|name| name.starts_with('_'));
        draft && matches!(&self.cause, DamageCause::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

fn place(row_group: Option<usize>) -> String {
    row_group.map_or_else(String::new, |group| format!(", row group {group},"))
}

/// Why a part can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DamageCause {
    /// The Parquet reader's word.
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The Arrow reader's word.
    #[error(transparent)]
    Arrow(#[from] arrow_schema::ArrowError),
    /// A CSV record has more or fewer fields than the header.
    #[error("line {line} has {found} fields where the header has {expected}")]
    CsvFields {
        /// The line, from 1.
        line: u64,
        /// How many there are.
        found: usize,
        /// How many the header has.
        expected: usize,
    },
    /// A CSV field does not hold what its column should.
    #[error("line {line}: `{found}` can't be a value of column `{column}`")]
    CsvValue {
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// The field.
        found: String,
    },
    /// The operating system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A histogram that makes no sense.
    #[error(transparent)]
    Histogram(#[from] SchemaError),
    /// A column of another type than its name promises.
    #[error("column `{column}` has type {found}, expected {expected}")]
    ColumnType {
        /// The column.
        column: String,
        /// The type found.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The footer file of an open part is damaged.
    #[error("its footer file is damaged: {problem}")]
    Footer {
        /// What is wrong.
        problem: &'static str,
    },
    /// The format's reader panicked over these bytes.
    #[error("its bytes make no sense to the reader")]
    Nonsense,
}
