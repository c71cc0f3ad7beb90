//! Survival of things some of which outlive the recording.

use super::{CONFIDENCE, z};
use crate::num::float;
use std::collections::BTreeMap;

/// The Kaplan-Meier estimate of a survival function.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Survival {
    /// Lives that ended.
    pub events: u64,
    /// Lives whose end was not seen.
    pub censored: u64,
    /// The estimate after each time at which lives ended, ascending.
    pub points: Vec<SurvivalPoint>,
}

/// The estimate from one time on.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct SurvivalPoint {
    /// The time.
    pub time_ns: u64,
    /// The share that lives longer.
    pub share: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// Lives that were under observation just before.
    pub at_risk: u64,
}

impl Survival {
    /// Estimates from times of ended lives and of censored ones, each with how many there are. A life censored at the
    /// time at which others end counts as living then.
    ///
    /// Intervals are Greenwood's on the log-log scale, which stays within 0 and 1.
    pub fn estimate(ended: &BTreeMap<u64, u64>, censored: &BTreeMap<u64, u64>) -> Self {
        let (events, lost) = (ended.values().sum(), censored.values().sum());
        let mut out = Self {
            events,
            censored: lost,
            points: Vec::with_capacity(ended.len()),
        };
        let mut at_risk: u64 = events + lost;
        let mut censored = censored.iter().peekable();
        let (mut share, mut greenwood) = (1.0, 0.0);
        for (&time_ns, &deaths) in ended {
            while let Some((_, count)) = censored.next_if(|(time, _)| **time < time_ns) {
                at_risk = at_risk.saturating_sub(*count);
            }
            let (risk, dying) = (float(at_risk), float(deaths));
            share *= 1.0 - dying / risk;
            greenwood += if at_risk > deaths {
                dying / (risk * (risk - dying))
            } else {
                0.0
            };
            let (low, high) = interval(share, greenwood);
            out.points.push(SurvivalPoint {
                time_ns,
                share,
                low,
                high,
                at_risk,
            });
            at_risk = at_risk.saturating_sub(deaths);
        }
        out
    }

    /// The share that lives longer than a time.
    pub fn at(&self, time_ns: u64) -> f64 {
        let after = self.points.partition_point(|point| point.time_ns <= time_ns);
        after
            .checked_sub(1)
            .and_then(|at| self.points.get(at))
            .map_or(1.0, |point| point.share)
    }

    /// The time by which a share of the lives has ended; `None` when the recording was too short to see it.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        self.points
            .iter()
            .find(|point| point.share <= 1.0 - q)
            .map(|point| point.time_ns)
    }

    /// About `count` points that keep the curve's shape.
    #[must_use]
    pub fn decimated(&self, count: usize) -> Vec<SurvivalPoint> {
        let step = self.points.len().div_ceil(count.max(1)).max(1);
        let last = self
            .points
            .last()
            .filter(|_| !(self.points.len().max(1) - 1).is_multiple_of(step));
        self.points.iter().step_by(step).chain(last).copied().collect()
    }
}

fn interval(share: f64, greenwood: f64) -> (f64, f64) {
    if share <= 0.0 || share >= 1.0 {
        return (share, share);
    }
    let log = share.ln();
    let reach = z(0.5 + CONFIDENCE / 2.0) * greenwood.sqrt() / log;
    let ends = (share.powf((-reach).exp()), share.powf(reach.exp()));
    (ends.0.min(ends.1), ends.0.max(ends.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_textbook_estimate() {
        // Freireich et al. 1963, 6-mercaptopurine: remission in weeks, + censored.
        let ended = BTreeMap::from([(6, 3), (7, 1), (10, 1), (13, 1), (16, 1), (22, 1), (23, 1)]);
        let censored = [6, 9, 10, 11, 17, 19, 20, 25, 34, 35]
            .into_iter()
            .map(|time| (time, 1));
        let mut censored: BTreeMap<u64, u64> = censored.collect();
        *censored.entry(32).or_default() += 2;
        let found = Survival::estimate(&ended, &censored);
        let expected = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448];
        for (point, expected) in found.points.iter().zip(expected) {
            assert!((point.share - expected).abs() < 0.0006, "{point:?}");
        }
        assert_eq!((found.quantile(0.5), found.quantile(0.9)), (Some(23), None));
        assert!((found.at(8) - 0.807).abs() < 0.001 && found.at(5) > 0.999);
    }

    #[test]
    fn without_censoring_it_is_the_share() {
        let ended: BTreeMap<u64, u64> = (1..=10).map(|time| (time, 1)).collect();
        let found = Survival::estimate(&ended, &BTreeMap::new());
        for point in &found.points {
            assert!((point.share - (1.0 - float(point.time_ns) / 10.0)).abs() < 1e-12);
            assert!(point.low <= point.share && point.share <= point.high);
        }
    }
}
