//! The time that paged decode attention takes: bytes, and what keeps a kernel from moving them at full speed.
//!
//! Decode attention does two operations for each byte it reads per query head of a group, far below what a GPU needs to
//! be busy computing: its time is that of its bytes. Three things come on top, each visible in measurements
//! (`docs/sim.md` has the table that the constants come from):
//! - a latency that no size makes smaller: launch, first accesses, the joining of partial results;
//! - the part of the stated bandwidth that reads reach at best;
//! - the end of the kernel, when processors run out of work at different moments. What is lost there grows with the
//!   piece of work that one processor holds, and stops growing at the largest piece a kernel cuts.

use std::time::Duration;

use super::GpuSpec;

/// Launch, first accesses and the joining of partial results, in nanoseconds.
pub const ATTENTION_LATENCY_NS: f64 = 4_600.0;
/// The part of the stated memory bandwidth that large reads reach.
pub const READ_EFFICIENCY: f64 = 0.90;
/// What the end of a kernel costs at most, in bytes that each processor could have read.
pub const TAIL_BYTES_PER_PROCESSOR: f64 = 183_000.0;
/// The work per processor at which half of that cost is reached, in bytes.
pub const TAIL_HALF_BYTES_PER_PROCESSOR: f64 = 303_000.0;

/// One batch of decode attention, in one layer.
///
/// ```
/// use kvlens_native::device::sim::{DecodeShape, GpuSpec, attention_decode_time};
/// let shape = DecodeShape::new(64, 64 * 3072).with_heads(32, 8, 128);
/// let time = attention_decode_time(&shape, GpuSpec::named("h100").unwrap());
/// assert!((240..330).contains(&time.as_micros()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeShape {
    /// Sequences, each with one new token.
    pub sequences: u64,
    /// The sum of their contexts, in tokens.
    pub context_tokens: u64,
    /// Query heads.
    pub heads: u32,
    /// Key-value heads.
    pub kv_heads: u32,
    /// Width of one head.
    pub head_size: u32,
    /// Bytes of one element.
    pub element_bytes: u32,
}

impl DecodeShape {
    /// Makes a batch with the heads of Llama 3 8B and 16-bit elements.
    pub const fn new(sequences: u64, context_tokens: u64) -> Self {
        Self {
            sequences,
            context_tokens,
            heads: 32,
            kv_heads: 8,
            head_size: 128,
            element_bytes: 2,
        }
    }

    /// Sets query heads, key-value heads and the width of a head.
    #[must_use]
    pub const fn with_heads(mut self, heads: u32, kv_heads: u32, head_size: u32) -> Self {
        self.heads = heads;
        self.kv_heads = kv_heads;
        self.head_size = head_size;
        self
    }

    /// Sets the bytes of one element.
    #[must_use]
    pub const fn with_element_bytes(mut self, bytes: u32) -> Self {
        self.element_bytes = bytes;
        self
    }

    /// Bytes that have to move: keys and values once, queries in, outputs out.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an estimate; 53 bits of bytes are 9 petabytes"
    )]
    pub fn bytes(&self) -> f64 {
        let head = f64::from(self.head_size) * f64::from(self.element_bytes);
        let cache = 2.0 * self.context_tokens as f64 * f64::from(self.kv_heads);
        let ends = 2.0 * self.sequences as f64 * f64::from(self.heads);
        (cache + ends) * head
    }
}

/// Predicts the time of paged decode attention in one layer.
pub fn attention_decode_time(shape: &DecodeShape, gpu: &GpuSpec) -> Duration {
    let latency = if shape.sequences == 0 {
        0.0
    } else {
        ATTENTION_LATENCY_NS
    };
    Duration::from_nanos(super::time::to_ns(latency + ReadTime::new(gpu).ns(shape.bytes())))
}

/// The time of reading what lies scattered in a GPU's memory, without the latency of a launch.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadTime {
    ns_per_byte: f64,
    tail_bytes: f64,
    half_bytes: f64,
}

impl ReadTime {
    pub(super) fn new(gpu: &GpuSpec) -> Self {
        let processors = f64::from(gpu.processors);
        Self {
            ns_per_byte: 1e9 / (gpu.memory_bytes_per_s * READ_EFFICIENCY),
            tail_bytes: TAIL_BYTES_PER_PROCESSOR * processors,
            half_bytes: TAIL_HALF_BYTES_PER_PROCESSOR * processors,
        }
    }

    #[inline]
    pub(super) fn ns(&self, bytes: f64) -> f64 {
        (bytes + self.tail_bytes * bytes / (bytes + self.half_bytes)) * self.ns_per_byte
    }
}
