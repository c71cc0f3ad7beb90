//! Records what happens inside an LLM inference engine at a cost the engine can't feel.
//!
//! This crate is the middle of `kvlens`. It knows no engine and no file format: an engine is a
//! [`StatsSource`], a destination is an [`Exporter`], and a [`Collector`] moves figures from one to the other.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metric`], [`catalog`] | what a metric is; every standard metric, declared once |
//! | [`record`] | the kinds of record: samples, steps, requests, blocks, accesses |
//! | [`source`], [`exporter`] | the two traits and their contracts |
//! | [`run`], [`job`] | what a run is: its sources, its columns, its tables; the job that it is part of |
//! | [`recorder`] | handles for an engine's hot path |
//! | [`histogram`] | log-linear and fixed-boundary histograms |
//! | [`collector`], [`fallback`] | the loop between sources and exporters; several ways to read one engine |
//! | [`memory`], [`conformance`] | a scripted source and an in-memory exporter; tests for any implementation |
//! | [`clock`] | time as a trait, so that tests and simulations own it |

#![forbid(unsafe_code)]

pub mod catalog;
pub mod clock;
pub mod collector;
pub mod conformance;
pub mod error;
pub mod exporter;
pub mod fallback;
pub mod histogram;
pub mod job;
pub mod memory;
pub mod metric;
pub mod record;
pub mod recorder;
pub mod run;
pub mod source;

pub use clock::{Clock, ClockAnchor, ManualClock, SystemClock};
pub use collector::{Collector, CollectorBuilder, CollectorHandle};
pub use error::{BoxError, Error, Result};
pub use exporter::Exporter;
pub use fallback::Fallback;
pub use job::JobInfo;
pub use metric::{Kind, MetricDesc, Unit};
pub use record::{AccessRow, Batch, BlockRow, RequestRow, Sample, StepRow, Table, Value};
pub use recorder::{Recorder, RecorderSource};
pub use run::{RunInfo, RunSchema, SourceIndex, SourceInfo, Tables};
pub use source::{MetricId, Reading, Sink, StatsSource};
