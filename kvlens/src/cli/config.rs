//! The configuration file under the command line.

use super::args::RunArgs;
use super::error::CliError;

/// Reads the configuration file, if one is named, and lays the command line over it.
pub(super) fn merge(args: RunArgs) -> Result<RunArgs, CliError> {
    let Some(path) = args.config.clone() else {
        return Ok(args);
    };
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| CliError::Config {
        path: path.clone(),
        source,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.into()))?;
    let file = parse(&text).map_err(|error| wrong(error.into()))?;
    Ok(args.over(file))
}

/// Reads a configuration file's text; the error names the line.
pub(super) fn parse(text: &str) -> Result<RunArgs, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command, Format, Preempt};
    use clap::Parser;

    fn parse(line: &[&str]) -> RunArgs {
        let cli = Cli::parse_from(["kvlens", "run"].iter().chain(line));
        let Command::Run(args) = cli.command else {
            panic!("run")
        };
        *args
    }

    #[test]
    fn the_command_line_counts_more_than_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        let text = "block_size = 32\nkv_blocks = 10\npreempt = \"swap\"\nwrite = [\"csv\", \"arrow\"]\nquiet = true\n";
        std::fs::write(&path, text).unwrap();
        let args = merge(parse(&["--config", path.to_str().unwrap(), "--kv-blocks", "99"])).unwrap();
        assert_eq!(
            (args.block_size, args.kv_blocks, args.quiet),
            (Some(32), Some(99), true)
        );
        assert_eq!(
            (args.preempt, args.write),
            (Some(Preempt::Swap), Some(vec![Format::Csv, Format::Arrow]))
        );
    }

    #[test]
    fn a_wrong_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(&path, "block_size = 16\nblocksize = 32\n").unwrap();
        let error = merge(parse(&["--config", path.to_str().unwrap()])).unwrap_err();
        let text = error.chain();
        assert!(
            text.contains("run.toml") && text.contains("line 2") && text.contains("blocksize"),
            "{text}"
        );
        assert_eq!(error.code(), 2);
        let error = merge(parse(&["--config", "/nonexistent/x.toml"])).unwrap_err();
        assert!(error.chain().contains("No such file"), "{}", error.chain());
    }
}
