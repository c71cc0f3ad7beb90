//! The kinds of record that a run holds.
//!
//! | record | one per | answers |
//! |---|---|---|
//! | [`Sample`] | source and interval | gauges now, counters so far, histograms of that interval |
//! | [`StepRow`] | engine step | batch composition, tokens, blocks, time: where did it go |
//! | [`RequestRow`] | finished request | why was it slow |
//! | [`BlockRow`] | life of a KV block | residency, reuse, eviction |
//! | [`AccessRow`] | block looked up in the prefix cache (off unless asked for) | what another cache size would give |
//!
//! Rows are plain `Copy` structs of fixed size, so that an engine hands one over without allocating. A missing value
//! is [`Opt32::NONE`] or [`Opt64::NONE`] and becomes null in every format, never 0.

mod access;
mod block;
mod column;
mod opt;
mod request;
mod sample;
mod step;
mod text;

pub use access::AccessRow;
pub use block::{BlockEnd, BlockRow, Release};
pub use column::{Code, ColumnDesc, ColumnType, ColumnVisitor, Row, Table};
pub use opt::{Opt32, Opt64};
pub use request::{FinishReason, RequestRow};
pub use sample::{Batch, Sample, Value};
pub use step::StepRow;
pub use text::Text;
