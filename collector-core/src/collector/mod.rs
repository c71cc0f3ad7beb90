//! The loop between sources and exporters.
//!
//! ```text
//!  engine ── handles, rings ──▶ source ─┐                    ┌─ queue ─▶ exporter (a thread each)
//!                                       ├─▶ Collector::poll ─┤
//!  another engine ───────────▶ source ─┘   one thread        └─ queue ─▶ exporter
//! ```
//!
//! [`Collector::poll`] is the whole loop body: it drains rows, takes a sample of every source when one is due, and hands
//! both on. [`CollectorBuilder::spawn`] calls it from a thread; an engine on a virtual clock calls it itself.
//!
//! # Back-pressure
//! All queues are bounded. While an exporter lags, samples wait merged in one slot per source: resolution drops, totals
//! do not. Rows follow [`RowPolicy`]: dropped and counted, or the collector waits. Either way the engine's own thread
//! sees nothing but its ring.
//!
//! # What goes wrong and is survived
//! A source that fails, hangs or panics has nulls in its samples until it answers again; an exporter that fails, panics
//! or stalls is reported and left behind, and the others go on. Values that can't be true are clamped and counted.
//! [`RunReport::problems`] lists all of it.

mod anchors;
mod builder;
mod driver;
mod handle;
mod intake;
mod isolated;
mod merge;
mod outlet;
mod problems;
mod report;
mod sanity;
mod spares;
mod totals;

pub(crate) use problems::panic_message;

pub use builder::{CollectorBuilder, RowPolicy};
pub use driver::Collector;
pub use handle::CollectorHandle;
pub use isolated::Isolated;
pub use report::{RunReport, SourceSummary};
