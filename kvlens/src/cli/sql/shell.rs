//! The interactive shell.

use super::super::Outcome;
use super::super::error::CliError;
use super::super::number::{duration, grouped};
use super::execute::Session;
use super::output::Written;
use comfy_table::{ContentArrangement, Table, presets};
use kvlens_core::BoxError;
use kvlens_sql::datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Statements that the history keeps.
const HISTORY: usize = 10_000;

const HELP: &str = "\
A statement ends with ; and may go over several lines. Ctrl-C drops it, or stops the query that runs.

\\d          tables
\\d TABLE    columns of a table, with unit and meaning
\\f          functions of the histogram columns
\\e          examples
\\q          leave (or Ctrl-D)
";

const EXAMPLES: &str = "\
-- mean and largest KV usage, p50 and p99 of the time to first token, by source and minute
select source, date_trunc('minute', timestamp) as minute, avg(kv_cache_usage), max(kv_cache_usage),
       hist_quantile(hist_merge(time_to_first_token_ns), 0.5) as p50_ns,
       hist_quantile(hist_merge(time_to_first_token_ns), 0.99) as p99_ns
from samples group by source, minute order by source, minute;

-- prefix-cache hit rate of each run
select run_id, sum(prefix_cache_hits) / sum(prefix_cache_queries)::double as hit_rate from steps group by run_id;

-- the slowest requests, and how their run was set up
select r.request_id, r.e2e_latency_ns, r.queue_time_ns, runs.model from requests r join runs using (run_id)
order by e2e_latency_ns desc nulls last limit 5;
";

const TABLES: &str =
    "select table_name from information_schema.tables where table_schema = 'public' order by 1;";

const FUNCTIONS: &str = "\
select distinct r.syntax_example, r.description
from information_schema.routines r where r.routine_name like 'hist\\_%' order by 1;
";

/// Reads statements from the terminal until it is told to stop.
pub(super) async fn run(session: Session) -> Result<Outcome, CliError> {
    let session = Arc::new(session);
    let broken = |error: ReadlineError| CliError::failed("can't read from the terminal", error);
    let config = Config::builder()
        .max_history_size(HISTORY)
        .map_err(broken)?
        .auto_add_history(false)
        .build();
    let mut editor = Editor::<(), FileHistory>::with_config(config).map_err(broken)?;
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first session.
        let _ = editor.load_history(path);
    }
    println!("Tables: samples, steps, requests, blocks, accesses, runs. \\? for help, \\q to leave.");
    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() {
            "kvlens> "
        } else {
            "   ...> "
        };
        match editor.readline(prompt) {
            Ok(line) => {
                if statement.is_empty() && line.trim_start().starts_with('\\') {
                    let _ = editor.add_history_entry(line.trim());
                    if !command(&session, line.trim()).await {
                        break;
                    }
                    continue;
                }
                statement.push_str(&line);
                statement.push('\n');
                if statement.trim().is_empty() {
                    statement.clear();
                } else if statement.trim_end().ends_with(';') {
                    let _ = editor.add_history_entry(statement.trim());
                    tell(&session, std::mem::take(&mut statement)).await;
                }
            }
            Err(ReadlineError::Interrupted) => statement.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    if let Some(path) = &history {
        save(&mut editor, path);
    }
    Ok(Outcome::Well)
}

/// Obeys a backslash command; false to leave.
async fn command(session: &Arc<Session>, line: &str) -> bool {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or("");
    match (name, words.next().map(|word| word.trim_end_matches(';'))) {
        ("\\q", _) => return false,
        ("\\?" | "\\h" | "\\help", _) => print!("{HELP}"),
        ("\\e", _) => print!("{EXAMPLES}"),
        ("\\f", _) => show(functions(session).await),
        ("\\d", None) => tell(session, TABLES.to_owned()).await,
        ("\\d", Some(table)) => show(columns(session, table).await),
        (other, _) => eprintln!("`{other}` is no command; \\? lists them"),
    }
    true
}

fn show(described: Result<String, BoxError>) {
    match described {
        Ok(text) => print!("{text}"),
        Err(error) => complain(error.as_ref()),
    }
}

/// Describes the columns of a table.
async fn columns(session: &Session, table: &str) -> Result<String, BoxError> {
    let provider = session
        .context
        .table_provider(table)
        .await
        .map_err(super::execute::told)?;
    let mut out = as_wide_as_the_terminal(&["column", "type", "unit", "meaning"]);
    for field in provider.schema().fields() {
        let about = |key: &str| field.metadata().get(key).cloned().unwrap_or_default();
        let ty = if about("kvlens.kind") == "histogram" {
            "histogram".to_owned()
        } else {
            field.data_type().to_string()
        };
        out.add_row([field.name(), &ty, &about("kvlens.unit"), &about("kvlens.help")]);
    }
    Ok(format!("{out}\n"))
}

/// Describes the functions of the histogram columns.
async fn functions(session: &Session) -> Result<String, BoxError> {
    let answer = session
        .context
        .sql(FUNCTIONS)
        .await
        .map_err(super::execute::told)?;
    let mut out = as_wide_as_the_terminal(&["function", "meaning"]);
    for batch in answer.collect().await.map_err(super::execute::told)? {
        let options = FormatOptions::default();
        let texts: Vec<_> = batch
            .columns()
            .iter()
            .map(|array| ArrayFormatter::try_new(array, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            out.add_row(texts.iter().map(|text| text.value(row).to_string()));
        }
    }
    Ok(format!("{out}\n"))
}

/// A table whose texts are broken so that it fits the terminal.
fn as_wide_as_the_terminal(header: &[&str]) -> Table {
    let mut out = Table::new();
    out.load_style(presets::NOTHING);
    out.set_content_arrangement(ContentArrangement::Dynamic);
    out.set_header(header);
    out
}

/// Executes statements and says how it went; Ctrl-C stops them.
async fn tell(session: &Arc<Session>, text: String) {
    let began = Instant::now();
    let task = {
        // A task of its own: a query that is in the middle of a batch would not let this one see Ctrl-C.
        let session = Arc::clone(session);
        tokio::spawn(async move { session.run_all(&text).await })
    };
    let stop = task.abort_handle();
    let result = tokio::select! {
        result = task => result.unwrap_or_else(|error| Err(error.into())),
        _ = tokio::signal::ctrl_c() => {
            stop.abort();
            Err("interrupted".into())
        }
    };
    match result {
        Ok(written) => report(written, began.elapsed()),
        Err(error) => complain(error.as_ref()),
    }
}

fn report(written: Option<Written>, took: Duration) {
    let Some(Written { rows, cut }) = written else {
        return;
    };
    let took = duration(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    let rows_text = if rows == 1 { "row" } else { "rows" };
    if cut {
        println!(
            "the first {} {rows_text}, {took}; there are more: --rows shows them, -o FILE keeps all",
            grouped(rows)
        );
    } else {
        println!("{} {rows_text}, {took}", grouped(rows));
    }
}

fn complain(error: &(dyn std::error::Error + 'static)) {
    eprintln!("{error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("  because {inner}");
        cause = inner.source();
    }
}

/// Where the history of statements is kept.
fn history_file() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    Some(base.join("kvlens").join("sql_history"))
}

/// Keeps the history; a home that can't be written to is no reason to complain.
fn save(editor: &mut Editor<(), FileHistory>, path: &std::path::Path) {
    if let Some(dir) = path.parent() {
        let _ = std::fs::create_dir_all(dir);
    }
    let _ = editor.save_history(path);
}
