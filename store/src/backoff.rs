//! When to try again.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after so many failures in a row: doubled each time up to [`LONGEST`], then shortened by up to a half at
/// random, so that many processes that met the same outage don't come back together.
pub(crate) fn wait(failures: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_scatter() {
        for (failures, most) in [
            (1, 250),
            (2, 500),
            (5, 4_000),
            (8, 30_000),
            (40, 30_000),
            (u32::MAX, 30_000),
        ] {
            let waits: Vec<_> = (0..100).map(|_| wait(failures)).collect();
            let (least, most) = (Duration::from_millis(most / 2), Duration::from_millis(most));
            assert!(
                waits.iter().all(|wait| (least..=most).contains(wait)),
                "{failures}: {waits:?}"
            );
            assert!(waits.iter().any(|wait| wait != &waits[0]), "{failures}");
        }
    }
}
