//! The command line: parsing, dispatch, exit codes.

mod analyse;
mod args;
mod catalog;
#[cfg(feature = "cluster")]
mod cluster;
mod compact;
mod config;
mod device;
mod error;
mod inspect;
mod number;
mod plan;
mod progress;
mod recover;
mod remote;
mod replay;
mod report;
#[cfg(feature = "sql")]
mod sql;
mod stage;
mod summary;
#[cfg(feature = "store")]
mod upload;
mod watch;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use error::CliError;
use std::io::Write;
use std::process::ExitCode;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Well,
    /// The run went through, but not everything could be recorded.
    Incomplete,
    /// A condition of `compare --fail-if` holds.
    ConditionHolds,
    Interrupted,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(Outcome::Well) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(3),
        Ok(Outcome::ConditionHolds) => ExitCode::from(4),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            // Nothing is left to be done about a closed stderr.
            let _ = writeln!(std::io::stderr(), "kvlens: {}", error.chain());
            ExitCode::from(error.code())
        }
    }
}

/// Reads a configuration file's text and says what is wrong with it: for the fuzz targets.
///
/// # Errors
/// What `kvlens run --config` would print.
pub fn check_config(text: &str) -> Result<(), String> {
    config::parse(text).and_then(|args| plan::Plan::new(&args).map(drop).map_err(|error| error.chain()))
}

fn dispatch(command: Command) -> Result<Outcome, CliError> {
    match command {
        Command::Run(args) => replay::run(*args),
        Command::Recover(args) => recover::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Compact(args) => compact::run(&args),
        #[cfg(feature = "store")]
        Command::Upload(args) => upload::run(&args),
        Command::Summary(args) => analyse::summary(&args),
        Command::Why(args) => analyse::why(&args),
        Command::Cache(args) => analyse::cache(&args),
        Command::Compare(args) => analyse::compare(&args),
        Command::Report(args) => report::run(&args),
        Command::Watch(args) => watch::run(&args),
        #[cfg(feature = "sql")]
        Command::Sql(args) => sql::run(&args),
        #[cfg(feature = "cluster")]
        Command::Cluster(command) => cluster::run(command),
        Command::Catalog(args) => print(&catalog::render(args.format)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kvlens", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Prints to stdout; a reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<Outcome, CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::failed("print", error)),
        _ => Ok(Outcome::Well),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
