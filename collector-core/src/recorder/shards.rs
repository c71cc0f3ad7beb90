//! A histogram's shards, read as one.

use super::per_thread::PerThread;
use super::shard::{CHUNK, CHUNKS, Extremes, Shard};
use super::sync::{Ordering, fence};
use std::sync::Arc;

/// The shards that a metric has now.
pub(super) struct Shards<'a> {
    threads: &'a PerThread<Shard>,
    writers: &'a [Arc<Shard>],
}

impl<'a> Shards<'a> {
    pub(super) fn new(threads: &'a PerThread<Shard>, writers: &'a [Arc<Shard>]) -> Self {
        Self { threads, writers }
    }

    fn iter(&self) -> impl Iterator<Item = &'a Shard> {
        self.threads.iter().chain(self.writers.iter().map(Arc::as_ref))
    }

    /// Whether a thread other than a writer's may have recorded, or a writer is gone.
    pub(super) fn any_shared(&self) -> bool {
        self.threads.iter().next().is_some() || self.writers.iter().any(|shard| Arc::strong_count(shard) == 1)
    }

    pub(super) fn extremes(&self) -> Extremes {
        self.iter()
            .fold(Extremes::NONE, |all, shard| all.join(shard.extremes()))
    }

    pub(super) fn take_extremes(&self) -> Extremes {
        self.iter()
            .fold(Extremes::NONE, |all, shard| all.join(shard.take_extremes()))
    }

    /// The sum of all values in the buckets read before, and perhaps of some that are being recorded.
    pub(super) fn sum(&self) -> u64 {
        fence(Ordering::Acquire);
        self.iter().fold(0, |sum, shard| sum.wrapping_add(shard.sum()))
    }

    /// Adds up every chunk; returns the sum of all.
    pub(super) fn chunk_sums(&self, extremes: Extremes, sums: &mut [u64; CHUNKS]) -> u64 {
        let mut count = 0_u64;
        for chunk in extremes.chunks() {
            sums[chunk] = self.chunk_sum(chunk);
            count = count.wrapping_add(sums[chunk]);
        }
        count
    }

    /// Adds up a chunk.
    #[inline]
    pub(super) fn chunk_sum(&self, chunk: usize) -> u64 {
        self.iter()
            .fold(0, |sum, shard| sum.wrapping_add(shard.chunk_sum(chunk)))
    }

    /// Reads the buckets of a chunk, added up over the shards.
    #[inline]
    pub(super) fn read_chunk(&self, chunk: usize, counts: &mut [u64; CHUNK]) {
        counts.fill(0);
        self.iter().for_each(|shard| shard.add_to(chunk, counts));
    }

    /// Finds the bucket of a rank within a chunk.
    pub(super) fn seek(&self, chunk: usize, rank: u64) -> usize {
        let mut counts = [0; CHUNK];
        self.read_chunk(chunk, &mut counts);
        let mut seen = 0_u64;
        let at = counts.iter().position(|count| {
            seen = seen.wrapping_add(*count);
            seen > rank
        });
        chunk * CHUNK + at.unwrap_or(0)
    }
}
