//! A report to look at: one HTML file that needs nothing else, and its plots one by one.
//!
//! [`Report::read`] makes plots from runs; [`Report::html`] puts them on a page with what the run was, its warnings and its
//! slowest requests. Everything over time is binned beforehand, with the extremes of each bin where it is a gauge, so that
//! the page's size is bounded by the number of plots and not by the length of the runs.

mod cache;
mod draw;
mod latency;
mod page;
mod plot;
mod read;
mod slowest;
mod tables;
mod time;

use crate::compare::{Comparison, compare};
use crate::error::{AnalysisError, Result};
use crate::kv::KvAnswers;
use crate::run::Run;
use crate::scan::ScanOptions;
use crate::summary::Summary;
use crate::why::Explanations;
use plot::Made;
use read::RunData;
use time::{Clock, Frame};

pub use draw::{PNG_SCALE, Size};
pub use plot::{
    Axis, Body, Colour, Heat, Lines, Mark, Missing, Plot, Quantity, Section, Series, Shape, Short, Xs,
};
pub use read::SLOWEST;

/// Runs that a report lays over each other at most: there are no more colours that everyone can tell apart.
pub const MAX_RUNS: usize = 8;

/// Runs as plots and tables.
#[derive(Debug)]
pub struct Report {
    runs: Vec<Told>,
    comparison: Option<Comparison>,
    plots: Vec<Plot>,
    missing: Vec<Missing>,
}

/// What is told of a run beside the plots.
#[derive(Debug)]
struct Told {
    name: String,
    summary: Summary,
    kv: KvAnswers,
    slowest: Explanations,
}

impl Report {
    /// Reads runs; the first is the one that others are compared with.
    ///
    /// # Errors
    /// [`AnalysisError::RunCount`] for none or more than [`MAX_RUNS`], or what reading a run gives.
    pub fn read(runs: &[&Run], options: ScanOptions) -> Result<Self> {
        if runs.is_empty() || runs.len() > MAX_RUNS {
            return Err(AnalysisError::RunCount {
                given: runs.len(),
                most: MAX_RUNS,
            });
        }
        let names = names(runs);
        let read = runs.iter().zip(names);
        let read = read.map(|(run, name)| RunData::read(run, name, options));
        let read: Vec<RunData<'_>> = read.collect::<Result<_>>()?;
        let comparison = (runs.len() > 1).then(|| compare(runs, options)).transpose()?;
        let (plots, missing) = plots(&read);
        let told = |run: RunData<'_>| Told {
            name: run.name,
            summary: run.summary,
            kv: run.kv,
            slowest: run.slowest,
        };
        Ok(Self {
            runs: read.into_iter().map(told).collect(),
            comparison,
            plots,
            missing,
        })
    }

    /// The plots, in the order of the page.
    pub fn plots(&self) -> &[Plot] {
        &self.plots
    }

    /// Plots that the runs hold nothing for.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// A plot by its name.
    ///
    /// # Errors
    /// [`AnalysisError::NoPlot`] if the runs hold nothing for it, [`AnalysisError::UnknownPlot`] if there is none of that
    /// name.
    pub fn plot(&self, id: &str) -> Result<&Plot> {
        if let Some(plot) = self.plots.iter().find(|plot| plot.id == id) {
            return Ok(plot);
        }
        let id = id.to_owned();
        match self.missing.iter().find(|missing| missing.id == id) {
            Some(missing) => Err(AnalysisError::NoPlot {
                id,
                reason: missing.reason.clone(),
            }),
            None => Err(AnalysisError::UnknownPlot {
                id,
                known: self.plots.iter().map(|plot| plot.id.clone()).collect(),
            }),
        }
    }

    /// The page: one HTML file that loads nothing.
    pub fn html(&self) -> String {
        page::html(self)
    }
}

fn plots(runs: &[RunData<'_>]) -> (Vec<Plot>, Vec<Missing>) {
    let frame = Frame {
        runs,
        clock: Clock::of(runs),
    };
    let mut made: Vec<Made> = time::plots(&frame);
    made.extend(latency::plots(&frame));
    made.extend(time::step_plots(&frame));
    made.extend(latency::step_plots(&frame));
    made.extend(cache::plots(&frame));
    let (mut plots, mut missing) = (Vec::new(), Vec::new());
    for made in made {
        match made {
            Ok(plot) => plots.push(plot),
            Err(absence) => missing.push(absence),
        }
    }
    if runs.len() > 1 {
        plots.extend(latency::heat_maps_by_run(&frame));
    }
    for plot in &mut plots {
        if let Body::Lines(lines) = &mut plot.body {
            // A curve by itself may still be one run's of several.
            lines.named = runs.len() > 1 || lines.series.len() > 1;
        }
    }
    (plots, missing)
}

/// What runs are called: their identifiers, with a number where one is there twice.
fn names(runs: &[&Run]) -> Vec<String> {
    let name = |(at, run): (usize, &&Run)| {
        let before = runs
            .iter()
            .take(at)
            .filter(|other| other.id() == run.id())
            .count();
        if before == 0 {
            run.id().to_owned()
        } else {
            format!("{} ({})", run.id(), before + 1)
        }
    };
    runs.iter().enumerate().map(name).collect()
}
