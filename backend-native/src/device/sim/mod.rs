//! A device that computes nothing and knows how long it would have taken.
//!
//! Time is virtual: [`SimDevice`] moves the engine's clock forward by what a [`TimeModel`] says of each step, so that a
//! day of requests passes in seconds. The model is a roofline over the data sheet of a named GPU ([`GPUS`]) and the
//! sizes of a named model ([`MODELS`]); `docs/sim.md` gives its formulas, its constants and what it was checked against.

mod attention;
mod device;
mod gpu;
mod model;
mod spec;
mod time;

pub use attention::{
    ATTENTION_LATENCY_NS, DecodeShape, READ_EFFICIENCY, TAIL_BYTES_PER_PROCESSOR,
    TAIL_HALF_BYTES_PER_PROCESSOR, attention_decode_time,
};
pub use device::SimDevice;
pub use gpu::{GPUS, GpuSpec};
pub use model::{MODELS, ModelSpec};
pub use spec::{SimSpec, SimSpecError};
pub use time::{
    ALL_REDUCE_LATENCY_NS, COPY_LATENCY_NS, GEMM_EFFICIENCY, HOST_LINK_EFFICIENCY, KERNELS_PER_LAYER,
    LAUNCH_NS, PEER_LINK_EFFICIENCY, PREFILL_ATTENTION_EFFICIENCY, STEP_OVERHEAD_NS, StepWork, TimeModel,
};
