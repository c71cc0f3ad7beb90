//! The loop body.

use super::anchors::Anchors;
use super::builder::Options;
use super::intake::Intake;
use super::outlet::Outlet;
use super::problems::{Problems, panic_message};
use super::report::{RunReport, SourceSummary};
use super::spares::Spares;
use super::totals::Totals;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::record::{Batch, Sample, Table};
use crate::run::{RunEnd, RunSchema};
use crate::source::StatsSource;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Samples that are handed over at once, unless a flush comes first: a wake-up of every exporter costs more than a sample.
const BATCH_SAMPLES: usize = 64;

/// How far the wall clock may drift from the monotonic one between two samples before it counts as a step.
const CLOCK_STEP_NS: u64 = 500_000_000;

/// A source and what the collector keeps of it.
#[derive(Debug)]
pub(super) struct Attached {
    source: Box<dyn StatsSource>,
    intake: Intake,
    /// When its last sample was taken.
    last_ns: u64,
    totals: Option<Totals>,
}

impl Attached {
    pub(super) fn new(source: Box<dyn StatsSource>, intake: Intake) -> Self {
        Self {
            source,
            intake,
            last_ns: 0,
            totals: None,
        }
    }

    /// Calls the source, catching errors and panics.
    fn call(
        &mut self,
        problems: &Problems,
        what: impl FnOnce(&mut dyn StatsSource, &mut Intake) -> Result<()>,
    ) {
        let started = Instant::now();
        let (source, intake) = (self.source.as_mut(), &mut self.intake);
        let error = match catch_unwind(AssertUnwindSafe(|| what(source, intake))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => {
                let (name, message) = (self.source.info().name.clone(), panic_message(panic.as_ref()));
                Some(Error::Panicked { name, message })
            }
        };
        if let Some(error) = error {
            self.intake.metrics.errors += 1;
            problems.add(&error.chain());
        }
        self.intake.metrics.collect_ns += u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    }
}

/// Moves figures from sources to exporters; see the [module](super).
///
/// Dropping it ends the run as not clean: everything taken so far is written.
#[derive(Debug)]
pub struct Collector {
    schema: Arc<RunSchema>,
    clock: Arc<dyn Clock>,
    sources: Vec<Attached>,
    outlets: Vec<Outlet>,
    options: Options,
    problems: Problems,
    /// Samples taken and not handed over yet.
    samples: Vec<Sample>,
    /// Samples handed over, for their memory.
    handed: Spares,
    next_tick_ns: u64,
    last_flush: Instant,
    /// Wall minus monotonic time at the last sample.
    wall_offset: i128,
    anchors: Anchors,
    rows: [u64; Table::ALL.len()],
    finished: bool,
}

impl Collector {
    pub(super) fn new(
        schema: Arc<RunSchema>,
        clock: Arc<dyn Clock>,
        mut sources: Vec<Attached>,
        outlets: Vec<Outlet>,
        options: Options,
        problems: Problems,
    ) -> Self {
        let now = clock.monotonic_ns();
        for source in &mut sources {
            source.last_ns = now;
        }
        let wall_offset = offset(&clock);
        let anchors = Anchors::new(schema.run.clock);
        Self {
            schema,
            clock,
            sources,
            outlets,
            options,
            problems,
            samples: Vec::new(),
            handed: Spares::default(),
            next_tick_ns: now.saturating_add(options.interval_ns),
            last_flush: Instant::now(),
            wall_offset,
            anchors,
            rows: [0; Table::ALL.len()],
            finished: false,
        }
    }

    /// What the run is.
    pub fn schema(&self) -> &Arc<RunSchema> {
        &self.schema
    }

    /// When the next sample is due, on the run's clock: an engine that drives the collector by hand compares with it.
    pub fn next_tick_ns(&self) -> u64 {
        self.next_tick_ns
    }

