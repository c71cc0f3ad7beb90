//! The comparison for people.

use super::{Candidate, Comparison, MetricComparison, Outcome, QuantileComparison, Verdict};
use crate::render::number::{count_with_unit, significant, spoken, with_unit};
use crate::render::{Document, Table};
use crate::stats::Shift;

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            expression, run_id, ..
        } = self;
        match self.found {
            None => write!(
                f,
                "`{expression}` can't be told for {run_id}: a run does not know it"
            ),
            Some(_) if self.fails => write!(f, "`{expression}` holds for {run_id}"),
            Some(_) if self.noise => write!(f, "`{expression}` is passed by {run_id}, but that can be noise"),
            Some(_) => write!(f, "`{expression}` does not hold for {run_id}"),
        }
    }
}

impl Comparison {
    /// Renders it for a terminal.
    pub fn text(&self) -> String {
        self.document().text()
    }

    /// Renders it as Markdown.
    pub fn markdown(&self) -> String {
        self.document().markdown()
    }

    /// Renders it as JSON.
    ///
    /// # Errors
    /// None in practice: every key is text and every number finite or null.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    pub(crate) fn document(&self) -> Document {
        let mut out = Document::default();
        for candidate in &self.candidates {
            out.heading(format!(
                "{} against {}",
                candidate.side.run_id, self.baseline.run_id
            ));
            out.paragraph(match candidate.paired_requests {
                Some(pairs) => format!("the same {pairs} requests in both: compared pair by pair"),
                None => "different requests: compared as two samples".to_owned(),
            });
            out.table(latencies(candidate));
            out.table(self.figures(candidate));
            out.paragraph(if candidate.metrics.iter().all(|metric| metric.verdict == Verdict::TooFew) {
                "nothing was tested: there are too few finished requests in both"
            } else if candidate.differs() {
                "differences marked * hold when all tests are considered (false alarms: 1 % of comparisons); unsure: the \
                 interval excludes 0, which one of so many can by chance; the rest can be noise"
            } else {
                "no difference beyond noise"
            });
        }
        let sides = std::iter::once(&self.baseline).chain(self.candidates.iter().map(|one| &one.side));
        let notes = sides.flat_map(|side| side.notes.iter().map(|note| format!("{}: {note}", side.run_id)));
        out.notes(&notes.collect::<Vec<_>>());
        out
    }

    fn figures(&self, candidate: &Candidate) -> Table {
        let mut table = Table::new([
            "one figure a run, no test",
            &self.baseline.run_id,
            &candidate.side.run_id,
            "change",
        ]);
        for figure in &self.baseline.figures {
            let other = candidate.side.figure(figure.name);
            let show =
                |value: Option<f64>| value.map_or(String::new(), |value| with_unit(value, figure.unit));
            let change = figure.value.zip(other).and_then(|(a, b)| crate::num::ratio(b, a));
            if figure.value.is_some() || other.is_some() {
                let change = change.map_or(String::new(), change_text);
                table.row([spoken(figure.name), show(figure.value), show(other), change]);
            }
        }
        table
    }
}

fn latencies(candidate: &Candidate) -> Table {
    let mut table = Table::new(["", "baseline", "candidate", "change", "95 % interval", ""]);
    for metric in &candidate.metrics {
        // A shift is no change of two figures: its row has none.
        table.row(line(
            format!("{}, shift of the typical request", spoken(&metric.label.name)),
            [String::new(), String::new()],
            metric.shift,
            metric.verdict,
        ));
        table.row(means_line(metric));
        for quantile in &metric.quantiles {
            table.row(quantile_line(metric, quantile));
        }
    }
    table
}

/// The means, which no test is made of: one slow request can move them.
fn means_line(metric: &MetricComparison) -> Vec<String> {
    let [a, b] = metric.means;
    let change = a.zip(b).and_then(|(a, b)| crate::num::ratio(b, a));
    let show = |mean: Option<f64>| mean.map_or(String::new(), |mean| with_unit(mean, &metric.label.unit));
    let change = change.map_or(String::new(), change_text);
    let cells = ["  mean".to_owned(), show(a), show(b), change];
    cells
        .into_iter()
        .chain([String::new(), "not tested".to_owned()])
        .collect()
}

fn quantile_line(metric: &MetricComparison, quantile: &QuantileComparison) -> Vec<String> {
    let values = quantile
        .values
        .map(|value| count_with_unit(value, &metric.label.unit));
    line(
        format!("  p{}", quantile.q * 100.0),
        values,
        quantile.ratio,
        quantile.verdict,
    )
}

fn line(name: String, [a, b]: [String; 2], shift: Option<Shift>, verdict: Verdict) -> Vec<String> {
    let change = shift.map_or(String::new(), |shift| change_text(shift.ratio));
    let interval = shift.map_or(String::new(), |shift| {
        format!("{} to {}", change_text(shift.low), change_text(shift.high))
    });
    let said = match verdict {
        Verdict::Higher => "* higher",
        Verdict::Lower => "* lower",
        Verdict::Negligible => "negligible",
        Verdict::Unsure => "unsure",
        Verdict::Noise => "noise",
        Verdict::TooFew => "too few values",
    };
    vec![name, a, b, change, interval, said.to_owned()]
}

fn change_text(ratio: f64) -> String {
    let change = (ratio - 1.0) * 100.0;
    let sign = if change >= 0.0 { "+" } else { "" };
    if ratio > 100.0 {
        format!("x {}", significant(ratio))
    } else {
        format!("{sign}{} %", significant(change))
    }
}
