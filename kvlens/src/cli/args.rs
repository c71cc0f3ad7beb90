//! What the command line says, with what a configuration file says underneath.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kvlens_analysis::kv::ShardsOptions;
use kvlens_analysis::report::Size;
use kvlens_analysis::why::MOST_REQUESTS;
use serde::Deserialize;
use std::path::PathBuf;

/// Records what happens inside an LLM inference engine, and reads it back.
#[derive(Debug, Parser)]
#[command(name = "kvlens", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all went well; 1 it failed, and the message says why; 2 the command line or the configuration is wrong; \
3 the run went through but not everything could be recorded; 4 a --fail-if condition holds; 130 interrupted, and what was recorded is kept.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Replays requests on the built-in engine and records the run.
    ///
    /// Without arguments it runs a built-in workload (multi-turn conversations that share a prefix) on the CPU.
    Run(Box<RunArgs>),
    /// Makes runs whole that were cut off: turns what was flushed and not sealed into proper files.
    Recover(DirArgs),
    /// Shows what is in a run, or in every run of a directory.
    Inspect(InspectArgs),
    /// Rewrites runs of many small files as few large, sorted ones; a job of several processes as one run.
    Compact(CompactArgs),
    /// Sends runs to a store: what an outage or a kill left on disk, or any run.
    #[cfg(feature = "store")]
    Upload(UploadArgs),
    /// Sums a run up: totals, rates, quantiles with intervals, trends, warnings with their evidence.
    Summary(SummaryArgs),
    /// Says where the time of a request went, and which steps took it.
    Why(WhyArgs),
    /// Answers questions about the KV cache: what more memory would give, how long blocks live, what evictions cost.
    Cache(CacheArgs),
    /// Sets runs side by side, and says which differences are more than noise.
    Compare(CompareArgs),
    /// Makes a report to look at: one HTML file with plots, that needs nothing else and no network.
    Report(ReportArgs),
    /// Shows a run in the terminal while it is being written.
    ///
    /// Only reads files, so it can't disturb the engine. Keys: q quits, h shows the others.
    Watch(WatchArgs),
    /// Answers SQL over one run or many, or opens a shell.
    #[cfg(feature = "sql")]
    Sql(SqlArgs),
    /// Starts the members of a cluster that `kvlens sql --cluster` sends queries to.
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Lists every standard metric and what other systems call it.
    Catalog(CatalogArgs),
    /// Prints a shell's completion script.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Every option can also stand in the configuration file, with `_` for `-`.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct RunArgs {
    /// A request trace: Mooncake JSONL, Azure CSV or kvlens JSONL, told apart by content. The built-in workload without it.
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// The trace's format, where it should not be guessed.
    #[arg(long, value_name = "FORMAT")]
    pub(super) trace_format: Option<String>,
    /// Skip and count lines of the trace that can't be read, instead of stopping.
    #[arg(long)]
    pub(super) skip_bad_lines: bool,
    /// What executes: `cpu` (a small real model) or `sim[:[Nx]GPU[:MODEL]]` (no tensors, a virtual clock), such as
    /// `sim:h100` or `sim:4xh200:llama-3-70b`, or `cuda[:N]` (a GPU; needs the feature `cuda`) [default: cpu].
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
    /// Sizes of the model that `cpu` and `cuda` compute, with random weights: a preset (built-in, llama-3.2-1b, llama-3-8b,
    /// mistral-7b, qwen2.5-7b) or layers x heads x KV heads x head size, such as 4x32x8x128 [default: built-in].
    #[arg(long, value_name = "SHAPE")]
    pub(super) model_shape: Option<String>,
    /// How `cpu` and `cuda` store KV: f16 or bf16 [default: f16].
    #[arg(long, value_name = "TYPE")]
    pub(super) dtype: Option<String>,
    /// Tokens of a KV block [default: 16].
    #[arg(long, value_name = "TOKENS")]
    pub(super) block_size: Option<u32>,
    /// KV blocks of the pool [default: 4096; on `cuda` what fits].
    #[arg(long, value_name = "BLOCKS")]
    pub(super) kv_blocks: Option<u32>,
    /// Share of the free GPU memory that KV blocks may take, where --kv-blocks does not say it [default: 0.9].
    #[arg(long, value_name = "SHARE")]
    pub(super) kv_memory_share: Option<f64>,
    /// Blocks of the host pool that `--preempt swap` uses [default: as many as --kv-blocks].
    #[arg(long, value_name = "BLOCKS")]
    pub(super) host_blocks: Option<u32>,
    /// Requests that run at once, at most [default: 256].
    #[arg(long, value_name = "REQUESTS")]
    pub(super) max_running: Option<u32>,
    /// Tokens computed in a step, at most: longer prefills are cut into chunks [default: 8192].
    #[arg(long, value_name = "TOKENS")]
    pub(super) max_step_tokens: Option<u32>,
    /// When requests arrive: `trace`, `burst` (all at once) or `closed:N` (N in flight) [default: trace; closed:16 for
    /// the built-in workload].
    #[arg(long, value_name = "ARRIVALS")]
    pub(super) arrivals: Option<String>,
    /// Speed of the trace's arrivals: 2 halves the time between them [default: 1].
    #[arg(long, value_name = "FACTOR")]
    pub(super) speed: Option<f64>,
    /// Stop after this many requests.
    #[arg(long, value_name = "REQUESTS")]
    pub(super) limit: Option<u64>,
    /// What happens to a request when blocks run out [default: recompute].
    #[arg(long, value_name = "HOW")]
    pub(super) preempt: Option<Preempt>,
    /// Which requests run first [default: fcfs].
    #[arg(long, value_name = "POLICY")]
    pub(super) policy: Option<QueuePolicy>,
    /// Keep no blocks for later requests with the same prefix.
    #[arg(long)]
    pub(super) no_prefix_caching: bool,
    /// Conversations of the built-in workload, of five turns each [default: 32].
    #[arg(long, value_name = "N")]
    pub(super) conversations: Option<u32>,
    /// Seed of the built-in workload and model [default: 0].
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Directory that receives the run, as `run_id=ID`, or the URL of a store, such as `s3://bucket/prefix` (needs the feature
    /// `store`) [default: runs].
    #[arg(long, value_name = "DIR|URL")]
    pub(super) out: Option<PathBuf>,
    /// Directory in which parts wait for the store [default: kvlens/spool in the user's cache directory].
    #[arg(long, value_name = "DIR")]
    pub(super) spool: Option<PathBuf>,
    /// How long the end of the run waits for a store that takes nothing, before what is left stays on disk [default: 30s].
    #[arg(long, value_name = "TIME")]
    pub(super) patience: Option<String>,
    /// Age at which a Parquet part is sealed, and goes to the store if there is one [default: 10min].
    #[arg(long, value_name = "TIME")]
    pub(super) part_time: Option<String>,
    /// File formats to write [default: parquet].
    #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
    pub(super) write: Option<Vec<Format>>,
    /// Time between samples, on the device's clock, such as 100ms; at least 1ms [default: 1s].
    #[arg(long, value_name = "TIME")]
    pub(super) interval: Option<String>,
    /// Tables to record, of samples, steps, requests, blocks and accesses (large); or `all`, which leaves out accesses; or
    /// `none` [default: all].
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    pub(super) tables: Option<Vec<String>>,
    /// Record one block life in this many [default: 1].
    #[arg(long, value_name = "N")]
    pub(super) block_sample_every: Option<u32>,
    /// Look how many tokens of each prompt agree with the cached block that it misses (`almost_hit_tokens`); keeps a copy of
    /// all cached tokens.
    #[arg(long)]
    pub(super) almost_hits: bool,
    /// The run's identifier [default: time and process].
    #[arg(long, value_name = "ID")]
    pub(super) run_id: Option<String>,
    /// The job that this process is one of several of; its rank is what `KVLENS_RANK` or the launcher says [default: what
    /// `KVLENS_JOB` or the launcher says].
    #[arg(long, value_name = "ID")]
    pub(super) job: Option<String>,
    /// A TOML file with these options; what stands on the command line counts more.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,
    /// Print nothing but errors.
    #[arg(long, short, conflicts_with = "json")]
    pub(super) quiet: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// How a request gives its blocks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Preempt {
    /// Its KV is thrown away and computed again.
    Recompute,
    /// Its KV moves to host memory and back.
    Swap,
}