    /// Drains rows, takes a sample if one is due, and hands on what is ready.
    pub fn poll(&mut self) {
        self.drain();
        self.hand_rows(self.options.batch_rows);
        if self.clock.monotonic_ns() >= self.next_tick_ns {
            self.tick();
        }
        if self.last_flush.elapsed() >= self.options.flush_interval {
            self.last_flush = Instant::now();
            self.hand_rows(1);
            self.hand_samples();
            self.outlets.iter_mut().for_each(Outlet::flush_soon);
        }
    }

    /// Takes a sample of every source now, whether one is due or not.
    pub fn tick(&mut self) {
        let now = self.clock.monotonic_ns();
        let overshoot = now.saturating_sub(self.next_tick_ns);
        let missed = overshoot / self.options.interval_ns;
        if now >= self.next_tick_ns {
            self.next_tick_ns = self
                .next_tick_ns
                .saturating_add((missed + 1) * self.options.interval_ns);
        }
        let stepped = self.wall_clock_stepped();
        self.anchors.look(now, &self.clock);
        for attached in &mut self.sources {
            attached.call(&self.problems, |source, intake| source.sample(intake));
            attached.intake.metrics.ticks_missed += missed;
            attached.intake.metrics.anomalies += u64::from(stepped);
            let interval = now.saturating_sub(attached.last_ns);
            attached.last_ns = now;
            let sample = attached.intake.take_sample(now, interval, overshoot);
            match &mut attached.totals {
                Some(totals) => totals.add(&sample),
                none => *none = Some(Totals::new(&sample)),
            }
            if self.schema.run.tables.has(Table::Samples) {
                self.samples.push(sample);
            } else {
                attached.intake.wear(sample.values);
            }
        }
        if self.samples.len() >= BATCH_SAMPLES {
            self.hand_samples();
        }
    }

    /// Takes what there is and waits until every exporter has made it safe; `false` if one of them could not.
    pub fn flush(&mut self) -> bool {
        self.drain();
        self.hand_rows(1);
        self.hand_samples();
        self.last_flush = Instant::now();
        // Every exporter is flushed, also when an earlier one could not be.
        let stalled = self
            .outlets
            .iter_mut()
            .filter_map(|outlet| (!outlet.flush()).then_some(()))
            .count();
        stalled == 0
    }

    /// Takes a last sample, ends every exporter and says what the run came to.
    pub fn finish(self) -> RunReport {
        self.end_as(true)
    }

    pub(super) fn end_as(mut self, clean_stop: bool) -> RunReport {
        self.end(clean_stop);
        self.report()
    }

    pub(super) fn problems(&self) -> &Problems {
        &self.problems
    }

    /// How long until the next sample is due.
    pub(super) fn until_next_tick(&self) -> Duration {
        Duration::from_nanos(self.next_tick_ns.saturating_sub(self.clock.monotonic_ns()))
    }

    /// Keeps a problem that the run's owner met, for [`RunEnd::problems`] and [`RunReport::problems`]. It is not told to
    /// [`CollectorBuilder::on_problem`](super::CollectorBuilder::on_problem): who calls this knows it.
    pub fn add_problem(&self, text: &str) {
        self.problems.keep(text);
    }

    /// Each source's figures from the start of the run until its last sample.
    pub fn summaries(&self) -> Vec<SourceSummary> {
        self.sources
            .iter()
            .filter_map(|attached| Some(attached.totals.as_ref()?.summary(self.schema.clone())))
            .collect()
    }

    fn drain(&mut self) {
        for attached in &mut self.sources {
            attached.call(&self.problems, |source, intake| source.drain(intake));
        }
    }

    fn hand_rows(&mut self, at_least: usize) {
        let (rows, outlets) = (&mut self.rows, &mut self.outlets);
        for attached in &mut self.sources {
            attached.intake.take_rows(at_least, |batch| {
                count(rows, batch);
                outlets.iter_mut().for_each(|outlet| outlet.offer_rows(batch));
            });
        }
    }

