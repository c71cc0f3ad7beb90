//! Writes the corpora that fuzzing begins with: `seeds DIRECTORY`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(corpus) = std::env::args_os().nth(1) else {
        eprintln!("seeds: name the directory that gets one directory per target");
        return ExitCode::from(2);
    };
    match kvlens_tests::fuzz::seeds::write(corpus.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seeds: {error}");
            ExitCode::FAILURE
        }
    }
}
