//! A DataFusion session, set up for runs.

use crate::error::Result;
use crate::functions::register;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// How a session executes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Threads that a query is spread over; `None` takes one per core.
    pub threads: Option<NonZeroUsize>,
    /// Memory that queries may hold before they go on disk, in bytes; `None` sets no limit.
    pub memory: Option<usize>,
}

impl SessionOptions {
    /// Sets the threads; 0 counts as 1. Default: one per core.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN));
        self
    }

    /// Sets the bytes that queries may hold before they go on disk. Default: no limit.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The session's configuration.
    pub fn config(&self) -> SessionConfig {
        let config = SessionConfig::new().with_information_schema(true);
        match self.threads {
            Some(threads) => config.with_target_partitions(threads.get()),
            None => config,
        }
    }
}

/// Makes a session that knows the functions of the histogram column; tables come from a
/// [`RunCatalog`](crate::RunCatalog).
///
/// # Errors
/// [`SqlError::Engine`](crate::SqlError::Engine) when no directory for spilled rows can be made.
pub fn session(options: &SessionOptions) -> Result<SessionContext> {
    let mut runtime = runtime();
    if let Some(bytes) = options.memory {
        runtime = runtime.with_memory_limit(bytes, 1.0);
    }
    let session = SessionContext::new_with_config_rt(options.config(), Arc::new(runtime.build()?));
    register(&session);
    Ok(session)
}

/// A runtime that opens stores as queries name them, where this is built for stores.
pub(crate) fn runtime() -> RuntimeEnvBuilder {
    let runtime = RuntimeEnvBuilder::new();
    #[cfg(feature = "store")]
    let runtime = runtime.with_object_store_registry(Arc::new(crate::tables::OpensStores::default()));
    runtime
}
