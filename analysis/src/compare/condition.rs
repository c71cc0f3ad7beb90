//! Conditions that make a comparison fail, for continuous integration.
//!
//! ```text
//! ttft_p99>+5%        the candidate's p99 TTFT is over 5 % above the baseline's, and that is no noise
//! tpot>+2%            the same for the shift of all values
//! e2e_p90>30s         the candidate's p90 is above an absolute value
//! hit_rate<0.3        a figure of the candidate
//! tokens_per_s<-10%   a figure against the baseline's
//! ```

use super::load::LATENCIES;
use super::{COMPARED_QUANTILES, Candidate, Comparison, Verdict};
use crate::error::{AnalysisError, Result};
use crate::num::float;
use crate::stats::Shift;

/// A condition on a candidate run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Condition {
    expression: String,
    metric: String,
    /// For latencies; `None` is the shift, or the mean for an absolute limit.
    quantile: Option<f64>,
    above: bool,
    limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Limit {
    /// A change against the baseline: 0.05 is 5 % more.
    Change(f64),
    /// A value of the candidate.
    Value(f64),
}

/// What a metric is measured in, and so how its limit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Time,
    Share,
    Number,
}

impl Measure {
    fn of(metric: &str) -> Self {
        if SHARES.contains(&metric) {
            Self::Share
        } else if FIGURES.contains(&metric) {
            Self::Number
        } else {
            Self::Time
        }
    }
}

/// What a condition came to for one candidate.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The condition.
    pub expression: String,
    /// The candidate.
    pub run_id: String,
    /// Whether it holds, so that the comparison fails.
    pub fails: bool,
    /// What was compared with the limit: a change, or a value; `None` where a run does not know it.
    pub found: Option<f64>,
    /// Whether the limit is passed and that can still be noise.
    pub noise: bool,
}

/// Figures that conditions can name.
const FIGURES: [&str; 11] = [
    "requests",
    "requests_per_s",
    "tokens_per_s",
    "prompt_tokens_per_s",
    "hit_rate",
    "kv_usage",
    "busy",
    "preemptions",
    "evictions",
    "recomputed",
    "joules_per_token",
];

/// Figures that are shares of one.
const SHARES: [&str; 4] = ["hit_rate", "kv_usage", "busy", "recomputed"];

impl Condition {
    /// Every name that a condition can begin with.
    pub fn names() -> Vec<String> {
        let latencies = LATENCIES.iter().flat_map(|(name, _)| {
            let quantiles = COMPARED_QUANTILES.map(|q| format!("{name}_p{:.0}", q * 100.0));
            std::iter::once((*name).to_owned()).chain(quantiles)
        });
        latencies.chain(FIGURES.map(str::to_owned)).collect()
    }

    /// Parses a condition.
    ///
    /// # Errors
    /// [`AnalysisError::Condition`] with the place of what can't be understood, [`AnalysisError::UnknownMetric`] for a
    /// name that there is not.
    pub fn parse(expression: &str) -> Result<Self> {
        let fail = |problem: &str, at: usize| AnalysisError::Condition {
            expression: expression.to_owned(),
            problem: problem.to_owned(),
            at: expression.get(..at).map_or(at, |before| before.chars().count()) + 1,
        };
        let at = expression
            .find(['<', '>'])
            .ok_or_else(|| fail("`<` or `>` is missing", expression.len()))?;
        let (name, rest) = expression.split_at(at);
        let above = rest.starts_with('>');
        let limit = rest.get(1..).unwrap_or("");
        let limit_at = at + 1 + (limit.len() - limit.trim_start().len());
        let (metric, quantile) = metric(name.trim()).ok_or_else(|| AnalysisError::UnknownMetric {
            name: name.trim().to_owned(),
            known: Self::names(),
        })?;
        let limit =
            Limit::parse(limit.trim(), Measure::of(&metric)).map_err(|problem| fail(problem, limit_at))?;
        Ok(Self {
            expression: expression.to_owned(),
            metric,
            quantile,
            above,
            limit,
        })
    }

    /// Looks whether it holds for each candidate.
    pub fn check(&self, comparison: &Comparison) -> Vec<Outcome> {
        let check = |candidate: &Candidate| {
            let found = self.found(comparison, candidate);
            let passed = found.is_some_and(|(value, _)| {
                if self.above {
                    value > self.limit()
                } else {
                    value < self.limit()
                }
            });
            let sure = found.is_some_and(|(_, sure)| sure);
            Outcome {
                expression: self.expression.clone(),
                run_id: candidate.side.run_id.clone(),
                fails: passed && sure,
                found: found.map(|(value, _)| value),
                noise: passed && !sure,
            }
        };
        comparison.candidates.iter().map(check).collect()
    }

    fn limit(&self) -> f64 {
        match self.limit {
            Limit::Change(limit) | Limit::Value(limit) => limit,
        }
    }

    /// What is compared with the limit, and whether it is no noise.
    fn found(&self, comparison: &Comparison, candidate: &Candidate) -> Option<(f64, bool)> {
        let Some(metric) = candidate.metric(&self.metric) else {
            let value = candidate.side.figure(&self.metric)?;
            let found = match self.limit {
                Limit::Value(_) => value,
                Limit::Change(_) => {
                    crate::num::ratio(value, comparison.baseline.figure(&self.metric)?)? - 1.0
                }
            };
            return Some((found, true));
        };
        let sure =
            |shift: Option<Shift>, verdict: Verdict| Some((shift?.ratio - 1.0, verdict.is_difference()));
        let quantile = self
            .quantile
            .and_then(|q| metric.quantiles.iter().find(|found| (found.q - q).abs() < 1e-9));
        match (self.limit, self.quantile) {
            (Limit::Change(_), None) => sure(metric.shift, metric.verdict),
            (Limit::Change(_), Some(_)) => quantile.and_then(|found| sure(found.ratio, found.verdict)),
            (Limit::Value(_), None) => metric.means[1].map(|mean| (mean, true)),
            (Limit::Value(_), Some(_)) => quantile.map(|found| (float(found.values[1]), true)),
        }
    }
}

