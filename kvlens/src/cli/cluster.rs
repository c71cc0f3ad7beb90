//! `kvlens cluster`: the members of a Ballista cluster that know our tables and functions.

use super::Outcome;
use super::args::{ClusterCommand, ExecutorArgs, SchedulerArgs};
use super::error::CliError;
use kvlens_core::BoxError;
use kvlens_sql::cluster::{ExecutorOptions, executor, scheduler};
use tokio::net::TcpListener;

pub(super) fn run(command: ClusterCommand) -> Result<Outcome, CliError> {
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| CliError::failed("can't start threads", error))?;
    runtime.block_on(async {
        let ended = match command {
            ClusterCommand::Scheduler(args) => serve(args).await,
            ClusterCommand::Executor(args) => execute(args).await,
        };
        ended.map(|()| Outcome::Well)
    })
}

async fn serve(args: SchedulerArgs) -> Result<(), CliError> {
    let taken = |error: std::io::Error| CliError::failed(format!("can't listen on {}", args.listen), error);
    let listener = TcpListener::bind(args.listen).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    let host = args.host.unwrap_or_else(|| address.ip().to_string());
    println!("scheduler at {host}:{}", address.port());
    tokio::select! {
        ended = scheduler(listener, &host) => ended.map_err(|error| CliError::failed("the scheduler failed", error)),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn execute(args: ExecutorArgs) -> Result<(), CliError> {
    let wrong = |error: BoxError| CliError::usage("scheduler", &args.scheduler, error);
    let (host, port) = args
        .scheduler
        .rsplit_once(':')
        .ok_or_else(|| wrong("write it like HOST:PORT".into()))?;
    let port = port
        .parse()
        .map_err(|_| wrong("the port must be a number up to 65535".into()))?;
    let mut options = ExecutorOptions::new(host, port);
    options.bind = args.listen.ip();
    options.port = args.listen.port();
    options.host = args.host;
    options.tasks = args.tasks;
    options.work_dir = args.work_dir;
    println!("executor at {} for {}", args.listen, args.scheduler);
    executor(options)
        .await
        .map_err(|error| CliError::failed("the executor failed", error))
}
