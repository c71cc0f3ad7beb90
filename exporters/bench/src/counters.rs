//! Time, processor time and memory of this process.

use std::fs;
use std::time::{Duration, Instant};

/// Adds up the time of the pieces that count, so that making rows does not.
#[derive(Debug, Default)]
pub struct Counters {
    wall: Duration,
    cpu_ns: u64,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Seconds spent in the pieces that count.
    pub seconds: f64,
    /// Seconds that this thread was on a processor meanwhile: what other jobs on the machine can't inflate.
    pub cpu_seconds: f64,
    /// The largest resident memory of the process so far, in MB.
    pub peak_mb: f64,
}

impl Counters {
    /// Runs a piece that counts.
    pub fn count<T>(&mut self, piece: impl FnOnce() -> T) -> T {
        let (began, cpu) = (Instant::now(), thread_cpu_ns());
        let value = piece();
        self.wall += began.elapsed();
        self.cpu_ns += thread_cpu_ns().saturating_sub(cpu);
        value
    }

    /// Reads what was measured.
    pub fn measured(&self) -> Measured {
        Measured {
            seconds: self.wall.as_secs_f64(),
            cpu_seconds: Duration::from_nanos(self.cpu_ns).as_secs_f64(),
            peak_mb: peak_mb(),
        }
    }
}

fn thread_cpu_ns() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0)
}

fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kb| kb.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) / 1024.0
}
