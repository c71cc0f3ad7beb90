//! The part of a histogram that one thread writes, and how exact deltas are read from it meanwhile.
//!
//! A record does three things, in this order:
//! 1. widens `min` and `max`, rarely: a compare that is almost always false;
//! 2. adds the value to `sum`;
//! 3. adds one to a bucket, with Release.
//!
//! A reader goes the other way: it takes `min` and `max` by swapping them back to "nothing", reads the buckets in the range
//! of all extremes taken so far, and, behind an Acquire fence, `sum`. So:
//! - A record whose bucket a reader saw is in the sum that it reads. The sum can be ahead of the buckets by records that
//!   are being made, never behind; a sum without buckets waits for them.
//! - A record that a reader did not see, or whose extreme it did not see, is in the buckets at a later reading, and in
//!   range then. So nothing is lost or counted twice, and sums over intervals are exact.
//! - A record that races the reader may have its value in the sum, or its extreme, of one interval and its bucket in the
//!   other. An interval's own minimum or maximum is then off by at most a bucket, because it is moved into the
//!   outermost bucket that holds something.

use super::sync::{AtomicU64, Ordering};
use crate::histogram::Config;

/// The bucket layout of every recorded histogram: [`Config::DEFAULT`]. A constant, so that the index is too.
#[cfg(not(any(miri, all(test, loom))))]
pub(super) const LAYOUT: Config = Config::DEFAULT;

#[cfg(any(miri, all(test, loom)))]
pub(super) const LAYOUT: Config = Config::MODEL;

pub(super) const BUCKETS: usize = LAYOUT.buckets();

/// How many buckets a reader handles at a time; they divide by it.
pub(super) const CHUNK: usize = if BUCKETS.is_multiple_of(64) { 64 } else { 1 };

/// How many chunks there are.
pub(super) const CHUNKS: usize = BUCKETS / CHUNK;

#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    /// Ahead of its record's bucket.
    sum: AtomicU64,
    /// Since the last reader took it; `u64::MAX` when nothing was recorded.
    min: AtomicU64,
    /// Since the last reader took it; 0 when nothing was recorded.
    max: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

const _: () = assert!(
    align_of::<Shard>() == 128 && size_of::<Shard>() <= BUCKETS * 8 + 128,
    "a shard shares no cache line, and spends one pair of them on what is not a bucket"
);

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Records a value, given the sum so far; returns the new one. Only one thread at a time may.
    #[inline]
    pub(super) fn record_alone(&self, value: u64, sum: u64) -> u64 {
        self.widen(value);
        let sum = sum.wrapping_add(value);
        self.sum.store(sum, Ordering::Relaxed);
        let bucket = self.bucket(value);
        bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        sum
    }

    /// Records a value several times at once, given the sum so far; returns the new one. Only one thread at a time may.
    #[inline]
    pub(super) fn record_alone_n(&self, value: u64, times: u64, sum: u64) -> u64 {
        self.widen(value);
        let sum = sum.wrapping_add(value.wrapping_mul(times));
        self.sum.store(sum, Ordering::Relaxed);
        let bucket = self.bucket(value);
        bucket.store(
            bucket.load(Ordering::Relaxed).wrapping_add(times),
            Ordering::Release,
        );
        sum
    }

    /// Records a value; any thread may.
    pub(super) fn record_together(&self, value: u64) {
        self.widen(value);
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.bucket(value).fetch_add(1, Ordering::Release);
    }

    #[inline]
    fn bucket(&self, value: u64) -> &AtomicU64 {
        // The bounds check does what a clamp of the value would.
        self.buckets
            .get(LAYOUT.index_or_past(value))
            .unwrap_or(&self.buckets[BUCKETS - 1])
    }

    #[inline]
    fn widen(&self, value: u64) {
        if value < self.min.load(Ordering::Relaxed) {
            self.lower_min(value);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.raise_max(value);
        }
    }

    // Read-modify-write even with one writer, because a reader swaps these.
    #[cold]
    fn lower_min(&self, value: u64) {
        self.min.fetch_min(value, Ordering::Relaxed);
    }

    #[cold]
    fn raise_max(&self, value: u64) {
        self.max.fetch_max(value, Ordering::Relaxed);
    }

    /// The sum so far; for a reader, to be read behind the buckets and an Acquire fence.
    #[inline]
    pub(super) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// The extremes since they were last taken.
    pub(super) fn extremes(&self) -> Extremes {
        Extremes {
            min: self.min.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }

    /// Takes the extremes: they begin anew. Where there are none, the writer's cache line is left alone.
    pub(super) fn take_extremes(&self) -> Extremes {
        let take = |extreme: &AtomicU64, none: u64| {
            let now = extreme.load(Ordering::Relaxed);
            if now == none {
                none
            } else {
                extreme.swap(none, Ordering::Relaxed)
            }
        };
        Extremes {
            min: take(&self.min, Extremes::NONE.min),
            max: take(&self.max, Extremes::NONE.max),
        }
    }

    /// Adds a chunk of buckets to `out`.
    #[inline]
    pub(super) fn add_to(&self, chunk: usize, out: &mut [u64; CHUNK]) {
        if let Some(buckets) = self.buckets.as_chunks::<CHUNK>().0.get(chunk) {
            for (sum, bucket) in out.iter_mut().zip(buckets) {
                *sum = sum.wrapping_add(bucket.load(Ordering::Relaxed));
            }
        }
    }

    /// Adds up a chunk of buckets.
    #[inline]
    pub(super) fn chunk_sum(&self, chunk: usize) -> u64 {
        /// As many sums at a time as a processor can load in one cycle.
        const LANES: usize = 4;
        let mut sums = [0_u64; LANES];
        if let Some(buckets) = self.buckets.as_chunks::<CHUNK>().0.get(chunk) {
            for group in buckets.chunks(LANES) {
                for (sum, bucket) in sums.iter_mut().zip(group) {
                    *sum = sum.wrapping_add(bucket.load(Ordering::Relaxed));
                }
            }
        }
        sums.into_iter().fold(0, u64::wrapping_add)
    }
}

/// The smallest and the largest value of some set; `min > max` for the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extremes {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Extremes {
    pub(super) const NONE: Self = Self {
        min: u64::MAX,
        max: 0,
    };

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// The chunks of buckets that the values can lie in.
    pub(super) fn chunks(self) -> std::ops::Range<usize> {
        if self == Self::NONE {
            return 0..0;
        }
        // One extreme can be known before the other: take the wider range then.
        let (low, high) = (self.min.min(self.max), self.max.max(self.min));
        LAYOUT.index(low) / CHUNK..LAYOUT.index(high) / CHUNK + 1
    }
}
