//! Questions about the KV cache that engines' own metrics leave open.
//!
//! | question | answer |
//! |---|---|
//! | What would more (or less) memory give? | [`MissRatioCurve`], exact or [sampled](ShardsOptions) |
//! | How long do blocks live, those at the end included? | [`Lives::residency`] |
//! | How soon is a block used again? | [`StackDistances`], [`Lives`] |
//! | What was evicted only to be computed again? | [`Lives::refetched`] |

mod accesses;
mod answers;
mod curve;
mod lives;
mod stack;

pub use accesses::{AccessSummary, access_curve, access_summary};
pub use answers::{KvAnswers, MULTIPLES, Residency, ReuseGapOf, WhatIf, answers};
pub use curve::{
    CurvePoint, FEWEST_CONTENTS, MissRatioCurve, ReuseDistance, ShardsOptions, exact_curve, sampled_curve,
};
pub use lives::{Lives, Refetched};
pub use stack::StackDistances;
