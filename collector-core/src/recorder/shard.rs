//! The part of a histogram that one thread writes, and how exact deltas are read from it meanwhile.
//!
//! A record does four things, in this order:
//! 1. widens `min` and `max`, rarely: a compare that is almost always false;
//! 2. adds the value to `sum`;
//! 3. adds one to a bucket, with Release;
//! 4. adds one to `count`, with Release.
//!
//! A reader goes the other way: it reads `count` (Acquire), takes `min` and `max` by swapping them back to "nothing", reads
//! the buckets, and, behind an Acquire fence, `sum`. So:
//! - A record whose `count` a reader saw is in the buckets that it reads, and inside the range of all extremes taken so
//!   far, so only that range needs reading. When `count` did not change, nothing needs reading.
//! - A record whose bucket a reader saw is in the sum that it reads. The sum can be ahead of the buckets by records that
//!   are being made, never behind; a sum without buckets waits for them. So nothing is ever lost or counted twice,
//!   and sums over intervals are exact.
//! - A record that races the reader may have its value in the sum, or its extreme, of one interval and its bucket in the
//!   other. An interval's own minimum or maximum is then off by at most a bucket, because it is moved into the
//!   outermost bucket that holds something.

use super::sync::{AtomicU64, Ordering};
use crate::histogram::Config;

/// The bucket layout of every recorded histogram: [`Config::DEFAULT`]. A constant, so that the index is too.
#[cfg(not(all(test, loom)))]
pub(super) const LAYOUT: Config = Config::DEFAULT;

#[cfg(all(test, loom))]
pub(super) const LAYOUT: Config = Config::MODEL;

pub(super) const BUCKETS: usize = LAYOUT.buckets();

/// How many buckets a reader handles at a time; they divide by it.
pub(super) const CHUNK: usize = if BUCKETS.is_multiple_of(64) { 64 } else { 1 };

#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    /// Records made; behind its record's bucket.
    count: AtomicU64,
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
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Records a value, given the totals so far, and brings those up to date. Only one thread at a time may.
    #[inline]
    pub(super) fn record_alone(&self, value: u64, totals: &mut Totals) {
        self.widen(value);
        totals.sum = totals.sum.wrapping_add(value);
        self.sum.store(totals.sum, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(LAYOUT.index(value)) {
            bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        }
        totals.count = totals.count.wrapping_add(1);
        self.count.store(totals.count, Ordering::Release);
    }

    /// Records a value; any thread may.
    pub(super) fn record_together(&self, value: u64) {
        self.widen(value);
        self.sum.fetch_add(value, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(LAYOUT.index(value)) {
            bucket.fetch_add(1, Ordering::Release);
        }
        self.count.fetch_add(1, Ordering::Release);
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

    /// The totals so far, for the thread that writes.
    #[inline]
    pub(super) fn totals(&self) -> Totals {
        Totals {
            count: self.count.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }

    /// How many records were made. Their buckets are visible afterwards.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// The sum so far; to be read behind the buckets and an Acquire fence.
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

    /// Takes the extremes: they begin anew.
    pub(super) fn take_extremes(&self) -> Extremes {
        Extremes {
            min: self.min.swap(u64::MAX, Ordering::Relaxed),
            max: self.max.swap(0, Ordering::Relaxed),
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

/// What an owner keeps in registers, so that it need not read it back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    count: u64,
    sum: u64,
}

impl Totals {
    pub(super) const NONE: Self = Self { count: 0, sum: 0 };
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
