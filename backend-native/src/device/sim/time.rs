//! How long a step takes: a roofline for each part of it.
//!
//! A part takes as long as its operations or its bytes need, whichever is more, each at a stated share of the data
//! sheet's figure. Parts follow one another on the device, so their times add up. All that depends on the model and the
//! GPU is worked out once; a step costs a few multiplications.

use super::attention::{ATTENTION_LATENCY_NS, READ_EFFICIENCY, ReadTime};
use super::{GpuSpec, ModelSpec};

/// The part of the stated throughput that large matrix products reach.
pub const GEMM_EFFICIENCY: f64 = 0.70;
/// The part of the stated throughput that prefill attention reaches.
pub const PREFILL_ATTENTION_EFFICIENCY: f64 = 0.55;
/// The part of the host link's stated bandwidth that copies from pinned memory reach.
pub const HOST_LINK_EFFICIENCY: f64 = 0.82;
/// The part of the peer links' stated bandwidth that an all-reduce reaches.
pub const PEER_LINK_EFFICIENCY: f64 = 0.75;
/// Kernels of one layer beside attention: norms, projections, rotary, append, activation.
pub const KERNELS_PER_LAYER: u32 = 8;
/// What one kernel adds to its bytes and operations when it is launched from a graph, in nanoseconds.
pub const LAUNCH_NS: f64 = 1_000.0;
/// What an engine adds to each step on the host, in nanoseconds.
pub const STEP_OVERHEAD_NS: f64 = 300_000.0;
/// The latency of one all-reduce among GPUs, in nanoseconds.
pub const ALL_REDUCE_LATENCY_NS: f64 = 8_000.0;
/// The latency of one batch of copies, in nanoseconds.
pub const COPY_LATENCY_NS: f64 = 10_000.0;

/// What a step computes, as sums over its sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StepWork {
    /// Tokens computed.
    pub tokens: u64,
    /// Sequences that get a new token, and so need logits.
    pub sampled: u64,
    /// Sequences that decode: one token each.
    pub decode_sequences: u64,
    /// The sum of the contexts that decoding sequences attend to, in tokens.
    pub decode_context: u64,
    /// Sequences that prefill.
    pub prefill_sequences: u64,
    /// The sum of the contexts that prefilling sequences attend to at the end of the step, in tokens.
    pub prefill_context: u64,
    /// Pairs of a prefilled token and a token it attends to.
    pub prefill_pairs: u64,
}

impl StepWork {
    /// Adds a sequence that decodes one token and then has `context`.
    #[inline]
    pub fn decode(&mut self, context: u64) {
        self.tokens += 1;
        self.decode_sequences += 1;
        self.decode_context += context;
    }

    /// Adds a sequence that prefills `new` tokens and then has `context`.
    #[inline]
    pub fn prefill(&mut self, new: u64, context: u64) {
        self.tokens += new;
        self.prefill_sequences += 1;
        self.prefill_context += context;
        // Token i of the new ones attends to what was there before, to the earlier new ones and to itself.
        self.prefill_pairs += new * context.saturating_sub(new) + new * (new + 1) / 2;
    }
}

impl std::ops::Add for StepWork {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            sampled: self.sampled + other.sampled,
            decode_sequences: self.decode_sequences + other.decode_sequences,
            decode_context: self.decode_context + other.decode_context,
            prefill_sequences: self.prefill_sequences + other.prefill_sequences,
            prefill_context: self.prefill_context + other.prefill_context,
            prefill_pairs: self.prefill_pairs + other.prefill_pairs,
        }
    }
}

/// A model on one or several GPUs: turns work into time.
#[derive(Debug, Clone, Copy)]
pub struct TimeModel {
    read: ReadTime,
    layers: f64,
    fixed_ns: f64,
    weights_ns: f64,
    linear_ns_per_token: f64,
    logits_ns: f64,
    logits_ns_per_token: f64,
    pair_ns: f64,
    layer_kv_bytes: f64,
    kv_write_ns_per_token: f64,
    all_reduce_ns_per_token: f64,
    host_ns_per_byte: f64,
    device_ns_per_byte: f64,
    kv_degree: f64,
}

