//! The command `kvlens`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kvlens::cli::main()
}
