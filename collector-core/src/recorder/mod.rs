//! Handles for an engine's hot path: registered once, then a few instructions per record.
//!
//! A [`Recorder`] hands out handles; its [`RecorderSource`] is the [`StatsSource`](crate::StatsSource) that a collector
//! reads them through. The recording side never blocks, never takes a lock, never wakes a thread, and allocates
//! nothing once a thread has used a handle for the first time.
//!
//! | handle | who may record | what it costs |
//! |---|---|---|
//! | [`CounterWriter`], [`HistogramWriter`] | one owner (`&mut self`) | plain loads and stores |
//! | [`Counter`], [`Histogram`] | any thread | the same, in a part of the metric that belongs to the thread, after a thread-local look-up |
//! | [`Gauge`] | any thread; the last value wins | one store |
//! | [`RowWriter`] | one owner (`&mut self`) | a copy into a ring |
//!
//! ```
//! use kvlens_core::recorder::Recorder;
//! use kvlens_core::{SourceInfo, catalog};
//!
//! let recorder = Recorder::new(SourceInfo::new("engine-0", "mine"));
//! let running = recorder.gauge(&catalog::REQUESTS_RUNNING)?;
//! let mut step_time = recorder.histogram_writer(&catalog::STEP_TIME)?;
//! let source = recorder.source()?; // goes to a collector
//!
//! running.set_u64(3);
//! step_time.record(12_000_000);
//! # drop(source);
//! # Ok::<(), kvlens_core::Error>(())
//! ```
//!
//! # Backpressure
//! Counters, gauges and histograms can't overflow: a collector that comes late finds more in them. Rows wait in a ring
//! of fixed capacity; when it is full, [`Overflow`] says whether the row is dropped and counted, or the engine waits.
//!
//! # How it works
//! Every counter and histogram is a sum of *shards*, each written by one thread at a time with plain (relaxed) loads
//! and stores, and read by the collector. A single-writer handle owns a shard; a shared handle finds the calling
//! thread's by a small number that the thread holds until it ends. Threads past the 64th share one more
//! shard, with atomic additions. See `shard.rs` for how a reader takes exact deltas from a shard that is being written.

mod counter;
mod gauge;
mod histogram;
mod per_thread;
mod registry;
mod rows;
mod shard;
mod shards;
mod slot;
mod source;
mod sync;

pub use counter::{Counter, CounterWriter};
pub use gauge::Gauge;
pub use histogram::{Histogram, HistogramWriter, Summary};
pub use registry::Recorder;
pub use rows::{Overflow, RowWriter};
pub use source::RecorderSource;
