//! The same SQL on a Ballista cluster.
//!
//! A scheduler and its executors are started by [`scheduler`] and [`executor`] (`kvlens cluster` on the command line), so
//! that they know the functions of the histogram column and how runs are read; [`session`] sends queries there. Executors
//! read the files themselves: the paths of the runs must lead to the same files on each of them. Whole Parquet files only:
//! Ballista splits no other leaf of a plan than a scan of files, so that rows of unfinished runs and of other formats can't be
//! handed out, and are refused.

mod client;
mod codec;
mod nodes;

pub use client::session;
pub use nodes::{ExecutorOptions, executor, scheduler};

use crate::functions;
use ballista_core::extension::SessionConfigExt;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionConfig;
use std::sync::Arc;

/// The configuration of a session that any member of a cluster understands.
fn configured(config: SessionConfig) -> SessionConfig {
    config
        .upgrade_for_ballista()
        .with_ballista_logical_extension_codec(Arc::new(codec::RunLogicalCodec::default()))
}

/// Adds the functions of the histogram column.
fn with_functions(mut state: SessionStateBuilder) -> SessionStateBuilder {
    let (scalars, aggregates) = functions::shared();
    state.scalar_functions().get_or_insert_default().extend(scalars);
    state
        .aggregate_functions()
        .get_or_insert_default()
        .extend(aggregates);
    state
}
