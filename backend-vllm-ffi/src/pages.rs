//! Metrics pages that are pushed while an engine's own figures can't be had.

use crate::feed::Feed;
use crate::figures::Origin;
use crate::metrics::{COUNTERS, GAUGES, HISTOGRAMS};
use crate::prometheus::{FixedValues, Page};
use kvlens_core::histogram::FixedHistogram;
use kvlens_core::source::MetricId;

/// What is kept of pages from one to the next.
///
/// A page counts from the engine's start, a feed from its own; the baseline, a page from when the feed was attached,
/// ties them. So a page that comes after a gap says exactly what the gap held.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    baseline: Option<Page>,
    last: Option<Page>,
    /// What pages added to histograms since the feed was attached.
    fixed: Vec<(usize, FixedHistogram)>,
}

impl Pages {
    /// What pages recorded of a metric, by its place in the source's list.
    pub(crate) fn fixed(&self, metric: usize) -> Option<&FixedHistogram> {
        self.fixed
            .iter()
            .find(|(known, _)| *known == metric)
            .map(|(_, fixed)| fixed)
    }

    fn add(&mut self, metric: usize, delta: &FixedHistogram) {
        match self.fixed.iter_mut().find(|(known, _)| *known == metric) {
            Some((_, all)) => {
                if all.merge(delta).is_err() {
                    all.clone_from(delta);
                }
            }
            None => self.fixed.push((metric, delta.clone())),
        }
    }
}

impl Feed {
    /// Remembers what a page said when the feed was attached, without recording it.
    pub fn page_baseline(&mut self, page: Page) {
        self.pages.baseline = Some(page);
    }

    /// Takes a page in place of steps: counters catch up with it, gauges are set, and histograms get what it recorded
    /// since the page before.
    ///
    /// The first page after a time of steps only starts its histograms, since what it holds of that time is recorded.
    pub fn page(&mut self, page: Page, origin: Origin) {
        let continues = self.shared.origin() == Some(origin);
        self.set_origin(origin);
        let baseline = self.pages.baseline.get_or_insert_with(|| page.clone()).clone();
        for (at, metric) in COUNTERS.iter().enumerate() {
            let Some(now) = page.total(metric) else { continue };
            let truth = now.saturating_sub(baseline.total(metric).unwrap_or(0));
            let missing = truth.saturating_sub(self.total(at));
            self.catch_up(at, missing);
        }
        for (at, metric) in GAUGES.iter().enumerate() {
            if let Some(value) = page.number(metric) {
                self.gauge_at(at, value);
            }
        }
        let never_fed = self.total(crate::metrics::Count::Steps as usize) == 0;
        let before = self
            .pages
            .last
            .take()
            .filter(|_| continues)
            .or(never_fed.then_some(baseline));
        for (at, metric) in HISTOGRAMS.iter().enumerate() {
            let Some(now) = page.histogram(metric) else {
                continue;
            };
            let then: Option<&FixedValues> = match &before {
                Some(before) => before.histogram(metric),
                None => Some(now),
            };
            self.record_fixed(at, &now.since(then));
        }
        self.pages.last = Some(page);
        self.learn();
    }

    fn record_fixed(&mut self, histogram: usize, delta: &FixedHistogram) {
        let metric = COUNTERS.len() + GAUGES.len() + histogram;
        self.learn_metric(metric);
        self.pages.add(metric, delta);
        self.shared.add_fixed(MetricId(metric), delta.clone());
    }
}
