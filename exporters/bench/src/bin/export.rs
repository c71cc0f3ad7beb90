//! Exports made-up rows and says how fast: `export FORMAT [rows] [threads] [number|random] [requests|samples] [out]`.
//!
//! Only the exporter's calls are timed, from typed rows to the finished files; making the rows is not. One line a run.
//! FORMAT is parquet, csv or arrow; plain-csv or plain-arrow for arrow-rs used plainly on the same columns (built by
//! the same code, so the difference is in the writing); arrow-table writes the same columns as one Arrow IPC file for the peers of `export_peers.py`.

use kvlens_arrow::{ArrowExporter, ArrowOptions};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, SourceIndex, Table};
use kvlens_csv::{CsvExporter, CsvOptions};
use kvlens_export_bench::{Counters, Ids, Plain, Requests, Samples, run_schema};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

const BATCH: usize = 4_096;

struct Args {
    format: String,
    rows: usize,
    threads: usize,
    ids: Ids,
    table: Table,
    out: PathBuf,
}

fn args() -> Args {
    let args: Vec<String> = env::args().skip(1).collect();
    let arg = |place: usize, default: &str| args.get(place).cloned().unwrap_or_else(|| default.to_owned());
    Args {
        format: arg(0, "parquet"),
        rows: arg(1, "10000000").parse().unwrap_or(10_000_000),
        threads: arg(2, "1").parse().unwrap_or(1),
        ids: if arg(3, "number") == "random" {
            Ids::Random
        } else {
            Ids::Number
        },
        table: Table::from_name(&arg(4, "requests")).unwrap_or(Table::Requests),
        out: PathBuf::from(arg(5, "/dev/shm/kvlens-export")),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = args();
    let _ = fs::remove_dir_all(&args.out);
    fs::create_dir_all(&args.out)?;
    let mut schema = run_schema("bench");
    schema.run.tables = kvlens_core::Tables::NONE.with(args.table);
    let mut requests = Requests::new(1, args.ids);
    let mut samples = Samples::new(2, &schema);
    let mut next = |rows: usize| match args.table {
        Table::Samples => Batch::Samples(samples.batch(rows)),
        _ => Batch::Requests(SourceIndex(0), requests.batch(rows)),
    };
    if args.format == "arrow-table" {
        return arrow_table(&args, &schema, next);
    }
    let mut exporter: Box<dyn Exporter> = match args.format.as_str() {
        "plain-csv" => Box::new(Plain::csv(&args.out.join("plain.csv"), &schema)?),
        "plain-arrow" => Box::new(Plain::ipc(&args.out.join("plain.arrow"), &schema, args.table)?),
        _ => exporter(&args)?,
    };
    let mut counters = Counters::default();
    counters.count(|| exporter.begin(&schema))?;
    let mut left = args.rows;
    while left > 0 {
        let batch = next(BATCH.min(left));
        left -= batch.len();
        counters.count(|| exporter.write(&batch))?;
    }
    counters.count(|| exporter.finish(&RunEnd::default()))?;
    let measured = counters.measured();
    let bytes = size(&args.out)?;
    println!(
        "{:<10} {:<9} threads {} rows {:>9} wall {:>6.2} s  cpu {:>6.2} s  {:>6.3} Mrows/s  {:>8.1} MB  {:>6.2} B/row  peak {:>5.0} MB",
        args.format,
        args.table.name(),
        args.threads,
        args.rows,
        measured.seconds,
        measured.cpu_seconds,
        per(args.rows, measured.seconds) / 1e6,
        per(bytes, 1e6),
        per(bytes, per(args.rows, 1.0)),
        measured.peak_mb,
    );
    if env::var_os("KEEP").is_none() {
        fs::remove_dir_all(&args.out)?;
    }
    Ok(())
}

fn exporter(args: &Args) -> Result<Box<dyn Exporter>, Box<dyn Error>> {
    Ok(match args.format.as_str() {
        "parquet" => {
            let options = ParquetOptions::default().with_threads(args.threads);
            Box::new(ParquetExporter::create(&args.out, options))
        }
        "csv" => Box::new(CsvExporter::create(&args.out, CsvOptions::default())),
        "arrow" => Box::new(ArrowExporter::create(&args.out, ArrowOptions::default())),
        other => {
            return Err(format!("unknown format `{other}`; use parquet, csv, arrow or arrow-table").into());
        }
    })
}

fn arrow_table(
    args: &Args,
    schema: &kvlens_core::RunSchema,
    mut next: impl FnMut(usize) -> Batch,
) -> Result<(), Box<dyn Error>> {
    let path = args.out.join(format!("{}.arrow", args.table.name()));
    let columns = kvlens_schema::table_schema(schema, args.table);
    let mut writer = arrow_ipc::writer::FileWriter::try_new_buffered(fs::File::create(&path)?, &columns)?;
    let mut left = args.rows;
    while left > 0 {
        let rows = left.min(65_536);
        left -= rows;
        let mut builder = kvlens_schema::TableBuilder::new(schema, args.table);
        let batch = next(rows);
        let mut at = 0;
        while at < batch.len() {
            at += builder.append(&batch, at);
        }
        writer.write(&builder.finish()?)?;
    }
    writer.finish()?;
    println!("{}", path.display());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn per(amount: usize, of: f64) -> f64 {
    amount as f64 / of
}

fn size(dir: &Path) -> Result<usize, Box<dyn Error>> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        total += if entry.path().is_dir() {
            size(&entry.path())?
        } else {
            usize::try_from(entry.metadata()?.len())?
        };
    }
    Ok(total)
}
