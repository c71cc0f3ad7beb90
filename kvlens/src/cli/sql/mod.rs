//! `kvlens sql`: queries over runs, one or in a shell.

mod execute;
mod output;
mod shell;

use super::Outcome;
use super::args::SqlArgs;
use super::error::CliError;
use execute::Session;
use kvlens_core::BoxError;
use kvlens_sql::datafusion::prelude::SessionContext;
use kvlens_sql::{RunCatalog, SessionOptions, SqlError};
use output::{Destination, Form};
use std::io::{IsTerminal, Read};
use std::path::Path;

pub(super) fn run(args: &SqlArgs) -> Result<Outcome, CliError> {
    let (paths, query) = args.split();
    if paths.is_empty() {
        let source = "name a run, a directory of runs or a pattern before the query".into();
        let option = "kvlens sql".to_owned();
        return Err(CliError::Usage { option, source });
    }
    let destination = Destination::new(args.form(), args.output.clone(), args.rows)?;
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| CliError::failed("can't start threads", error))?;
    let done = runtime.block_on(async {
        let session = Session::new(open(args, &paths).await?, destination);
        let text = match (query, std::io::stdin().is_terminal()) {
            (Some(query), _) => query,
            (None, true) => return shell::run(session).await,
            (None, false) => {
                let mut text = String::new();
                let read = std::io::stdin().read_to_string(&mut text);
                read.map_err(|error| CliError::failed("can't read the query", error))?;
                text
            }
        };
        session
            .run_all(&text)
            .await
            .map_err(|error| CliError::failed("the query failed", error))?;
        Ok(Outcome::Well)
    });
    // A query that was interrupted may be in the middle of a batch: nobody waits for that.
    runtime.shutdown_background();
    done
}

async fn open(args: &SqlArgs, paths: &[&str]) -> Result<SessionContext, CliError> {
    let failed = |error: SqlError| CliError::failed("can't open the runs", error);
    let mut options = SessionOptions::default();
    if let Some(threads) = args.threads {
        options = options.with_threads(threads);
    }
    if let Some(text) = &args.memory {
        options = options.with_memory(bytes(text).map_err(|error| CliError::usage("memory", text, error))?);
    }
    let catalog = RunCatalog::open(paths).map_err(failed)?;
    for (path, error) in catalog.refused() {
        let error: &dyn std::error::Error = error;
        eprintln!("kvlens: left out `{}`: {error}", path.display());
    }
    let session = session(args, &options).await.map_err(failed)?;
    catalog.register(&session).map_err(failed)?;
    Ok(session)
}

#[cfg(feature = "cluster")]
async fn session(args: &SqlArgs, options: &SessionOptions) -> Result<SessionContext, SqlError> {
    match &args.cluster {
        Some(scheduler) => kvlens_sql::cluster::session(scheduler, options).await,
        None => kvlens_sql::session(options),
    }
}

#[cfg(not(feature = "cluster"))]
#[expect(clippy::unused_async, reason = "with the feature `cluster` it waits")]
async fn session(_args: &SqlArgs, options: &SessionOptions) -> Result<SessionContext, SqlError> {
    kvlens_sql::session(options)
}

/// Reads a size such as `500MB` or `4GB`.
fn bytes(text: &str) -> Result<usize, BoxError> {
    let digits = text
        .trim_end_matches(|letter: char| letter.is_ascii_alphabetic())
        .trim();
    let unit = text.get(digits.len()..).unwrap_or("").trim().to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("write it like 500MB or 4GB".into()),
    };
    let number: usize = digits.parse().map_err(|_| "write it like 500MB or 4GB")?;
    number
        .checked_shl(shift)
        .filter(|bytes| bytes >> shift == number)
        .ok_or_else(|| "too large".into())
}

impl SqlArgs {
    /// Paths of runs, and the query, which is the last argument where that looks like one.
    fn split(&self) -> (Vec<&str>, Option<String>) {
        let mut paths: Vec<&str> = self.runs.iter().map(String::as_str).collect();
        if let Some(command) = &self.command {
            return (paths, Some(command.clone()));
        }
        let query = paths.pop_if(|last| is_query(last)).map(str::to_owned);
        (paths, query)
    }

    fn form(&self) -> Option<Form> {
        [
            (self.json, Form::Json),
            (self.csv, Form::Csv),
            (self.markdown, Form::Markdown),
        ]
        .into_iter()
        .find_map(|(wanted, form)| wanted.then_some(form))
    }
}

/// Whether an argument is a statement rather than a path.
fn is_query(text: &str) -> bool {
    const FIRST_WORDS: [&str; 12] = [
        "select", "with", "explain", "show", "describe", "desc", "values", "create", "copy", "set", "drop",
        "table",
    ];
    let text = text.trim_start().trim_start_matches('(');
    let first = text
        .split(|letter: char| letter.is_whitespace() || letter == '(')
        .next()
        .unwrap_or("");
    let is_word = FIRST_WORDS.iter().any(|word| first.eq_ignore_ascii_case(word));
    is_word && first.len() < text.trim_end().len() && !Path::new(text).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_told_from_a_path() {
        for query in [
            "select 1",
            "  SELECT\n1",
            "with a as (select 1) select * from a",
            "(select 1)",
            "show tables",
            "values(1)",
        ] {
            assert!(is_query(query), "{query}");
        }
        for path in [
            "runs",
            "select",
            "runs/*/run_id=*",
            "selected runs",
            "/tmp/with spaces",
        ] {
            assert!(!is_query(path), "{path}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("500MB").unwrap(), 500 << 20);
        assert_eq!(bytes("4 GiB").unwrap(), 4 << 30);
        assert_eq!(bytes("17").unwrap(), 17);
        assert!(bytes("4 elephants").is_err());
        assert!(bytes("99999999999999999999GB").is_err());
    }
}
