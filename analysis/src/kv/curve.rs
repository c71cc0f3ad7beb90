//! Miss-ratio curves: the hit rate of an LRU cache against its size.

use super::stack::{StackDistances, mix};
use crate::num::{float, len, ratio, rounded};
use crate::stats::{CONFIDENCE, z};

/// Groups that a sample is split into to tell its error.
const GROUPS: usize = 8;

/// The fewest contents that a sampled curve is made of: some dozens a group, or the groups' spread says nothing.
pub const FEWEST_CONTENTS: u64 = 200;

/// How a curve is sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ShardsOptions {
    /// The share of block contents that are followed, in (0, 1].
    pub rate: f64,
}

impl ShardsOptions {
    /// One content in a hundred.
    pub const DEFAULT_RATE: f64 = 0.01;

    /// Accesses up to which [`fitting`](Self::fitting) is exact.
    pub const EXACT_ACCESSES: u64 = 10_000_000;

    /// Exact for a number of accesses that takes seconds, a sample of about that many where there are more.
    pub fn fitting(accesses: u64) -> Self {
        Self::new(float(Self::EXACT_ACCESSES) / float(accesses.max(1)))
    }

    /// The smallest share that can be followed.
    pub const LEAST_RATE: f64 = 1e-6;

    /// Follows a share of the contents, moved into [[`LEAST_RATE`](Self::LEAST_RATE), 1].
    pub fn new(rate: f64) -> Self {
        Self {
            rate: if rate.is_finite() {
                rate.clamp(Self::LEAST_RATE, 1.0)
            } else {
                Self::DEFAULT_RATE
            },
        }
    }
}

impl Default for ShardsOptions {
    fn default() -> Self {
        Self::new(Self::DEFAULT_RATE)
    }
}

/// The hit rate of an LRU cache against its size.
///
/// It is the curve of the accesses as they were: with more memory an engine would also admit more requests at a time
/// and change their order, which no curve from a trace can tell. Blocks count one by one; a prefix cache can use a
/// block only with all before it, which LRU order from a prompt's end keeps nearly true.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MissRatioCurve {
    /// Accesses, scaled up if sampled.
    pub accesses: u64,
    /// Different blocks, scaled up if sampled: a cache of this size loses nothing.
    pub blocks: u64,
    /// The hit rate of a cache that never forgets.
    pub ceiling: f64,
    /// The share of contents that were followed; 1 is exact.
    pub rate: f64,
    /// Contents that were followed.
    pub followed: u64,
    /// The curve, by size.
    pub points: Vec<CurvePoint>,
    /// How many different blocks are touched between two uses of one, over all re-uses.
    pub reuse_distance: Vec<ReuseDistance>,
}

/// A quantile of the reuse distance: an LRU cache of one block more serves this share of all re-uses.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ReuseDistance {
    /// Which quantile, such as 0.9.
    pub q: f64,
    /// The distance, in different blocks; scaled up if sampled.
    pub blocks: u64,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct CurvePoint {
    /// Blocks of the cache.
    pub blocks: u64,
    /// Hits over accesses.
    pub hit_rate: f64,
    /// Half the width of the 95 % interval; 0 for an exact curve.
    pub error: f64,
}

impl MissRatioCurve {
    /// Whether it is exact, or of [enough contents](FEWEST_CONTENTS) to mean something.
    pub fn is_supported(&self) -> bool {
        self.rate >= 1.0 || self.followed >= FEWEST_CONTENTS
    }

    /// The hit rate at a size, in a straight line between the points.
    pub fn hit_rate(&self, blocks: u64) -> f64 {
        let after = self.points.partition_point(|point| point.blocks < blocks);
        let (low, high) = (
            after.checked_sub(1).and_then(|at| self.points.get(at)),
            self.points.get(after),
        );
        match (low, high) {
            (_, Some(high)) if high.blocks == blocks => high.hit_rate,
            (Some(low), Some(high)) => {
                let part = float(blocks - low.blocks) / float(high.blocks - low.blocks);
                low.hit_rate + part * (high.hit_rate - low.hit_rate)
            }
            (None, Some(high)) => high.hit_rate * float(blocks) / float(high.blocks.max(1)),
            (Some(low), None) => low.hit_rate,
            (None, None) => 0.0,
        }
    }

    /// The smallest size on the curve that reaches a share of the highest hit rate.
    pub fn size_for(&self, share_of_ceiling: f64) -> Option<u64> {
        let wanted = self.ceiling * share_of_ceiling;
        self.points
            .iter()
            .find(|point| point.hit_rate >= wanted - 1e-12)
            .map(|point| point.blocks)
    }
}

