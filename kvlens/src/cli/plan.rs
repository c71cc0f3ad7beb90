//! From what was asked for to what is done: every value checked, every default in one place.

use super::args::{Format, Preempt, QueuePolicy, RunArgs};
use super::device::DeviceChoice;
use super::error::CliError;
use kvlens_core::{CollectorBuilder, Table, Tables};
use kvlens_native::trace::{TraceFormat, TraceOptions};
use kvlens_native::workload::{Arrivals, Conversations};
use kvlens_native::{EngineConfig, Policy, Preemption};
use kvlens_schema::layout::{check_run_id, store_scheme};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Requests in flight for the built-in workload, unless said otherwise.
const BUILTIN_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// What `kvlens run` does.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) device: DeviceChoice,
    pub(super) engine: EngineConfig,
    pub(super) requests: Requests,
    pub(super) arrivals: Arrivals,
    pub(super) limit: Option<u64>,
    pub(super) record: Record,
    pub(super) quiet: bool,
    pub(super) json: bool,
    /// The options that differ from their defaults, for `run.json`.
    pub(super) options: Vec<(&'static str, String)>,
}

/// Where requests come from.
#[derive(Debug, Clone)]
pub(super) enum Requests {
    Builtin(Conversations),
    Trace(PathBuf, TraceOptions),
}

/// What is recorded, and where it goes.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) out: PathBuf,
    /// Where parts wait for the store, if `out` is one.
    #[cfg_attr(not(feature = "store"), expect(dead_code, reason = "there is no store"))]
    pub(super) spool: Option<PathBuf>,
    /// How long the end waits for the store.
    #[cfg_attr(not(feature = "store"), expect(dead_code, reason = "there is no store"))]
    pub(super) patience: Option<Duration>,
    pub(super) part_time: Option<Duration>,
    pub(super) run_id: Option<String>,
    pub(super) job: Option<String>,
    pub(super) formats: Vec<kvlens::Format>,
    pub(super) interval: Duration,
    pub(super) tables: Tables,
    pub(super) almost_hits: bool,
}

impl Plan {
    pub(super) fn new(args: &RunArgs) -> Result<Self, CliError> {
        let requests = requests(args)?;
        Ok(Self {
            device: DeviceChoice::new(args)?,
            arrivals: arrivals(args, &requests)?,
            engine: engine(args)?,
            requests,
            limit: args.limit,
            options: options(args),
            record: record(args)?,
            quiet: args.quiet,
            json: args.json,
        })
    }
}

fn requests(args: &RunArgs) -> Result<Requests, CliError> {
    let Some(path) = args.trace.clone() else {
        if let Some(format) = &args.trace_format {
            return Err(CliError::usage("trace-format", format, "it needs --trace FILE"));
        }
        let workload = Conversations::new(args.seed.unwrap_or(0));
        let conversations = args.conversations.unwrap_or(Conversations::DEFAULT_CONVERSATIONS);
        return Ok(Requests::Builtin(workload.with_conversations(conversations)));
    };
    if let Some(conversations) = args.conversations {
        let mend = "it sizes the built-in workload, which --trace replaces";
        return Err(CliError::usage("conversations", conversations, mend));
    }
    let mut options = TraceOptions::new().with_skip_bad_lines(args.skip_bad_lines);
    if let Some(text) = &args.trace_format {
        let format: TraceFormat =
            text.parse()
                .map_err(|error: kvlens_native::trace::UnknownTraceFormat| {
                    CliError::usage("trace-format", text, error)
                })?;
        options = options.with_format(format);
    }
    Ok(Requests::Trace(path, options))
}

fn arrivals(args: &RunArgs, requests: &Requests) -> Result<Arrivals, CliError> {
    let wrong = |option: &str, value: String, error| CliError::usage(option, value, error);
    let arrivals = match (&args.arrivals, requests) {
        (Some(text), _) => text
            .parse()
            .map_err(|error: kvlens_native::workload::ArrivalsError| {
                wrong("arrivals", text.clone(), error)
            })?,
        (None, Requests::Builtin(_)) => Arrivals::Closed {
            in_flight: BUILTIN_IN_FLIGHT,
        },
        (None, Requests::Trace(..)) => Arrivals::AS_RECORDED,
    };
    match args.speed {
        Some(speed) => arrivals
            .with_speed(speed)
            .map_err(|error| wrong("speed", speed.to_string(), error)),
        None => Ok(arrivals),
    }
}

