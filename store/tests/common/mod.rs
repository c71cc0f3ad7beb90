//! Runs to send to a store.

pub(crate) mod server;

use kvlens_analysis::{Cols, Run};
use kvlens_core::record::{StepRow, Table};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, RunInfo, RunSchema, SourceIndex, SourceInfo, Tables};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use kvlens_store::StoreOptions;
use server::Server;
use std::path::Path;

/// How a server is reached.
pub(crate) fn options(server: &Server) -> StoreOptions {
    let set = |options: StoreOptions, (name, value): (&str, String)| options.with(name, value);
    server.variables().into_iter().fold(StoreOptions::default(), set)
}

/// A run that writes steps, in parts of a few rows.
pub(crate) struct Written {
    manifest: Manifest,
    parquet: ParquetExporter,
    next: u64,
}

impl Written {
    pub(crate) const PART_ROWS: u64 = 100;

    pub(crate) fn begin(spool: &Path, run_id: &str) -> Self {
        let options = ParquetOptions::default().with_part_rows(usize::try_from(Self::PART_ROWS).unwrap());
        let mut written = Self {
            manifest: Manifest::create(spool),
            parquet: ParquetExporter::create(spool, options),
            next: 0,
        };
        let schema = schema(run_id);
        written.manifest.begin(&schema).unwrap();
        written.parquet.begin(&schema).unwrap();
        written
    }

    /// Writes the rows of so many parts; each part is sealed when it is full.
    pub(crate) fn parts(&mut self, parts: u64) {
        for _ in 0..parts {
            let rows = (self.next..self.next + Self::PART_ROWS).map(|step| StepRow {
                step,
                monotonic_ns: step,
                requests_running: 3,
                ..StepRow::default()
            });
            self.parquet
                .write(&Batch::Steps(SourceIndex(0), rows.collect()))
                .unwrap();
            self.next += Self::PART_ROWS;
        }
    }

    /// Ends the run; says how many rows were written.
    pub(crate) fn finish(mut self) -> u64 {
        let mut end = RunEnd::default();
        end.clean_stop = true;
        self.parquet.finish(&end).unwrap();
        self.manifest.finish(&end).unwrap();
        self.next
    }
}

fn schema(run_id: &str) -> RunSchema {
    let run = RunInfo::new(run_id).with_tables(Tables::NONE.with(Table::Steps));
    RunSchema::new(run, vec![SourceInfo::new("engine-0", "test")], vec![])
}

/// The step numbers of a run on disk, sorted.
pub(crate) fn steps(run: &Path) -> Vec<u64> {
    let run = Run::open(run).unwrap();
    let mut steps = Vec::new();
    let scan = run.scan(Table::Steps).unwrap();
    scan.for_each(|batch| {
        let column = Cols::new(batch).numbers("step")?;
        steps.extend((0..batch.num_rows()).map(|row| column.get(row).unwrap()));
        Ok(())
    })
    .unwrap();
    steps.sort_unstable();
    steps
}