/// Who runs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum QueuePolicy {
    /// First come, first served.
    Fcfs,
    /// Lower priority numbers first.
    Priority,
}

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Parquet parts, crash-safe.
    Parquet,
    /// CSV files.
    Csv,
    /// Arrow IPC files.
    Arrow,
}

#[derive(Debug, Args)]
pub(super) struct DirArgs {
    /// A run, or a directory of runs.
    pub(super) dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    /// Runs, directories of runs, patterns, or jobs (`DIR/job=ID`, or a directory with the runs of one job).
    #[arg(required = true, value_name = "RUN")]
    pub(super) runs: Vec<PathBuf>,
    /// Directory that receives the new runs, as `run_id=ID`.
    #[arg(long, short, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Remove a source once every row of it has been found in the new run.
    #[arg(long)]
    pub(super) remove: bool,
    /// Threads that encode columns [default: one].
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[cfg(feature = "store")]
#[derive(Debug, Args)]
pub(super) struct UploadArgs {
    /// A run, or a directory of runs, such as a spool.
    pub(super) dir: PathBuf,
    /// The URL of the store, such as `s3://bucket/prefix`, for runs that were not on their way to one.
    #[arg(long, value_name = "URL")]
    pub(super) to: Option<String>,
    /// Keep the files on disk [default: keep them, except of a run that was recorded towards a store].
    #[arg(long, conflicts_with = "remove")]
    pub(super) keep: bool,
    /// Remove files once the store has them.
    #[arg(long)]
    pub(super) remove: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// A run, or a directory of runs; or the URL of either in a store.
    pub(super) dir: PathBuf,
    /// Show every column of every table too.
    #[arg(long)]
    pub(super) columns: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// How runs are read and answers printed.
#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Print Markdown.
    #[arg(long, conflicts_with = "json")]
    pub(super) markdown: bool,
    /// Pass over damaged files and name them, instead of stopping.
    #[arg(long)]
    pub(super) skip_damaged: bool,
    /// Threads that read [default: one per core].
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct SummaryArgs {
    /// A run, finished or not; or the URL of one in a store.
    pub(super) run: PathBuf,
    #[command(flatten)]
    pub(super) read: ReadArgs,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// A run, finished or not; or the URL of one in a store.
    pub(super) run: PathBuf,
    /// The request of this identifier.
    #[arg(long, value_name = "ID", conflicts_with = "slowest")]
    pub(super) request: Option<String>,
    /// The slowest requests, from 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = slowest)]
    pub(super) slowest: usize,
    #[command(flatten)]
    pub(super) read: ReadArgs,
}

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// A run, finished or not; the hit rate against the cache's size needs its table `accesses`.
    pub(super) run: PathBuf,
    /// Follow this share of the block contents, from 0.000001 to 1, and tell the error [default: all, a sample beyond 10 million
    /// look-ups].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(super) sample: Option<f64>,
    #[command(flatten)]
    pub(super) read: ReadArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// A run, finished or not; several, or those of a pattern, are laid over each other, and compared with the first.
    #[arg(required = true)]
    pub(super) runs: Vec<PathBuf>,
    /// The HTML file; `-` for the standard output. With --svg or --png the directory of their files [default: report.html,
    /// or the current directory].
    #[arg(long, short, value_name = "PATH")]
    pub(super) out: Option<PathBuf>,
    /// Write these plots, each as PLOT.svg, instead of the page; `all` for every one.
    #[arg(long, value_name = "PLOT", value_delimiter = ',')]
    pub(super) svg: Vec<String>,
    /// Write these plots, each as PLOT.png for printing (288 pixels to the inch), instead of the page; `all` for every one.
    #[arg(long, value_name = "PLOT", value_delimiter = ',')]
    pub(super) png: Vec<String>,
    /// The size of single plots in pixels of a screen, 96 to the inch [default: 680x380].
    #[arg(long, value_name = "SIZE", value_parser = plot_size)]
    pub(super) size: Option<Size>,
    /// Pass over damaged files and name them, instead of stopping.
    #[arg(long)]
    pub(super) skip_damaged: bool,
    /// Threads that read [default: one per core].
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
}

/// The size of a plot, such as `680x380`.
fn plot_size(text: &str) -> Result<Size, String> {
    let sides = text.split_once('x');
    let sides = sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides
        .and_then(|(width, height)| Size::new(width, height))
        .ok_or_else(|| {
            format!(
                "write it like 680x380, with sides from {} to {}",
                Size::LEAST,
                Size::MOST
            )
        })
}

/// How many of the slowest requests are explained.
fn slowest(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|error| format!("{error}"))?;
    if (1..=MOST_REQUESTS).contains(&count) {
        Ok(count)
    } else {
        Err(format!("from 1 to {MOST_REQUESTS} requests are explained"))
    }
}

