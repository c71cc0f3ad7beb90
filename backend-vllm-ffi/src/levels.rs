//! Gauges of several engines in one run: counts add up, shares are the mean over the engines.

use crate::feed::MAX_ENGINES;
use crate::metrics::{GAUGES, Level};

/// What each engine said last of each gauge.
#[derive(Debug)]
pub(crate) struct Levels {
    /// NaN where an engine said nothing.
    last: Vec<[f64; GAUGES.len()]>,
    /// One past the last engine that said anything.
    seen: usize,
}

impl Default for Levels {
    fn default() -> Self {
        Self {
            last: vec![[f64::NAN; GAUGES.len()]; MAX_ENGINES],
            seen: 0,
        }
    }
}

impl Levels {
    /// Takes what an engine says of a gauge, and returns what is true of all engines.
    #[inline]
    pub(crate) fn put(&mut self, engine: usize, level: Level, value: f64) -> f64 {
        if let Some(last) = self
            .last
            .get_mut(engine)
            .and_then(|last| last.get_mut(level as usize))
        {
            *last = value;
            self.seen = self.seen.max(engine + 1);
        }
        if self.seen <= 1 {
            return value;
        }
        self.over_all(level)
    }

    fn over_all(&self, level: Level) -> f64 {
        let said = self
            .last
            .iter()
            .take(self.seen)
            .filter_map(|last| last.get(level as usize).copied())
            .filter(|value| value.is_finite());
        let (sum, engines) = said.fold((0.0, 0.0), |(sum, engines), value| (sum + value, engines + 1.0));
        match level {
            Level::Usage | Level::HitRate if engines > 0.0 => sum / engines,
            _ => sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_shares_are_means() {
        let mut levels = Levels::default();
        assert_eq!(levels.put(0, Level::Running, 3.0).to_bits(), 3.0_f64.to_bits());
        assert_eq!(levels.put(2, Level::Running, 4.0).to_bits(), 7.0_f64.to_bits());
        assert_eq!(levels.put(0, Level::Running, 1.0).to_bits(), 5.0_f64.to_bits());
        assert_eq!(levels.put(2, Level::Usage, 0.5).to_bits(), 0.5_f64.to_bits());
        assert_eq!(levels.put(0, Level::Usage, 0.25).to_bits(), 0.375_f64.to_bits());
        assert_eq!(
            levels.put(MAX_ENGINES, Level::Running, 9.0).to_bits(),
            5.0_f64.to_bits()
        );
    }
}