fn engine(args: &RunArgs) -> Result<EngineConfig, CliError> {
    let mut config = EngineConfig::default();
    let settings = [
        ("block-size", args.block_size, &mut config.block_size),
        ("kv-blocks", args.kv_blocks, &mut config.kv_blocks),
        ("max-running", args.max_running, &mut config.max_running),
        (
            "max-step-tokens",
            args.max_step_tokens,
            &mut config.max_step_tokens,
        ),
        (
            "block-sample-every",
            args.block_sample_every,
            &mut config.block_sample_every,
        ),
    ];
    for (option, value, setting) in settings {
        match value {
            Some(0) => return Err(CliError::usage(option, 0, "it must be at least 1")),
            Some(value) => *setting = value,
            None => {}
        }
    }
    config.prefix_caching = !args.no_prefix_caching;
    config.preemption = match args.preempt {
        Some(Preempt::Swap) => Preemption::Swap,
        Some(Preempt::Recompute) | None => Preemption::Recompute,
    };
    config.policy = match args.policy {
        Some(QueuePolicy::Priority) => Policy::Priority,
        Some(QueuePolicy::Fcfs) | None => Policy::Fcfs,
    };
    if config.preemption == Preemption::Swap {
        config.host_blocks = args.host_blocks.unwrap_or(config.kv_blocks);
    } else if let Some(blocks) = args.host_blocks {
        return Err(CliError::usage("host-blocks", blocks, "it needs --preempt swap"));
    }
    Ok(config)
}

fn record(args: &RunArgs) -> Result<Record, CliError> {
    let formats = args.write.clone().unwrap_or_else(|| vec![Format::Parquet]);
    let mut unique = Vec::new();
    for format in formats {
        let format = match format {
            Format::Parquet => kvlens::Format::Parquet,
            Format::Csv => kvlens::Format::Csv,
            Format::Arrow => kvlens::Format::Arrow,
        };
        if !unique.contains(&format) {
            unique.push(format);
        }
    }
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs"));
    if let (Some(spool), None) = (&args.spool, store_scheme(&out)) {
        let mend = "it needs --out with the URL of a store, such as s3://bucket/prefix";
        return Err(CliError::usage("spool", spool.display(), mend));
    }
    if cfg!(not(feature = "store")) && store_scheme(&out).is_some() {
        let mend = "build with the feature `store` to write to object storage, or name a directory";
        return Err(CliError::usage("out", out.display(), mend));
    }
    if let Some(id) = &args.run_id {
        check_run_id(id).map_err(|error| CliError::usage("run-id", id, error))?;
    }
    Ok(Record {
        out,
        spool: args.spool.clone(),
        patience: time("patience", args.patience.as_ref())?,
        part_time: time("part-time", args.part_time.as_ref())?,
        run_id: args.run_id.clone(),
        job: args.job.clone(),
        formats: unique,
        interval: interval(args)?,
        tables: tables(args.tables.as_deref())?,
        almost_hits: args.almost_hits,
    })
}

fn time(option: &str, text: Option<&String>) -> Result<Option<Duration>, CliError> {
    let parse = |text: &String| {
        humantime::parse_duration(text).map_err(|error| {
            let source = format!("{error}; write a number with its unit, such as 100ms, 30s or 10min");
            CliError::usage(option, text, source)
        })
    };
    text.map(parse).transpose()
}

fn interval(args: &RunArgs) -> Result<Duration, CliError> {
    let interval = time("interval", args.interval.as_ref())?.unwrap_or(Duration::from_secs(1));
    if interval < CollectorBuilder::MIN_INTERVAL {
        let text = args.interval.as_deref().unwrap_or_default();
        return Err(CliError::usage("interval", text, "use at least 1ms"));
    }
    Ok(interval)
}

fn tables(names: Option<&[String]>) -> Result<Tables, CliError> {
    let Some(names) = names else {
        return Ok(Tables::STANDARD);
    };
    let mut tables = Tables::NONE;
    for name in names {
        match (name.as_str(), Table::from_name(name)) {
            ("none", _) if names.len() == 1 => {}
            ("all", _) => Tables::STANDARD
                .iter()
                .for_each(|table| tables = tables.with(table)),
            (_, Some(table)) => tables = tables.with(table),
            _ => {
                let known = Table::ALL.map(Table::name).join(", ");
                let source = format!("no table is named `{name}`: choose from {known}, or all or none");
                return Err(CliError::usage("tables", names.join(","), source));
            }
        }
    }
    Ok(tables)
}

