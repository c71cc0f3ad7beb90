//! Schedulers and executors.

use super::{codec, configured, with_functions};
use ballista_core::RuntimeProducer;
use ballista_core::error::BallistaError;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Runs a scheduler on a listener that is bound already, until its future is dropped.
///
/// `host` is the name that executors and clients reach it by.
///
/// # Errors
/// [`BallistaError`] when it can't be served.
pub async fn scheduler(listener: TcpListener, host: &str) -> Result<(), BallistaError> {
    let address: SocketAddr = listener.local_addr()?;
    let config = SchedulerConfig {
        external_host: host.to_owned(),
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        override_logical_codec: Some(Arc::new(codec::RunLogicalCodec::default())),
        override_config_producer: Some(Arc::new(|| configured(SessionConfig::new()))),
        override_session_builder: Some(Arc::new(|config| {
            let state = ballista_core::utils::default_session_builder(configured(config))?;
            let state = SessionStateBuilder::new_from_existing(state)
                .with_runtime_env(Arc::new(crate::session::runtime().build()?));
            Ok(with_functions(state).build())
        })),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let server = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await?;
    start_grpc_service_with_listener(listener, server).await
}

/// How an executor is run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExecutorOptions {
    /// The scheduler's host and port.
    pub scheduler: (String, u16),
    /// The address it listens on.
    pub bind: IpAddr,
    /// The name that others reach it by; `None` takes the address.
    pub host: Option<String>,
    /// The port for shuffled rows; the one above is for tasks.
    pub port: u16,
    /// Tasks at a time; `None` takes one per core.
    pub tasks: Option<usize>,
    /// Where shuffled rows are kept; `None` takes a temporary directory.
    pub work_dir: Option<PathBuf>,
}

impl ExecutorOptions {
    /// The port that executors listen on by default.
    pub const PORT: u16 = 50_051;

    /// An executor on loopback for a scheduler.
    pub fn new(scheduler_host: impl Into<String>, scheduler_port: u16) -> Self {
        Self {
            scheduler: (scheduler_host.into(), scheduler_port),
            bind: [127, 0, 0, 1].into(),
            host: None,
            port: Self::PORT,
            tasks: None,
            work_dir: None,
        }
    }
}

/// Runs an executor until it is told to end.
///
/// # Errors
/// [`BallistaError`] when the scheduler can't be reached or a port is taken.
pub async fn executor(options: ExecutorOptions) -> Result<(), BallistaError> {
    let (scheduler_host, scheduler_port) = options.scheduler;
    let mut registry = BallistaFunctionRegistry::default();
    let (scalars, aggregates) = crate::functions::shared();
    let named = scalars
        .into_iter()
        .map(|function| (function.name().to_owned(), function));
    registry.scalar_functions.extend(named);
    let named = aggregates
        .into_iter()
        .map(|function| (function.name().to_owned(), function));
    registry.aggregate_functions.extend(named);
    let default = ExecutorProcessConfig::default();
    let spilled = options.work_dir.clone();
    let runtime: RuntimeProducer = Arc::new(move |_| {
        let runtime = crate::session::runtime();
        let runtime = match &spilled {
            Some(dir) => runtime.with_temp_file_path(dir),
            None => runtime,
        };
        Ok(Arc::new(runtime.build()?))
    });
    let config = ExecutorProcessConfig {
        bind_host: options.bind.to_string(),
        external_host: options.host.or_else(|| Some(options.bind.to_string())),
        port: options.port,
        grpc_port: options.port.saturating_add(1),
        scheduler_host,
        scheduler_port,
        vcores: options.tasks.unwrap_or(default.vcores),
        work_dir: options.work_dir.map(|dir| dir.display().to_string()),
        override_runtime_producer: Some(runtime),
        override_function_registry: Some(Arc::new(registry)),
        override_config_producer: Some(Arc::new(|| configured(SessionConfig::new()))),
        override_logical_codec: Some(Arc::new(codec::RunLogicalCodec::default())),
        ..default
    };
    start_executor_process(Arc::new(config)).await
}
