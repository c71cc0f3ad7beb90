//! Reads a kvlens run back and answers questions about it.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "tests compute with small numbers"
    )
)]

pub mod compare;
pub mod error;
pub mod follow;
pub mod heatmap;
pub mod kv;
pub mod metrics;
mod num;
pub mod overview;
pub mod render;
pub mod report;
pub mod run;
pub mod scan;
pub mod stats;
pub mod summary;
pub mod why;

pub use error::{AnalysisError, Damage, DamageCause, Result};
pub use metrics::Label;
pub use overview::Overview;
pub use run::{Format, JobFacts, Part, Run, Runs};
pub use scan::{Cols, Numbers, Scan, ScanOptions, Scanned, Strings};
