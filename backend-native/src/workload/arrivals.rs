//! When requests arrive.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// When the requests of a workload reach the engine.
///
/// ```
/// use kvlens_native::workload::Arrivals;
/// assert_eq!("trace".parse::<Arrivals>()?.with_speed(10.0)?.to_string(), "trace at 10 times its speed");
/// assert_eq!("closed:8".parse::<Arrivals>()?.to_string(), "closed:8");
/// let error = "closed:0".parse::<Arrivals>().unwrap_err().to_string();
/// assert!(error.contains("at least 1"), "{error}");
/// # Ok::<(), kvlens_native::workload::ArrivalsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Arrivals {
    /// At the times that the requests carry, counted from the start of the replay.
    Trace {
        /// How many times faster than that; above 0.
        speed: f64,
    },
    /// All at once, at the start.
    Burst,
    /// A new one whenever fewer than this many are under way: a closed loop.
    Closed {
        /// How many are kept under way.
        in_flight: NonZeroUsize,
    },
}

/// Arrivals that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrivalsError {
    /// The text names no kind of arrivals.
    #[error("`{found}` names no arrivals: write trace, burst or closed:N with N requests in flight")]
    Unknown {
        /// The text.
        found: String,
    },
    /// The number of requests in flight is none.
    #[error(
        "`closed:{found}` keeps no number of requests in flight: give a whole number, at least 1, as in closed:8"
    )]
    InFlight {
        /// What stands for the number.
        found: String,
    },
    /// The speed is no speed.
    #[error("the speed is {found}: it must be a number above 0, such as 2 for twice as fast")]
    Speed {
        /// The speed.
        found: f64,
    },
    /// There is a speed, and nothing that it could change.
    #[error("a speed was given for `{arrivals}`: only arrivals as in the trace have one")]
    SpeedWithoutTimes {
        /// The arrivals.
        arrivals: String,
    },
}

impl Arrivals {
    /// Arrivals as in the trace, at its own speed.
    pub const AS_RECORDED: Self = Self::Trace { speed: 1.0 };

    /// Sets the speed of arrivals as in the trace.
    ///
    /// # Errors
    /// If the speed is not a finite number above 0, or if arrivals have no times (unless it is 1, which changes
    /// nothing).
    pub fn with_speed(self, speed: f64) -> Result<Self, ArrivalsError> {
        if !(speed.is_finite() && speed > 0.0) {
            return Err(ArrivalsError::Speed { found: speed });
        }
        match self {
            Self::Trace { .. } => Ok(Self::Trace { speed }),
            #[expect(clippy::float_cmp, reason = "exactly the value that changes nothing")]
            _ if speed == 1.0 => Ok(self),
            _ => Err(ArrivalsError::SpeedWithoutTimes {
                arrivals: self.to_string(),
            }),
        }
    }

    /// The most requests that are under way at once.
    pub(crate) fn in_flight(self) -> usize {
        match self {
            Self::Closed { in_flight } => in_flight.get(),
            _ => usize::MAX,
        }
    }

    /// How long after the start a request that carries `arrival_ns` is due at the earliest.
    pub(crate) fn due_ns(self, arrival_ns: u64) -> u64 {
        match self {
            // The common case stays exact.
            Self::Trace { speed: 1.0 } => arrival_ns,
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a time divided by a speed is not exact anyway; the cast back saturates"
            )]
            Self::Trace { speed } => (arrival_ns as f64 / speed).round() as u64,
            Self::Burst | Self::Closed { .. } => 0,
        }
    }
}

impl Default for Arrivals {
    fn default() -> Self {
        Self::AS_RECORDED
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace { speed: 1.0 } => f.write_str("trace"),
            Self::Trace { speed } => write!(f, "trace at {speed} times its speed"),
            Self::Burst => f.write_str("burst"),
            Self::Closed { in_flight } => write!(f, "closed:{in_flight}"),
        }
    }
}

impl FromStr for Arrivals {
    type Err = ArrivalsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "trace" => Ok(Self::AS_RECORDED),
            None if text == "burst" => Ok(Self::Burst),
            Some(("closed", count)) => {
                let in_flight = count.parse().map_err(|_| ArrivalsError::InFlight {
                    found: count.to_owned(),
                })?;
                Ok(Self::Closed { in_flight })
            }
            None if text == "closed" => Err(ArrivalsError::InFlight { found: String::new() }),
            _ => Err(ArrivalsError::Unknown {
                found: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told() {
        for text in [
            "",
            "closed",
            "closed:",
            "closed:-1",
            "closed:x",
            "closed:0",
            "open",
            "trace:2",
            "Burst",
        ] {
            let error = text.parse::<Arrivals>().unwrap_err().to_string();
            assert!(error.contains("closed:"), "{text}: {error}");
        }
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                Arrivals::AS_RECORDED.with_speed(speed),
                Err(ArrivalsError::Speed { .. })
            ));
        }
        assert!(matches!(
            Arrivals::Burst.with_speed(2.0),
            Err(ArrivalsError::SpeedWithoutTimes { .. })
        ));
        assert_eq!(Arrivals::Burst.with_speed(1.0), Ok(Arrivals::Burst));
    }

    #[test]
    fn speed_divides_times() {
        let twice = Arrivals::AS_RECORDED.with_speed(2.0).unwrap();
        assert_eq!(twice.due_ns(3_000_000_001), 1_500_000_001);
        assert_eq!(Arrivals::AS_RECORDED.due_ns(u64::MAX), u64::MAX);
        assert_eq!(Arrivals::Burst.due_ns(7), 0);
    }
}
