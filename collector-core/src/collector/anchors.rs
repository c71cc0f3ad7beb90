//! The monotonic clock against the wall clock, from the start of a run to its end.
//!
//! Rows are placed by the first anchor alone, so that latencies are never torn. The later ones say how far the wall
//! clock has moved against that since, which is what a comparison with another machine's rows has to allow for.

use crate::clock::{Clock, ClockAnchor};

/// Time between anchors, at first.
const INTERVAL_NS: u64 = 60_000_000_000;
/// The most anchors kept: then every second one goes, and the time between them doubles.
const MOST: usize = 32;

/// The anchors of a run.
#[derive(Debug)]
pub(super) struct Anchors {
    list: Vec<ClockAnchor>,
    interval_ns: u64,
    next_ns: u64,
}

impl Anchors {
    pub(super) fn new(first: ClockAnchor) -> Self {
        Self {
            list: vec![first],
            interval_ns: INTERVAL_NS,
            next_ns: first.monotonic_ns.saturating_add(INTERVAL_NS),
        }
    }

    /// Takes another one if it is time.
    pub(super) fn look(&mut self, now_ns: u64, clock: &dyn Clock) {
        if now_ns < self.next_ns {
            return;
        }
        self.list.push(ClockAnchor::take(clock));
        if self.list.len() >= MOST {
            let mut at = 0;
            self.list.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.interval_ns = self.interval_ns.saturating_mul(2);
        }
        self.next_ns = now_ns.saturating_add(self.interval_ns);
    }

    /// All of them, with one of now.
    pub(super) fn ended(&self, clock: &dyn Clock) -> Vec<ClockAnchor> {
        let mut all = self.list.clone();
        all.push(ClockAnchor::take(clock));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn anchors_thin_out_and_keep_the_first_and_the_last() {
        let clock = ManualClock::new(1_000);
        let first = ClockAnchor::take(&clock);
        let mut anchors = Anchors::new(first);
        for _ in 0..100_000 {
            clock.advance(INTERVAL_NS / 4);
            anchors.look(clock.monotonic_ns(), &clock);
            assert!(anchors.list.len() < MOST);
        }
        clock.advance(1);
        let all = anchors.ended(&clock);
        assert_eq!(all.first(), Some(&first));
        assert_eq!(all.last().unwrap().monotonic_ns, clock.monotonic_ns());
        assert!(
            all.len() > MOST / 4
                && all
                    .windows(2)
                    .all(|two| two[0].monotonic_ns < two[1].monotonic_ns)
        );
    }
}