/// What was asked for, as text, so that a run says how it came about.
fn options(args: &RunArgs) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone();
    let path = |value: &Option<PathBuf>| value.as_ref().map(|path| path.display().to_string());
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    let all = [
        ("trace", path(&args.trace)),
        ("trace_format", text(&args.trace_format)),
        ("device", text(&args.device)),
        ("model_shape", text(&args.model_shape)),
        ("dtype", text(&args.dtype)),
        ("block_size", number(args.block_size)),
        ("kv_blocks", number(args.kv_blocks)),
        ("host_blocks", number(args.host_blocks)),
        (
            "kv_memory_share",
            args.kv_memory_share.map(|share| share.to_string()),
        ),
        ("conversations", number(args.conversations)),
        ("max_running", number(args.max_running)),
        ("max_step_tokens", number(args.max_step_tokens)),
        ("arrivals", text(&args.arrivals)),
        ("speed", args.speed.map(|speed| speed.to_string())),
        ("limit", args.limit.map(|limit| limit.to_string())),
        (
            "preempt",
            args.preempt.map(|how| format!("{how:?}").to_lowercase()),
        ),
        (
            "policy",
            args.policy.map(|policy| format!("{policy:?}").to_lowercase()),
        ),
        (
            "no_prefix_caching",
            args.no_prefix_caching.then(|| "true".to_owned()),
        ),
        ("seed", args.seed.map(|seed| seed.to_string())),
        ("block_sample_every", number(args.block_sample_every)),
        ("almost_hits", args.almost_hits.then(|| "true".to_owned())),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &RunArgs) -> String {
        let error = Plan::new(args).unwrap_err();
        assert_eq!(error.code(), 2);
        error.chain()
    }

    #[test]
    fn defaults_make_a_plan() {
        let plan = Plan::new(&RunArgs::default()).unwrap();
        assert!(matches!(plan.device, DeviceChoice::Cpu(_)));
        assert_eq!(plan.record.tables, Tables::STANDARD);
        assert!(plan.options.is_empty());
    }

    #[test]
    fn wrong_values_are_named_with_the_mend() {
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            (
                RunArgs {
                    device: text("tpu"),
                    ..RunArgs::default()
                },
                "--device tpu: write cpu, sim",
            ),
            (
                RunArgs {
                    device: text("sim:abacus"),
                    ..RunArgs::default()
                },
                "no GPU is named `abacus`: choose one of",
            ),
            (
                RunArgs {
                    arrivals: text("closed:0"),
                    ..RunArgs::default()
                },
                "at least 1",
            ),
            (
                RunArgs {
                    interval: text("soon"),
                    ..RunArgs::default()
                },
                "--interval soon: expected number at 0; write a number with its unit, such as 100ms",
            ),
            (
                RunArgs {
                    block_size: Some(0),
                    ..RunArgs::default()
                },
                "--block-size 0: it must be at least 1",
            ),
            (
                RunArgs {
                    speed: Some(-1.0),
                    ..RunArgs::default()
                },
                "--speed -1",
            ),
            (
                RunArgs {
                    host_blocks: Some(5),
                    ..RunArgs::default()
                },
                "it needs --preempt swap",
            ),
            (
                RunArgs {
                    trace_format: text("azure"),
                    ..RunArgs::default()
                },
                "it needs --trace FILE",
            ),
            (
                RunArgs {
                    tables: Some(vec!["stepz".into()]),
                    ..RunArgs::default()
                },
                "no table is named `stepz`: choose from samples, steps",
            ),
        ];
        for (args, expected) in cases {
            let text = error(&args);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn tables_are_named_or_all_or_none() {
        let of = |names: &[&str]| {
            tables(Some(&names.iter().map(ToString::to_string).collect::<Vec<_>>())).unwrap()
        };
        assert_eq!(of(&["none"]), Tables::NONE);
        assert_eq!(of(&["all", "accesses"]), Tables::ALL);
        assert_eq!(of(&["steps"]), Tables::NONE.with(Table::Steps));
    }
}
