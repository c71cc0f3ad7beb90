//! What the crate promises, one file per promise, in one binary.

#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/comparison.rs"]
mod comparison;
#[path = "suite/curve.rs"]
mod curve;
#[path = "suite/faults.rs"]
mod faults;
#[path = "suite/figures.rs"]
mod figures;
#[path = "suite/made.rs"]
mod made;
#[path = "suite/reading.rs"]
mod reading;
