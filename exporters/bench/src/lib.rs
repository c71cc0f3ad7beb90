//! Rows that look like a serving engine's, seeded; arrow-rs used plainly; process counters.

#![forbid(unsafe_code)]

mod counters;
mod plain;
mod rows;

pub use counters::{Counters, Measured};
pub use plain::Plain;
pub use rows::{Ids, Requests, Samples, run_schema};