    fn hand_samples(&mut self) {
        if self.samples.is_empty() {
            return;
        }
        let empty = self.worn_samples();
        let batch = Batch::Samples(std::mem::replace(&mut self.samples, empty));
        count(&mut self.rows, &batch);
        let batch = Arc::new(batch);
        self.outlets
            .iter_mut()
            .for_each(|outlet| outlet.offer_samples(&batch));
        self.handed.keep(batch);
    }

    /// Room for samples; the values of those that were in it go back to their sources.
    fn worn_samples(&mut self) -> Vec<Sample> {
        let Some(Batch::Samples(mut worn)) = self.handed.reuse() else {
            return Vec::with_capacity(BATCH_SAMPLES);
        };
        for sample in worn.drain(..) {
            if let Some(attached) = self.sources.get_mut(usize::from(sample.source.0)) {
                attached.intake.wear(sample.values);
            }
        }
        worn
    }

    /// Rows carry monotonic time, so a step of the wall clock harms none of them; it is worth knowing all the same.
    fn wall_clock_stepped(&mut self) -> bool {
        let now = offset(&self.clock);
        let moved = now.abs_diff(self.wall_offset);
        self.wall_offset = now;
        let stepped = moved > u128::from(CLOCK_STEP_NS);
        if stepped {
            self.problems.add("the system's wall clock was set during the run; timestamps follow the clock as it was at the start");
        }
        stepped
    }

    fn end(&mut self, clean_stop: bool) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.drain();
        self.hand_rows(1);
        self.tick();
        self.hand_samples();
        for at in (0..self.outlets.len()).rev() {
            // What other exporters met belongs in what the first one writes down.
            let end = self.run_end(clean_stop);
            self.outlets[at].finish(end);
        }
    }

    fn run_end(&self, clean_stop: bool) -> RunEnd {
        let mut end = RunEnd {
            clean_stop,
            monotonic_ns: self.clock.monotonic_ns(),
            ..RunEnd::default()
        };
        for table in self.schema.run.tables.iter() {
            end.rows
                .insert(table.name().to_owned(), self.rows[table as usize]);
        }
        for ((_, table), lost) in self.lost() {
            let dropped = end.rows_dropped.entry(table).or_insert(0);
            *dropped = lost.max(*dropped);
        }
        let own = self.sources.iter().map(|attached| attached.intake.metrics);
        end.anomalies = own.clone().map(|metrics| metrics.anomalies).sum();
        let queue_drops: u64 = own.map(|metrics| metrics.rows_dropped).sum();
        if queue_drops > 0 {
            end.rows_dropped.insert("engine_queue".to_owned(), queue_drops);
        }
        end.problems = self.problems.list();
        end.problems.extend(self.losses());
        end.clocks = self.anchors.ended(&self.clock);
        end
    }

    fn lost(&self) -> BTreeMap<(String, String), u64> {
        let tables = |outlet: &Outlet| {
            let name = outlet.name().to_owned();
            let lost = Table::ALL.map(|table| ((name.clone(), table.name().to_owned()), outlet.lost(table)));
            lost.into_iter().filter(|(_, rows)| *rows > 0)
        };
        self.outlets.iter().flat_map(tables).collect()
    }

    /// What exporters did not write, in words.
    fn losses(&self) -> impl Iterator<Item = String> {
        self.lost().into_iter().map(|((exporter, table), rows)| {
            let noun = if rows == 1 { "row" } else { "rows" };
            format!("exporter `{exporter}` did not write {rows} {noun} of `{table}`")
        })
    }

    fn report(&self) -> RunReport {
        let end = self.run_end(true);
        RunReport {
            schema: self.schema.clone(),
            sources: self.summaries(),
            rows: end.rows,
            rows_lost: self.lost(),
            problems: end.problems,
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.end(false);
    }
}

fn count(rows: &mut [u64; Table::ALL.len()], batch: &Batch) {
    rows[batch.table() as usize] += u64::try_from(batch.len()).unwrap_or(0);
}

fn offset(clock: &Arc<dyn Clock>) -> i128 {
    i128::from(clock.wall_ns()) - i128::from(clock.monotonic_ns())
}
