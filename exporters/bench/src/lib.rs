//! Rows that look like a serving engine's, seeded, and process counters.

#![forbid(unsafe_code)]

mod counters;
mod rows;

pub use counters::{Counters, Measured};
pub use rows::{Ids, Requests, Samples, run_schema};
