//! Distributions of integers: record fast, store small, merge exactly, answer with a stated error.
//!
//! | type | for |
//! |---|---|
//! | [`Config`] | the bucket layout: log-linear ("H2"), as in the crate `histogram` and Rezolus |
//! | [`SparseHistogram`] | what was recorded in one interval: stored, merged, asked for quantiles |
//! | [`DenseHistogram`] | what many of them add up to |
//! | [`FixedHistogram`] | fixed boundaries, as Prometheus hands them over; its error is the bucket's width |
//!
//! Recording goes through the handles of [`recorder`](crate::recorder).

mod config;
mod dense;
mod fixed;
mod quantile;
mod sparse;

pub use config::Config;
pub use dense::DenseHistogram;
pub use fixed::FixedHistogram;
pub use quantile::Quantile;
pub(crate) use quantile::rank;
pub use sparse::SparseHistogram;
