//! Sends a run somewhere else: implement `Exporter`.
//!
//! `cargo run --example custom_exporter`

use kvlens::core::memory::ScriptedSource;
use kvlens::core::run::RunEnd;
use kvlens::core::{
    Batch, CollectorBuilder, Error, Exporter, Result, RunInfo, RunSchema, StepRow, catalog, conformance,
};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Prints a line per step to a shared text.
#[derive(Debug, Clone, Default)]
struct Lines {
    text: Arc<Mutex<String>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum State {
    #[default]
    New,
    Begun,
    Finished,
}

impl Lines {
    fn check(&self) -> Result<()> {
        let exporter = self.name().to_owned();
        match self.state {
            State::New => Err(Error::NotBegun { exporter }),
            State::Begun => Ok(()),
            State::Finished => Err(Error::Finished { exporter }),
        }
    }
}

impl Exporter for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn begin(&mut self, _schema: &RunSchema) -> Result<()> {
        if self.state != State::New {
            return Err(Error::Finished {
                exporter: self.name().to_owned(),
            });
        }
        self.state = State::Begun;
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.check()?;
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if let Batch::Steps(_, rows) = batch {
            for row in rows {
                // Writing to a String can't fail.
                let _ = writeln!(text, "step {} of {} requests", row.step, row.requests_running);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.check()
    }

    fn finish(&mut self, _end: &RunEnd) -> Result<()> {
        self.check()?;
        self.state = State::Finished;
        Ok(())
    }
}

pub(crate) fn main() -> Result<()> {
    // What every exporter's test should call.
    conformance::check_exporter(Lines::default);

    let lines = Lines::default();
    let steps = (0..3)
        .map(|step| StepRow {
            step,
            requests_running: 4,
            ..StepRow::default()
        })
        .collect();
    let source = ScriptedSource::new("engine-0")
        .with_gauge(&catalog::REQUESTS_RUNNING, [4.0])
        .with_steps(steps);
    let builder = CollectorBuilder::new(RunInfo::new("demo"))
        .local_source(source)
        .exporter(lines.clone());
    let mut collector = builder.build()?;
    collector.poll();
    collector.finish();
    let text = lines.text.lock().unwrap_or_else(PoisonError::into_inner);
    print!("{text}");
    assert_eq!(text.lines().last(), Some("step 2 of 4 requests"));
    Ok(())
}
