//! The CUDA device: kernels, their launchers, and what they need around them.
//!
//! | module | what it does |
//! |---|---|
//! | `context` | finds and opens a GPU ([`Gpu`]); every launch goes through it |
//! | `module` | the PTX of `kernels/`, embedded, loaded when first used |
//! | `layout`, `table`, `plan` | the shape of the KV pool; block tables, checked; equal shares of a ragged batch |
//! | `attention`, `decode`, `prefill`, `kv`, `swap`, `ops` | one typed launcher per kernel |
//! | `device`, `step`, `buffers`, `weights` | the engine's device: the built-in model over these |
//! | `graph`, `timing`, `nvml`, `source` | a step as one launch; times read later; power, energy, memory as gauges |
//!
//! The driver library is opened at run time: this builds and links on machines without CUDA, and there
//! [`Gpu::open`] returns [`Error::NoDriver`]. All work goes to one stream in order; swaps have a second one.
//! No statistic ever waits for either.

mod attention;
mod buffers;
mod context;
mod decode;
mod device;
mod dtype;
mod error;
mod graph;
mod kv;
mod layout;
mod module;
#[cfg(feature = "nvml")]
mod nvml;
mod ops;
mod params;
mod pinned;
mod plan;
mod prefill;
mod source;
mod step;
mod swap;
mod table;
mod timing;
mod upload;
mod weights;

pub use attention::{Attention, Tensors};
pub use context::{Gpu, GpuInfo, MINIMUM_CAPABILITY, device_count};
pub use decode::{DecodeBatch, decode};
pub use device::{CudaDevice, blocks_that_fit};
pub use dtype::Element;
pub use error::{Error, Result};
pub use graph::StepGraph;
pub use kv::{BlockCopies, Rows, SlotMapping, append};
pub use layout::KvLayout;
#[cfg(feature = "nvml")]
pub use nvml::{EnergyMeter, Nvml, NvmlSample};
pub use ops::{Linear, Selection, SplitRows, Then, argmax, split};
pub use pinned::PinnedBuffer;
pub use plan::Chunk;
pub use prefill::{PrefillBatch, PrefillRoom, PrefillSequence, prefill};
pub use source::GpuSource;
pub use swap::{SwapArea, SwapPair};
pub use table::Sequence;
pub use timing::SpanTimer;
