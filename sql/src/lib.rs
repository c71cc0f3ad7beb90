//! SQL over kvlens runs, on DataFusion.
//!
//! Without the feature `engine` this crate is empty: `cargo test --workspace` should not have to compile a query engine.
#![forbid(unsafe_code)]

#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "engine")]
pub mod error;
#[cfg(feature = "engine")]
pub mod functions;
#[cfg(feature = "engine")]
pub mod session;
#[cfg(feature = "engine")]
pub mod tables;

#[cfg(feature = "engine")]
pub use error::{Result, SqlError};
#[cfg(feature = "engine")]
pub use functions::register;
#[cfg(feature = "engine")]
pub use session::{SessionOptions, session};
#[cfg(feature = "engine")]
pub use tables::RunCatalog;

/// The engine, in the version that this crate is built with.
#[cfg(feature = "engine")]
pub use datafusion;