/// A share of block contents that can be followed.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (ShardsOptions::LEAST_RATE..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(format!("a share is from {} to 1", ShardsOptions::LEAST_RATE))
    }
}

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Two runs or more, their URLs, or a pattern; the first is the baseline.
    #[arg(required = true)]
    pub(super) runs: Vec<PathBuf>,
    /// Exit with 4 if this holds for a run, such as `ttft_p99>+5%`; can be given several times.
    #[arg(long, value_name = "CONDITION")]
    pub(super) fail_if: Vec<String>,
    #[command(flatten)]
    pub(super) read: ReadArgs,
}

/// Tables: samples, steps, requests, blocks, accesses and runs; a shell where no query is given.
#[cfg(feature = "sql")]
#[derive(Debug, Args)]
pub(super) struct SqlArgs {
    /// Runs, directories of runs, patterns, DIR/job=ID, URLs of stores; then the query, which may also come from standard input.
    #[arg(required = true, value_name = "RUN… [QUERY]")]
    pub(super) runs: Vec<String>,
    /// The query, where the last argument should not be taken for it.
    #[arg(long, short, value_name = "QUERY")]
    pub(super) command: Option<String>,
    /// Print JSON: a list of objects.
    #[arg(long)]
    pub(super) json: bool,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    /// Print Markdown.
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    pub(super) markdown: bool,
    /// Write the answer to a file; .parquet, .arrow, .csv, .json, .md or .txt says how.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The most rows of a printed table.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(super) rows: usize,
    /// Let the cluster of this scheduler execute the queries; its executors must see the runs at the same paths.
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) cluster: Option<String>,
    /// Threads that a query is spread over [default: one per core].
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Memory that a query may hold before it goes on disk, such as 4GB [default: no limit].
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<String>,
}