/// The exact curve at some sizes, in memory of the number of different blocks.
///
/// ```
/// use kvlens_analysis::kv::exact_curve;
/// let curve = exact_curve([1, 2, 3, 1, 2, 3], &[2, 3]);
/// assert_eq!(curve.points.iter().map(|p| p.hit_rate).collect::<Vec<_>>(), [0.0, 0.5]);
/// ```
pub fn exact_curve(accesses: impl IntoIterator<Item = u64>, sizes: &[u64]) -> MissRatioCurve {
    let mut stack = StackDistances::default();
    for block in accesses {
        stack.access(block);
    }
    curve(&stack, 1.0, sizes)
}

/// The curve from a sample of the contents, with its error: SHARDS (Waldspurger et al. 2015), in memory of the number
/// of blocks followed.
///
/// The sample is split by content into groups that each give a curve; their spread is the error. The correction for
/// the accesses that a sample has too many or too few (SHARDS-adj) is applied.
pub fn sampled_curve(
    accesses: impl IntoIterator<Item = u64>,
    sizes: &[u64],
    options: ShardsOptions,
) -> MissRatioCurve {
    let mut sampler = Sampler::new(options.rate);
    for block in accesses {
        sampler.access(block);
    }
    sampler.curve(sizes, 1.0)
}

/// Follows a share of the contents.
#[derive(Debug)]
pub(crate) struct Sampler {
    rate: f64,
    threshold: u64,
    accesses: u64,
    whole: StackDistances,
    groups: Vec<StackDistances>,
}

impl Sampler {
    pub(crate) fn new(rate: f64) -> Self {
        let threshold = if rate >= 1.0 {
            u64::MAX
        } else {
            rounded(rate * float(u64::MAX))
        };
        let groups = if rate >= 1.0 { 0 } else { GROUPS };
        Self {
            rate: rate.min(1.0),
            threshold,
            accesses: 0,
            whole: StackDistances::default(),
            groups: vec![StackDistances::default(); groups],
        }
    }

    pub(crate) fn access(&mut self, block: u64) {
        self.accesses += 1;
        let place = mix(block);
        if place > self.threshold {
            return;
        }
        self.whole.access(block);
        let group = crate::num::size(mix(place) % GROUPS as u64);
        if let Some(group) = self.groups.get_mut(group) {
            group.access(block);
        }
    }

    /// The curve; `recorded` is the share of the contents that were recorded at all.
    pub(crate) fn curve(&self, sizes: &[u64], recorded: f64) -> MissRatioCurve {
        let rate = self.rate * recorded;
        let mut out = curve(&self.whole, rate, sizes);
        out.accesses = rounded(float(self.accesses) / recorded);
        let expected = float(self.accesses) * self.rate;
        correct(&mut out, &self.whole, expected);
        self.errors(&mut out, sizes, rate);
        out
    }

    /// The spread of the curves that the groups of contents give, each corrected like the whole.
    fn errors(&self, out: &mut MissRatioCurve, sizes: &[u64], rate: f64) {
        let groups = len(self.groups.len());
        let one = |group: &StackDistances| {
            let mut found = curve(group, rate / groups, sizes);
            correct(&mut found, group, float(self.accesses) * self.rate / groups);
            found
        };
        let curves: Vec<_> = self.groups.iter().map(one).collect();
        if curves.len() < 2 {
            return;
        }
        for (at, point) in out.points.iter_mut().enumerate() {
            let rates = curves
                .iter()
                .filter_map(|curve| Some(curve.points.get(at)?.hit_rate));
            let rates: Vec<f64> = rates.collect();
            let mean = rates.iter().sum::<f64>() / groups;
            let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (groups - 1.0);
            point.error = z(0.5 + CONFIDENCE / 2.0) * (variance / groups).sqrt();
        }
    }
}

/// Counts the accesses that a sample lacks (or has too many of) as ones of distance 0: what a sample misses is mostly
/// hot blocks.
fn correct(curve: &mut MissRatioCurve, stack: &StackDistances, expected: f64) {
    let seen = float(stack.accesses());
    let share = |hits: f64| {
        ratio(hits + (expected - seen), expected)
            .unwrap_or(0.0)
            .clamp(0.0, 1.0)
    };
    for point in &mut curve.points {
        point.hit_rate = share(point.hit_rate * seen);
    }
    curve.ceiling = share(seen - float(stack.cold()));
}

/// About this many sizes, evenly spaced on a logarithmic axis up to the number of different blocks.
pub(crate) fn sizes_up_to(blocks: u64, count: usize) -> Vec<u64> {
    let top = float(blocks.max(1)).ln();
    let size = |at: usize| rounded((top * len(at) / len(count.max(2) - 1)).exp());
    let mut sizes: Vec<u64> = (0..count.max(2)).map(size).collect();
    sizes.dedup();
    sizes
}

