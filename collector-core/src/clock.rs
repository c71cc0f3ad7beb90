//! Time as a trait, so that tests and simulated devices own it.
//!
//! Every row carries one monotonic reading. Wall-clock time is that reading plus the run's [`ClockAnchor`]: a step of
//! the system's wall clock in mid-run then can't tear a latency or reorder rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
///
/// # Contract
/// `monotonic_ns` never decreases, on any thread. `wall_ns` may.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Reads nanoseconds since an arbitrary origin, never decreasing.
    fn monotonic_ns(&self) -> u64;

    /// Reads nanoseconds since 1970-01-01 UTC.
    fn wall_ns(&self) -> u64;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn monotonic_ns(&self) -> u64 {
        (**self).monotonic_ns()
    }

    fn wall_ns(&self) -> u64 {
        (**self).wall_ns()
    }
}

/// The operating system's clocks; the monotonic one counts from the value's creation.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Makes a clock whose monotonic reading starts at 0 now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wall_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told: for tests, and for simulated devices.
///
/// ```
/// use kvlens_core::{Clock, ManualClock};
/// let clock = ManualClock::new(1_000);
/// clock.advance(5);
/// assert_eq!(clock.monotonic_ns(), 5);
/// assert_eq!(clock.wall_ns(), 1_005);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicU64,
    wall_at_zero: u64,
}

impl ManualClock {
    /// Makes a clock that reads 0, with the given wall-clock time at 0.
    pub fn new(wall_at_zero: u64) -> Self {
        Self {
            now: AtomicU64::new(0),
            wall_at_zero,
        }
    }

    /// Moves time forward.
    pub fn advance(&self, ns: u64) {
        self.now.fetch_add(ns, Ordering::Relaxed);
    }

    /// Moves time to the given reading; a reading in the past is ignored.
    pub fn advance_to(&self, ns: u64) {
        self.now.fetch_max(ns, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn monotonic_ns(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn wall_ns(&self) -> u64 {
        self.wall_at_zero.saturating_add(self.monotonic_ns())
    }
}

/// Ties one monotonic clock to UTC, once a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockAnchor {
    /// The monotonic reading at the anchor.
    pub monotonic_ns: u64,
    /// UTC nanoseconds since 1970 at the anchor.
    pub wall_ns: u64,
    /// How far the two readings may lie apart: the time that taking them took.
    pub uncertainty_ns: u64,
}

impl ClockAnchor {
    /// Reads both clocks, the wall clock between two monotonic readings; keeps the tightest of a few tries.
    pub fn take(clock: &dyn Clock) -> Self {
        const TRIES: usize = 5;
        let once = || {
            let before = clock.monotonic_ns();
            let wall_ns = clock.wall_ns();
            let after = clock.monotonic_ns();
            let width = after.saturating_sub(before);
            Self {
                monotonic_ns: before + width / 2,
                wall_ns,
                uncertainty_ns: width,
            }
        };
        (0..TRIES)
            .map(|_| once())
            .min_by_key(|a| a.uncertainty_ns)
            .unwrap_or_default()
    }

    /// Turns a monotonic reading into UTC nanoseconds; saturates at the ends of `u64`.
    pub fn to_wall(&self, monotonic_ns: u64) -> u64 {
        if monotonic_ns >= self.monotonic_ns {
            self.wall_ns.saturating_add(monotonic_ns - self.monotonic_ns)
        } else {
            self.wall_ns.saturating_sub(self.monotonic_ns - monotonic_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchor_maps_both_directions() {
        let anchor = ClockAnchor {
            monotonic_ns: 100,
            wall_ns: 1_000,
            uncertainty_ns: 0,
        };
        assert_eq!(anchor.to_wall(150), 1_050);
        assert_eq!(anchor.to_wall(50), 950);
        assert_eq!(anchor.to_wall(u64::MAX), u64::MAX, "saturates");
    }

    #[test]
    fn manual_clock_never_goes_back() {
        let clock = ManualClock::new(0);
        clock.advance_to(10);
        clock.advance_to(5);
        assert_eq!(clock.monotonic_ns(), 10);
    }
}
