//! What is recorded: drawn once, the same in every run.

/// How many values there are; small enough to stay in the second-level cache.
pub const COUNT: usize = 16_384;

/// Latencies, as integers and as floats.
#[derive(Debug)]
pub struct Values {
    /// Nanoseconds.
    pub ns: Vec<u64>,
    /// The same in seconds.
    pub seconds: Vec<f64>,
}

impl Values {
    /// Draws log-normal latencies: median 50 ms, sigma 1.5, between 1 us and 100 s.
    pub fn latencies(seed: u64) -> Self {
        Self::log_normal(seed, COUNT, 50e6, 1.5)
    }

    /// Draws log-normal values, clamped to 1 us and 100 s.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped to what fits"
    )]
    pub fn log_normal(seed: u64, count: usize, median_ns: f64, sigma: f64) -> Self {
        let mut random = Random(seed);
        let draw = |_| (median_ns * (sigma * random.normal()).exp()).clamp(1e3, 1e11) as u64;
        let ns: Vec<u64> = (0..count).map(draw).collect();
        let seconds = ns.iter().map(|ns| *ns as f64 * 1e-9).collect();
        Self { ns, seconds }
    }
}

/// `SplitMix64`: few lines, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Box and Muller's way to a normal variate.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}
