//! Summarises a run: `summary RUN [--json] [--kv] [--why N] [--threads N] [--repeat N]`. With `--repeat` it times itself
//! instead.

use kvlens_analysis::kv::answers;
use kvlens_analysis::summary::summary;
use kvlens_analysis::why::{Which, why};
use kvlens_analysis::{Run, ScanOptions};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args
        .next()
        .ok_or("usage: summary RUN [--json] [--kv] [--why N] [--threads N] [--repeat N]")?;
    let (mut json, mut repeat, mut options) = (false, 0, ScanOptions::default());
    while let Some(arg) = args.next() {
        let mut number = || {
            args.next()
                .ok_or("a number is missing")?
                .parse::<usize>()
                .map_err(|e| e.to_string())
        };
        match arg.as_str() {
            "--json" => json = true,
            "--kv" => print!("{}", answers(&Run::open(&path)?, None, options)?),
            "--why" => print!(
                "{}",
                why(&Run::open(&path)?, &Which::Slowest(number()?), options)?
            ),
            "--threads" => options = options.with_threads(number()?),
            "--repeat" => repeat = number()?,
            other => return Err(format!("`{other}` is not an option").into()),
        }
    }
    for _ in 0..repeat {
        let begin = Instant::now();
        let found = summary(&Run::open(&path)?, options)?;
        println!(
            "{:.4} s, {} figures",
            begin.elapsed().as_secs_f64(),
            found.totals.len()
        );
    }
    if repeat == 0 {
        let found = summary(&Run::open(&path)?, options)?;
        print!("{}", if json { found.json()? } else { found.text() });
    }
    Ok(())
}
