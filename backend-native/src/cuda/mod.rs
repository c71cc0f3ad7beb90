//! The CUDA device: kernels, their launchers, and what they need around them.
//!
//! | module | what it does |
//! |---|---|
//! | `context` | finds and opens a GPU ([`Gpu`]); every launch goes through it |
//! | `module` | the PTX of `kernels/`, embedded, loaded when first used |
//! | `layout`, `table`, `plan` | the shape of the KV pool; block tables, checked; equal shares of a ragged batch |
//! | `decode`, `prefill`, `kv`, `swap`, `ops` | one typed launcher per kernel |
//! | `graph`, `timing`, `nvml` | a step as one launch; times read later; power and energy |
//!
//! The driver library is opened at run time: this builds and links on machines without CUDA, and there
//! [`Gpu::open`] returns [`Error::NoDriver`]. All work goes to one stream in order; swaps have a second one.
//! No statistic ever waits for either.

mod context;
mod decode;
mod dtype;
mod error;
mod graph;
mod kv;
mod layout;
mod module;
#[cfg(feature = "nvml")]
mod nvml;
mod params;
mod pinned;
mod plan;
mod prefill;
mod swap;
mod table;
mod timing;
mod upload;

pub use context::{Gpu, GpuInfo, MINIMUM_CAPABILITY, device_count};
pub use decode::{DecodeBatch, Queries, decode};
pub use dtype::Element;
pub use error::{Error, Result};
pub use graph::StepGraph;
pub use kv::{BlockCopies, Rows, SlotMapping, append};
pub use layout::KvLayout;
#[cfg(feature = "nvml")]
pub use nvml::{Nvml, NvmlSample};
pub use pinned::PinnedBuffer;
pub use plan::Chunk;
pub use prefill::{PrefillBatch, PrefillSequence, prefill};
pub use swap::{SwapArea, SwapPair};
pub use table::Sequence;
pub use timing::SpanTimer;