/// The blocks that a sampler has seen, scaled up.
pub(crate) fn blocks_of(sampler: &Sampler, recorded: f64) -> u64 {
    rounded(float(sampler.whole.blocks()) / (sampler.rate * recorded))
}

fn curve(stack: &StackDistances, rate: f64, sizes: &[u64]) -> MissRatioCurve {
    let (accesses, cold) = (stack.accesses(), stack.cold());
    let prefix = running_sum(stack.counts());
    let point = |size: &u64| {
        let scaled = crate::num::size(rounded(float(*size) * rate)).min(prefix.len() - 1);
        let hits = prefix.get(scaled).copied().unwrap_or(0);
        CurvePoint {
            blocks: *size,
            hit_rate: ratio(float(hits), float(accesses)).unwrap_or(0.0),
            error: 0.0,
        }
    };
    let mut points: Vec<CurvePoint> = sizes.iter().map(point).collect();
    points.sort_by_key(|point| point.blocks);
    MissRatioCurve {
        accesses: rounded(float(accesses) / rate),
        blocks: rounded(float(stack.blocks()) / rate),
        ceiling: ratio(float(accesses - cold), float(accesses)).unwrap_or(0.0),
        rate,
        followed: stack.blocks(),
        points,
        reuse_distance: reuse_distances(stack, rate),
    }
}

fn reuse_distances(stack: &StackDistances, rate: f64) -> Vec<ReuseDistance> {
    let prefix = running_sum(stack.counts());
    let reuses = prefix.last().copied().unwrap_or(0);
    let at = |q: f64| {
        let rank = crate::stats::quantiles::rank(q, reuses);
        let distance = prefix.partition_point(|before| *before <= rank).saturating_sub(1);
        ReuseDistance {
            q,
            blocks: rounded(len(distance) / rate),
        }
    };
    let quantiles = crate::overview::QUANTILES.iter();
    let quantiles = quantiles.filter(|q| reuses >= crate::stats::needed(**q));
    quantiles.map(|q| at(*q)).collect()
}

/// Sums of prefixes, the empty one included.
fn running_sum(counts: &[u64]) -> Vec<u64> {
    let mut sum = 0;
    let sums = counts.iter().map(|count| {
        sum += count;
        sum
    });
    std::iter::once(0).chain(sums).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accesses with a few hot blocks and many cold ones.
    fn skewed(count: usize, blocks: f64, seed: u64) -> Vec<u64> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count)
            .map(|_| rounded(blocks * random.f64().powi(3)))
            .collect()
    }

    #[test]
    fn a_sample_is_within_its_error_of_the_exact_curve() {
        let accesses = skewed(400_000, 40_000.0, 3);
        let sizes = [100, 400, 1_600, 6_400, 12_800, 25_600];
        let exact = exact_curve(accesses.iter().copied(), &sizes);
        let sampled = sampled_curve(accesses.iter().copied(), &sizes, ShardsOptions::new(0.1));
        for (exact, sampled) in exact.points.iter().zip(&sampled.points) {
            let off = (exact.hit_rate - sampled.hit_rate).abs();
            assert!(
                off < 0.02 && off <= 2.0 * sampled.error + 0.005,
                "{exact:?} {sampled:?}"
            );
        }
        assert!((float(sampled.blocks) / float(exact.blocks) - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_sample_of_next_to_nothing_is_not_supported() {
        let accesses = skewed(20_000, 2_000.0, 5);
        let sampled = |rate| sampled_curve(accesses.iter().copied(), &[100], ShardsOptions::new(rate));
        assert_eq!((sampled(1e-6).followed, sampled(1e-6).is_supported()), (0, false));
        assert!(!sampled(0.02).is_supported() && sampled(0.5).is_supported());
        assert!(exact_curve([1, 1], &[1]).is_supported());
    }

    #[test]
    fn a_rate_of_one_is_exact() {
        let accesses = skewed(20_000, 2_000.0, 4);
        let sizes = sizes_up_to(2_000, 20);
        let sampled = sampled_curve(accesses.iter().copied(), &sizes, ShardsOptions::new(1.0));
        assert_eq!(sampled, exact_curve(accesses, &sizes));
    }

    #[test]
    fn between_points_the_curve_is_straight() {
        let curve = exact_curve([1, 2, 3, 4, 1, 2, 3, 4], &[2, 4]);
        assert!((curve.hit_rate(4) - 0.5).abs() < 1e-12 && (curve.hit_rate(3) - 0.25).abs() < 1e-12);
        assert_eq!((curve.size_for(1.0), curve.ceiling), (Some(4), 0.5));
        assert!(exact_curve([], &[1]).hit_rate(5).abs() < 1e-12);
    }
}