#[cfg(feature = "cluster")]
#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Plans queries and hands their tasks out; one per cluster.
    Scheduler(SchedulerArgs),
    /// Executes tasks; one per machine.
    Executor(ExecutorArgs),
}

#[cfg(feature = "cluster")]
#[derive(Debug, Args)]
pub(super) struct SchedulerArgs {
    /// The address to listen on. There is no authentication: keep it in a network that you trust.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:50050")]
    pub(super) listen: std::net::SocketAddr,
    /// The name that others reach it by [default: the address].
    #[arg(long)]
    pub(super) host: Option<String>,
}

#[cfg(feature = "cluster")]
#[derive(Debug, Args)]
pub(super) struct ExecutorArgs {
    /// The scheduler.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50050")]
    pub(super) scheduler: String,
    /// The address to listen on; the port after it is taken too.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:50051")]
    pub(super) listen: std::net::SocketAddr,
    /// The name that others reach it by [default: the address].
    #[arg(long)]
    pub(super) host: Option<String>,
    /// Tasks at a time [default: one per core].
    #[arg(long, value_name = "N")]
    pub(super) tasks: Option<usize>,
    /// Where rows on their way are kept [default: a temporary directory].
    #[arg(long, value_name = "DIR")]
    pub(super) work_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// A run, or a directory of runs: the one that began last is shown, or the first one to come.
    #[arg(default_value = "runs")]
    pub(super) dir: PathBuf,
    /// Print what is known now as text, and end.
    #[arg(long)]
    pub(super) once: bool,
    /// The recent past that rates and latencies are of, such as 90s: the nearest of 30s, 2min, 10min, 1h and 6h, or `run`
    /// for the whole run.
    #[arg(long, value_name = "TIME", default_value = "2min")]
    pub(super) window: String,
    /// Time between two looks at the files, at least 50ms.
    #[arg(long, value_name = "TIME", default_value = "250ms")]
    pub(super) refresh: String,
}

#[derive(Debug, Args)]
pub(super) struct CatalogArgs {
    /// How to print it.
    #[arg(long, value_enum, default_value_t = CatalogFormat::Table)]
    pub(super) format: CatalogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CatalogFormat {
    /// A table for the terminal.
    Table,
    /// Markdown.
    Markdown,
    /// JSON.
    Json,
}

impl RunArgs {
    /// Lays these options over others: what is set here counts more.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            trace: self.trace.or(under.trace),
            trace_format: self.trace_format.or(under.trace_format),
            skip_bad_lines: self.skip_bad_lines || under.skip_bad_lines,
            device: self.device.or(under.device),
            model_shape: self.model_shape.or(under.model_shape),
            dtype: self.dtype.or(under.dtype),
            block_size: self.block_size.or(under.block_size),
            kv_blocks: self.kv_blocks.or(under.kv_blocks),
            kv_memory_share: self.kv_memory_share.or(under.kv_memory_share),
            host_blocks: self.host_blocks.or(under.host_blocks),
            max_running: self.max_running.or(under.max_running),
            max_step_tokens: self.max_step_tokens.or(under.max_step_tokens),
            arrivals: self.arrivals.or(under.arrivals),
            speed: self.speed.or(under.speed),
            limit: self.limit.or(under.limit),
            preempt: self.preempt.or(under.preempt),
            policy: self.policy.or(under.policy),
            no_prefix_caching: self.no_prefix_caching || under.no_prefix_caching,
            conversations: self.conversations.or(under.conversations),
            seed: self.seed.or(under.seed),
            out: self.out.or(under.out),
            spool: self.spool.or(under.spool),
            patience: self.patience.or(under.patience),
            part_time: self.part_time.or(under.part_time),
            write: self.write.or(under.write),
            interval: self.interval.or(under.interval),
            tables: self.tables.or(under.tables),
            block_sample_every: self.block_sample_every.or(under.block_sample_every),
            almost_hits: self.almost_hits || under.almost_hits,
            run_id: self.run_id.or(under.run_id),
            job: self.job.or(under.job),
            config: self.config.or(under.config),
            quiet: self.quiet || under.quiet,
            json: self.json || under.json,
        }
    }
}
