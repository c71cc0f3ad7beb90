//! One pass over `samples`.

use super::bins::Bins;
use super::merged::Merged;
use crate::error::Result;
use crate::run::Run;
use crate::scan::{Cols, Numbers};
use arrow_array::RecordBatch;
use kvlens_core::metric::Kind;
use kvlens_schema::histogram::HistogramReader;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The metric columns of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct MetricColumns {
    pub(crate) counters: Vec<String>,
    pub(crate) gauges: Vec<String>,
    pub(crate) histograms: Vec<String>,
}

impl MetricColumns {
    pub(crate) fn of(run: &Run) -> Self {
        let mut out = Self::default();
        for metric in run.manifest().metrics.iter().filter_map(crate::metrics::describe) {
            let name = metric.name.to_string();
            match metric.kind {
                Kind::Counter => out.counters.push(name),
                Kind::Gauge => out.gauges.push(name),
                Kind::Histogram => out.histograms.push(name),
            }
        }
        out
    }

    /// Every column that the pass reads.
    pub(crate) fn columns(&self) -> Vec<String> {
        let mut out: Vec<String> = ["timestamp", "source"].map(str::to_owned).into();
        out.extend(
            self.counters
                .iter()
                .chain(&self.gauges)
                .chain(&self.histograms)
                .cloned(),
        );
        for part in ["count", "sum", "max"] {
            out.extend(self.histograms.iter().map(|name| format!("{name}_{part}")));
        }
        out
    }
}

/// What the samples came to, by source.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) columns: Arc<MetricColumns>,
    pub(crate) sources: BTreeMap<String, SourceSamples>,
    pub(crate) histograms: Vec<Merged>,
    pub(crate) rows: u64,
    pub(crate) start_ns: Option<i64>,
    pub(crate) end_ns: Option<i64>,
}

/// What one source's samples came to.
#[derive(Debug)]
pub(crate) struct SourceSamples {
    /// Gauges, and what counters grew by.
    pub(crate) bins: Bins,
    /// The first and the last total of each counter.
    pub(crate) counters: Vec<Option<(u64, u64)>>,
    first_ns: i64,
    last: Option<(i64, Vec<Option<f64>>)>,
}

impl Samples {
    pub(crate) fn new(columns: &Arc<MetricColumns>) -> Self {
        Self {
            columns: Arc::clone(columns),
            sources: BTreeMap::new(),
            histograms: vec![Merged::default(); columns.histograms.len()],
            rows: 0,
            start_ns: None,
            end_ns: None,
        }
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let cols = Cols::new(batch);
        let (times, source) = (cols.numbers("timestamp")?, cols.strings("source")?);
        let columns = Arc::clone(&self.columns);
        let read = |names: &[String]| {
            names
                .iter()
                .map(|name| cols.numbers(name))
                .collect::<Result<Vec<_>>>()
        };
        let (counters, gauges) = (read(&columns.counters)?, read(&columns.gauges)?);
        for row in 0..cols.rows() {
            let Some(at) = times.get(row).and_then(|at| i64::try_from(at).ok()) else {
                continue;
            };
            self.rows += 1;
            self.start_ns = Some(self.start_ns.map_or(at, |start| start.min(at)));
            self.end_ns = self.end_ns.max(Some(at));
            let name = source.get(row).unwrap_or_default();
            if !self.sources.contains_key(name) {
                self.sources.insert(name.to_owned(), SourceSamples::new(&columns));
            }
            if let Some(samples) = self.sources.get_mut(name) {
                samples.add(at, row, &counters, &gauges);
            }
        }
        self.histograms(cols)
    }

    fn histograms(&mut self, cols: Cols<'_>) -> Result<()> {
        for (merged, name) in self.histograms.iter_mut().zip(&self.columns.histograms) {
            if let Some(array) = cols.array(name) {
                let reader = HistogramReader::try_new(name, array)?;
                for row in 0..cols.rows() {
                    merged.add(reader.value(row)?);
                }
                continue;
            }
            let part = |part: &str| cols.numbers(&format!("{name}_{part}"));
            let (count, sum, max) = (part("count")?, part("sum")?, part("max")?);
            for row in 0..cols.rows() {
                if let Some(count) = count.get(row) {
                    merged.add_flat(count, sum.get(row).unwrap_or(0), max.get(row));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (name, samples) in other.sources {
            match self.sources.get_mut(&name) {
                Some(mine) => mine.merge(samples),
                None => drop(self.sources.insert(name, samples)),
            }
        }
        for (mine, theirs) in self.histograms.iter_mut().zip(other.histograms) {
            mine.merge(theirs);
        }
        self.rows += other.rows;
        self.start_ns = [self.start_ns, other.start_ns].into_iter().flatten().min();
        self.end_ns = self.end_ns.max(other.end_ns);
    }

    /// A counter's total at the end of the run, over all sources.
    pub(crate) fn counter(&self, name: &str) -> Option<u64> {
        let at = self.columns.counters.iter().position(|known| known == name)?;
        let totals = self
            .sources
            .values()
            .filter_map(|source| source.counters.get(at).copied().flatten());
        totals.map(|(_, last)| last).reduce(u64::saturating_add)
    }

    /// A histogram over the whole run.
    pub(crate) fn histogram(&self, name: &str) -> Option<&Merged> {
        let at = self.columns.histograms.iter().position(|known| known == name)?;
        self.histograms.get(at).filter(|merged| merged.count() > 0)
    }
}

impl SourceSamples {
    fn new(columns: &MetricColumns) -> Self {
        Self {
            bins: Bins::new(columns.gauges.len(), columns.counters.len()),
            counters: vec![None; columns.counters.len()],
            first_ns: i64::MAX,
            last: None,
        }
    }

    fn add(&mut self, at: i64, row: usize, counters: &[Numbers<'_>], gauges: &[Numbers<'_>]) {
        let from = self.last.as_ref().map_or(at, |(from, _)| *from);
        self.bins.reserve(from.min(at), at);
        let bin = self.bins.bin(at);
        for (counter, numbers) in counters.iter().enumerate() {
            let Some(total) = numbers.get(row) else { continue };
            let before = self.counters[counter].map_or(0, |(_, last)| last);
            // The first reading of a later part is corrected when parts are merged.
            if self.last.is_some() {
                self.bins.count(counter, bin, total.saturating_sub(before));
            }
            let first = self.counters[counter].map_or(total, |(first, _)| first);
            self.counters[counter] = Some((first, total.max(before)));
        }
        let values: Vec<Option<f64>> = gauges.iter().map(|numbers| numbers.float(row)).collect();
        if let Some((from, held)) = self.last.take() {
            self.bins.hold(&held, from, at);
        } else {
            self.first_ns = at;
        }
        self.last = Some((at, values));
    }

    fn merge(&mut self, other: Self) {
        if let Some((from, held)) = &self.last {
            self.bins.reserve((*from).min(other.first_ns), other.first_ns);
            self.bins.hold(held, *from, other.first_ns);
        }
        let bin = self.bins.bin(other.first_ns);
        for (counter, theirs) in other.counters.iter().enumerate() {
            let mine = self.counters.get(counter).copied().flatten();
            let Some((first, last)) = *theirs else { continue };
            if let Some((_, before)) = mine {
                self.bins.count(counter, bin, first.saturating_sub(before));
            }
            let (start, before) = mine.unwrap_or((first, 0));
            self.counters[counter] = Some((start, last.max(before)));
        }
        self.bins.merge(other.bins);
        self.last = other.last.or(self.last.take());
    }
}
