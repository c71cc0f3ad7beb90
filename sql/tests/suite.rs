//! What the crate promises, one file per promise, in one binary.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "runs are made up from small numbers"
)]

#[path = "suite/ask.rs"]
mod ask;
#[path = "../examples/embed.rs"]
#[expect(dead_code, reason = "its `main` is for the command line")]
mod embed;
#[path = "suite/functions.rs"]
mod functions;
#[path = "suite/made.rs"]
mod made;
#[path = "suite/merging.rs"]
mod merging;
#[path = "suite/tables.rs"]
mod tables;