impl TimeModel {
    /// Works out the constants of a model on `tensor_parallel` GPUs (at least 1).
    pub fn new(model: &ModelSpec, gpu: &GpuSpec, tensor_parallel: u32) -> Self {
        let degree = f64::from(tensor_parallel.max(1));
        let layers = f64::from(model.layers);
        let element = f64::from(model.element_bytes);
        // A GPU holds at least one key-value head, so beyond their number they are kept twice.
        let kv_degree = degree.min(f64::from(model.kv_heads));
        let kv_bytes = to_float(model.kv_bytes_per_token()) / kv_degree;
        let linear = to_float(model.linear_weights()) / degree;
        let logits = to_float(model.logit_weights()) / degree;
        let ns_per_byte = 1e9 / (gpu.memory_bytes_per_s * READ_EFFICIENCY);
        let multiply = 2e9 / (gpu.flops * GEMM_EFFICIENCY);
        let reduces = if tensor_parallel > 1 { 2.0 * layers } else { 0.0 };
        let reduced_bytes = 2.0 * (degree - 1.0) / degree * f64::from(model.hidden) * element;
        let launches = layers * f64::from(KERNELS_PER_LAYER) * LAUNCH_NS;
        Self {
            read: ReadTime::new(gpu),
            layers,
            fixed_ns: STEP_OVERHEAD_NS + launches + reduces * ALL_REDUCE_LATENCY_NS,
            weights_ns: linear * element * ns_per_byte,
            linear_ns_per_token: linear * multiply,
            logits_ns: logits * element * ns_per_byte,
            logits_ns_per_token: logits * multiply,
            pair_ns: layers * f64::from(model.heads) / degree * f64::from(model.head_size) * 2.0 * 2e9
                / (gpu.flops * PREFILL_ATTENTION_EFFICIENCY),
            layer_kv_bytes: kv_bytes / layers,
            kv_write_ns_per_token: kv_bytes * ns_per_byte,
            all_reduce_ns_per_token: reduces * reduced_bytes * 1e9
                / (gpu.peer_bytes_per_s * PEER_LINK_EFFICIENCY),
            host_ns_per_byte: 1e9 / (gpu.host_bytes_per_s * HOST_LINK_EFFICIENCY),
            device_ns_per_byte: ns_per_byte,
            kv_degree,
        }
    }

    /// The time of a step, in nanoseconds; 0 if it computes nothing.
    pub fn step_ns(&self, work: &StepWork) -> u64 {
        if work.tokens == 0 {
            return 0;
        }
        let tokens = to_float(work.tokens);
        let sampled = to_float(work.sampled);
        let linear = self.weights_ns.max(tokens * self.linear_ns_per_token);
        let logits = if work.sampled == 0 {
            0.0
        } else {
            self.logits_ns.max(sampled * self.logits_ns_per_token)
        };
        let moved = tokens * (self.kv_write_ns_per_token + self.all_reduce_ns_per_token);
        to_ns(self.fixed_ns + linear + logits + moved + self.decode_ns(work) + self.prefill_ns(work))
    }

    /// The time of copying `bytes` over the host link, in nanoseconds; 0 for none.
    pub fn host_copy_ns(&self, bytes: u64) -> u64 {
        self.copy_ns(bytes, self.host_ns_per_byte)
    }

    /// The time of copying `bytes` from one place of the device's memory to another, in nanoseconds; 0 for none.
    pub fn device_copy_ns(&self, bytes: u64) -> u64 {
        // Each byte is read and written.
        self.copy_ns(bytes, 2.0 * self.device_ns_per_byte)
    }

    /// Every GPU copies its share at the same time.
    fn copy_ns(&self, bytes: u64, ns_per_byte: f64) -> u64 {
        match bytes {
            0 => 0,
            _ => to_ns(COPY_LATENCY_NS + to_float(bytes) / self.kv_degree * ns_per_byte),
        }
    }

    fn decode_ns(&self, work: &StepWork) -> f64 {
        if work.decode_sequences == 0 {
            return 0.0;
        }
        let read = self.read.ns(to_float(work.decode_context) * self.layer_kv_bytes);
        self.layers * (ATTENTION_LATENCY_NS + read)
    }

    fn prefill_ns(&self, work: &StepWork) -> f64 {
        if work.prefill_sequences == 0 {
            return 0.0;
        }
        let read = self.layers * self.read.ns(to_float(work.prefill_context) * self.layer_kv_bytes);
        let compute = to_float(work.prefill_pairs) * self.pair_ns;
        self.layers * ATTENTION_LATENCY_NS + read.max(compute)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate; counts below 2^53 are exact"
)]
fn to_float(count: u64) -> f64 {
    count as f64
}

/// Rounds to whole nanoseconds; negative and NaN become 0, too large the largest.
///
/// Not by `round`, which is a call into the C library on processors of the baseline.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate, which is what is wanted"
)]
pub(super) fn to_ns(ns: f64) -> u64 {
    (ns + 0.5) as u64
}