impl std::str::FromStr for Condition {
    type Err = AnalysisError;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// A metric and its quantile.
fn metric(name: &str) -> Option<(String, Option<f64>)> {
    if FIGURES.contains(&name) || LATENCIES.iter().any(|(known, _)| *known == name) {
        return Some((name.to_owned(), None));
    }
    let (base, quantile) = name.rsplit_once("_p")?;
    let q = COMPARED_QUANTILES
        .into_iter()
        .find(|q| format!("{:.0}", q * 100.0) == quantile)?;
    LATENCIES
        .iter()
        .any(|(known, _)| *known == base)
        .then(|| (base.to_owned(), Some(q)))
}

impl Limit {
    fn parse(text: &str, measure: Measure) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("a limit is missing");
        }
        let signed = text.starts_with(['+', '-']);
        if let Some(percent) = text.strip_suffix('%') {
            let share = number(percent).ok_or("a number is missing before `%`")? / 100.0;
            return match measure {
                _ if signed => Ok(Self::Change(share)),
                Measure::Share => Self::share(share),
                Measure::Time | Measure::Number => {
                    Err("a change begins with `+` or `-`, such as `+5%`; a sign is missing")
                }
            };
        }
        if signed {
            return Err("a change ends in `%`, such as `+5%`; `%` is missing");
        }
        for (unit, ns) in [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)] {
            if let Some(value) = text.strip_suffix(unit).filter(|_| measure == Measure::Time) {
                return number(value)
                    .map(|value| Self::Value(value * ns))
                    .ok_or("a number is missing before the unit");
            }
        }
        match (number(text), measure) {
            (None, Measure::Time) => {
                Err("the limit is no number with `%`, `ns`, `us`, `ms` or `s` behind it")
            }
            (None, _) => Err("the limit is no number with `%` or nothing behind it"),
            (Some(_), Measure::Time) => Err("a unit is missing: a latency is in `ns`, `us`, `ms` or `s`"),
            (Some(value), Measure::Share) => Self::share(value),
            (Some(value), Measure::Number) => Ok(Self::Value(value)),
        }
    }

    fn share(value: f64) -> Result<Self, &'static str> {
        if value > 1.0 {
            return Err("a share is at most 1, or 100%; perhaps `%` is missing");
        }
        Ok(Self::Value(value))
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn conditions_are_understood() {
        let parsed = Condition::parse("ttft_p99>+5%").unwrap();
        assert_eq!(
            (parsed.metric.as_str(), parsed.quantile, parsed.above),
            ("ttft", Some(0.99), true)
        );
        assert_eq!(parsed.limit, Limit::Change(0.05));
        assert_eq!(
            Condition::parse(" hit_rate < 0.3").unwrap().limit,
            Limit::Value(0.3)
        );
        assert_eq!(Condition::parse("hit_rate<30%").unwrap().limit, Limit::Value(0.3));
        assert_eq!(
            Condition::parse("e2e_p90>1.5s").unwrap().limit,
            Limit::Value(1.5e9)
        );
        assert_eq!(
            Condition::parse("tokens_per_s<-10%").unwrap().limit,
            Limit::Change(-0.1)
        );
        assert!(
            Condition::names()
                .iter()
                .all(|name| Condition::parse(&format!("{name}>+1%")).is_ok())
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let told = |text: &str| Condition::parse(text).unwrap_err().to_string();
        assert!(told("ttft_p99").contains("`<` or `>` is missing at character 9"));
        assert!(told("ttft_p99>fast").contains("at character 10"));
        assert!(told("ttft_p99>").contains("a limit is missing"));
        assert!(told("tfft>+5%").contains("`tfft` is not a metric") && told("tfft>+5%").contains("ttft_p99"));
        assert!(told("ttft_p98>+5%").contains("not a metric"));
    }

    #[test]
    fn a_forgotten_unit_is_no_limit() {
        let told = |text: &str| Condition::parse(text).unwrap_err().to_string();
        for text in ["ttft_p99>+5", "tokens_per_s<-10", "ttft>+5ms"] {
            assert!(told(text).contains("`%` is missing"), "{text}: {}", told(text));
        }
        for text in ["ttft_p99>5", "e2e>0"] {
            assert!(told(text).contains("a unit is missing"), "{text}: {}", told(text));
        }
        for text in ["ttft>5%", "requests<30%"] {
            assert!(told(text).contains("a sign is missing"), "{text}: {}", told(text));
        }
        for text in ["hit_rate<25", "busy<1.01", "kv_usage>101%"] {
            assert!(
                told(text).contains("a share is at most 1"),
                "{text}: {}",
                told(text)
            );
        }
        assert!(told("requests<3s").contains("no number"));
        assert!(Condition::parse("hit_rate<1").is_ok() && Condition::parse("requests<3000").is_ok());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,24}") {
            let _ = Condition::parse(&text);
        }
    }
}
