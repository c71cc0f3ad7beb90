//! What the crate promises, one file per promise, in one binary.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "runs are made up from small numbers"
)]

#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/comparison.rs"]
mod comparison;
#[path = "suite/curve.rs"]
mod curve;
#[path = "suite/drawing.rs"]
mod drawing;
#[path = "suite/faults.rs"]
mod faults;
#[path = "suite/figures.rs"]
mod figures;
#[path = "suite/follow.rs"]
mod follow;
#[path = "suite/made.rs"]
mod made;
#[path = "suite/reading.rs"]
mod reading;
#[path = "suite/report.rs"]
mod report;
