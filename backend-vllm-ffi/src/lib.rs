//! Records what happens inside a vLLM process, or any C or C++ engine.
//!
//! An engine says what it did: one packed struct per step, one per finished request. Everything else (histograms,
//! samples, files) happens on the Rust side, on other threads. There are three ways in:
//!
//! | who | how |
//! |---|---|
//! | vLLM | the Python package `kvlens` in `python/`, over the C ABI |
//! | a C or C++ engine | `include/kvlens.h` and the shared or static library |
//! | a Rust program | [`Feed`] and [`VllmSource`], or [`prometheus::PrometheusSource`] for a server's metrics page |
//!
//! # Backpressure
//! A push never waits. Counters and histograms can't overflow; rows go into rings of fixed size ([`QueueSizes`]) and are
//! dropped and counted when those are full.
//!
//! # Threads
//! One thread pushes at a time per collector; a second one is told `KVLENS_BUSY` rather than made to wait. See the
//! header for the rules of each function.

#[cfg(feature = "c-abi")]
pub mod abi;
#[cfg(feature = "c-abi")]
pub mod control;
#[cfg(feature = "c-abi")]
mod decode;
#[cfg(feature = "c-abi")]
mod destination;
pub mod error;
mod fault;
mod feed;
mod figures;
#[cfg(feature = "c-abi")]
mod guard;
#[cfg(feature = "c-abi")]
pub mod handle;
mod levels;
pub mod metrics;
mod pages;
pub mod prometheus;
#[cfg(feature = "c-abi")]
pub mod push;
mod rows;
#[cfg(feature = "c-abi")]
mod settings;
mod shared;
mod source;
#[cfg(feature = "c-abi")]
pub mod status;
#[cfg(feature = "c-abi")]
mod summary;

pub use error::{Error, Result};
pub use feed::{Feed, FeedBuilder, MAX_ENGINES, QueueSizes};
pub use figures::{BlockFigures, Origin, RequestFigures, StepFigures};
pub use shared::MAX_CUSTOM_METRICS;
pub use source::VllmSource;
