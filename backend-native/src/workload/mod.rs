//! What an engine is given to do: when requests arrive, and a workload that needs no trace.

mod arrivals;
mod builtin;

pub use arrivals::{Arrivals, ArrivalsError};
pub use builtin::{Conversations, Turns};
