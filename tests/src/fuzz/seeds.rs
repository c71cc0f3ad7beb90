//! Inputs for the fuzz targets to begin with: the files of a real run, finished and not, and texts.

use kvlens::arrow::{ArrowExporter, ArrowOptions};
use kvlens::core::collector::RowPolicy;
use kvlens::core::memory::MemoryExporter;
use kvlens::core::recorder::{Overflow, Recorder};
use kvlens::core::run::RunEnd;
use kvlens::core::{
    Batch, Exporter, ManualClock, RunInfo, RunSchema, SourceIndex, SourceInfo, Table, Tables, catalog,
};
use kvlens::csv::{CsvExporter, CsvOptions};
use kvlens::native::device::sim::{SimDevice, SimSpec};
use kvlens::native::recording::RecordingOptions;
use kvlens::native::replay::{Pace, Replay};
use kvlens::native::workload::{Arrivals, Conversations};
use kvlens::native::{Engine, EngineConfig, Recording};
use kvlens::parquet::{ParquetExporter, ParquetOptions};
use kvlens::schema::Manifest;
use kvlens::{RunBuilder, schema};
use std::error::Error;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A steps table for the manifest's target.
pub(super) const CSV_STEPS: &str = "timestamp,source,step,step_time_ns,requests_running,requests_waiting,generation_tokens\n\
    2026-11-24T02:23:15Z,engine-0,0,1000000,3,1,3\n2026-11-24T02:23:16Z,engine-0,1,1200000,2,0,2\n";
/// A requests table for the manifest's target.
pub(super) const CSV_REQUESTS: &str = "timestamp,source,request_id,arrival,finish_reason,prompt_tokens,generation_tokens,time_to_first_token_ns,e2e_latency_ns\n\
    2026-11-24T02:23:16Z,engine-0,r1,2026-11-24T02:23:15Z,stop,10,5,1000000,5000000\n";

/// Makes a run that has a manifest and nothing else; says where.
pub(super) fn empty_run(out: &Path) -> PathBuf {
    let metrics = [
        &catalog::REQUESTS_RUNNING,
        &catalog::GENERATION_TOKENS,
        &catalog::INTER_TOKEN_LATENCY,
        &catalog::STEP_TIME,
    ];
    let schema = RunSchema::new(
        RunInfo::new("empty"),
        vec![SourceInfo::new("engine-0", "fuzz")],
        metrics.map(Clone::clone).into(),
    );
    Manifest::create(out)
        .begin(&schema)
        .expect("a directory of our own");
    out.join("run_id=empty")
}

/// Writes the seeds of every target into a directory of its own.
///
/// # Errors
/// When the engine, the exporters or the file system refuse.
pub fn write(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let out = tempfile::tempdir()?;
    let recorded = replay(out.path())?;
    let runs = out.path().join("runs");
    for finish in [true, false] {
        export(&runs, &recorded, finish)?;
    }
    files(corpus, &runs)?;
    texts(corpus)?;
    calls(corpus)
}

/// Replays conversations on a simulated device with too few blocks, and keeps the rows.
fn replay(out: &Path) -> Result<MemoryExporter, Box<dyn Error>> {
    let mut config = EngineConfig::default();
    config.kv_blocks = 160;
    let spec: SimSpec = "sim:h100".parse()?;
    let clock = Arc::new(ManualClock::new(1_790_000_000_000_000_000));
    let device = SimDevice::new(&spec, config.block_size, clock.clone());
    let recorder = Recorder::new(SourceInfo::new("engine-0", "kvlens-native").with_device("sim"));
    let options = RecordingOptions::new(Tables::ALL).with_overflow(Overflow::Block);
    let recording = Recording::new(&recorder, options)?;
    let mut engine = Engine::new(config, Box::new(device), clock.clone(), recording)?;
    let memory = MemoryExporter::new();
    let mut run = RunBuilder::new(out)
        .exporter(memory.clone())
        .interval(Duration::from_millis(50))
        .tables(Tables::ALL)
        .collector(|collector| collector.clock(clock.clone()).row_policy(RowPolicy::Wait))
        .drive(&recorder)?;
    let replay = Replay::new(Pace::Virtual(clock.clone())).with_arrivals(Arrivals::Closed {
        in_flight: NonZeroUsize::MIN.saturating_add(7),
    });
    let replay = replay.on_step(|step| run.after_step(step.step.end_ns));
    let workload = Conversations::new(1).with_conversations(4).with_turns(3);
    replay.run_all(&mut engine, workload.requests())?;
    drop(engine);
    run.finish();
    Ok(memory)
}

/// Writes the rows in every format; of a run that is not finished the files are left as a kill would leave them.
fn export(out: &Path, recorded: &MemoryExporter, finish: bool) -> Result<(), Box<dyn Error>> {
    let schema = recorded.schema().ok_or("nothing was recorded")?;
    let mut run = (*schema).clone();
    let name = if finish { "finished" } else { "killed" };
    run.run = RunInfo::new(name).with_tables(Tables::ALL);
    let small = ParquetOptions::default().with_row_group_rows(60).with_threads(1);
    let mut exporters: [Box<dyn Exporter>; 4] = [
        Box::new(Manifest::create(out)),
        Box::new(ParquetExporter::create(out, small)),
        Box::new(ArrowExporter::create(out, ArrowOptions::default())),
        Box::new(CsvExporter::create(out, CsvOptions::default())),
    ];
    let source = SourceIndex(0);
    let mut batches = Vec::new();
    batches.extend(
        recorded
            .samples()
            .chunks(5)
            .take(4)
            .map(|rows| Batch::Samples(rows.to_vec())),
    );
    batches.extend(
        recorded
            .steps()
            .chunks(25)
            .take(6)
            .map(|rows| Batch::Steps(source, rows.to_vec())),
    );
    batches.extend(
        recorded
            .requests()
            .chunks(5)
            .take(3)
            .map(|rows| Batch::Requests(source, rows.to_vec())),
    );
    batches.extend(
        recorded
            .blocks()
            .chunks(25)
            .take(4)
            .map(|rows| Batch::Blocks(source, rows.to_vec())),
    );
    batches.extend(
        recorded
            .accesses()
            .chunks(25)
            .take(4)
            .map(|rows| Batch::Accesses(source, rows.to_vec())),
    );
    let mut end = RunEnd::default();
    end.clean_stop = true;
    for exporter in &mut exporters {
        exporter.begin(&run)?;
        for batch in &batches {
            exporter.write(batch)?;
        }
        exporter.flush()?;
        if finish {
            exporter.finish(&end)?;
        }
    }
    Ok(())
}

/// Lays the files of the runs out as the targets take them.
fn files(corpus: &Path, runs: &Path) -> Result<(), Box<dyn Error>> {
    let mut seeds = Seeds(corpus);
    for run in ["finished", "killed"] {
        let dir = runs.join(format!("run_id={run}"));
        seeds.put("run_json", run, &fs::read(dir.join(schema::layout::MANIFEST))?)?;
        for (number, table) in (0_u8..).zip(Table::ALL) {
            let tables = u8::try_from(Table::ALL.len())?;
            let (name, seed) = (table.name(), format!("{run}-{}", table.name()));
            let parts = dir.join(name);
            seeds.file(
                "parquet_part",
                &seed,
                &[number],
                &[parts.join("part-00000.parquet")],
            )?;
            let footer = parts.join("_part-00000.footer");
            if let Ok(length) = fs::metadata(&footer) {
                let [low, high] = u16::try_from(length.len())?.to_le_bytes();
                let files = [footer, parts.join("_part-00000.parquet")];
                seeds.file("open_part", &seed, &[number, low, high], &files)?;
            }
            for group in 0..4 {
                let stream = parts.join(format!("_part-00000.{group:05}.arrows"));
                seeds.file("arrow_ipc", &format!("{seed}-{group}"), &[number], &[stream])?;
            }
            let open = [
                dir.join(format!("_{name}.arrow")),
                dir.join(format!("{name}.arrow")),
            ];
            seeds.file(
                "arrow_ipc",
                &format!("{seed}-open"),
                &[number + 2 * tables],
                &open[..1],
            )?;
            seeds.file(
                "arrow_ipc",
                &format!("{seed}-file"),
                &[number + tables],
                &open[1..],
            )?;
            for (prefix, mode) in [("", 0), ("_", tables)] {
                let csv = dir.join(format!("{prefix}{name}.csv"));
                seeds.file("csv_table", &format!("{seed}{prefix}"), &[number + mode], &[csv])?;
            }
        }
    }
    Ok(())
}

/// Texts as people write them.
fn texts(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let mut seeds = Seeds(corpus);
    let traces = [
        "{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46, 47, 48]}\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.03,1,2\n",
        "{\"id\":\"a\",\"arrival_s\":0.5,\"prompt\":[1,2,3],\"max_tokens\":4,\"priority\":1}\n{\"prompt_tokens\":9,\"max_tokens\":1}\n",
    ];
    for (format, trace) in (1_u8..).zip(traces) {
        for mode in [0, format, format | 4, format | 8] {
            let bytes = [&[mode], trace.as_bytes()].concat();
            seeds.put("trace", &format!("{format}-{mode}"), &bytes)?;
        }
    }
    let config = "device = \"sim:2xh100:llama-3-8b\"\narrivals = \"closed:8\"\nblock_size = 16\nkv_blocks = 99\nspeed = 2.0\n\
        interval = \"100ms\"\ntables = [\"all\", \"accesses\"]\nwrite = [\"csv\"]\npreempt = \"swap\"\npolicy = \"priority\"\n";
    seeds.put("config", "all", config.as_bytes())?;
    seeds.put(
        "config",
        "shape",
        b"model_shape = \"4x32x8x128\"\ndtype = \"bf16\"\nseed = 3\nlimit = 2\n",
    )?;
    let page = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n\
        vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\nvllm:generation_tokens_total{engine=\"0\"} 12.0\n\
        vllm:cache_config_info{engine=\"0\",num_gpu_blocks=\"100\"} 1.0\nprocess_start_time_seconds 1.7e9\n\
        vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.1\"} 2\n\
        vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\"} 3\nvllm:time_to_first_token_seconds_sum{engine=\"0\"} 0.4\n";
    seeds.put(
        "metrics_page",
        "two",
        format!("{page}\0{}", page.replace("12.0", "15.0")).as_bytes(),
    )?;
    let open = r#"{"out":"runs","run_id":"r-1","formats":["csv","arrow"],"tables":["samples","steps"],"interval_ms":5,
        "flush_interval_ms":5,"stall_timeout_ms":100,"host":"h","attributes":{"a":"b"},"queues":{"steps":9,"requests":9,"blocks":9},
        "source":{"name":"engine-0","engine":"vllm","engine_version":"1","model":"m","device":"cpu","clock_domain":"d","attributes":{}}}"#;
    Ok(seeds.put("open_config", "all", open.as_bytes())?)
}

/// Bytes that are many different calls.
fn calls(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let mut seeds = Seeds(corpus);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..48 {
        let mut bytes = Vec::new();
        for _ in 0..(16 << (number % 6)) {
            // Marsaglia's xorshift: the seeds are the same everywhere.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        for target in ["push_calls", "push_figures"] {
            seeds.put(target, &number.to_string(), &bytes)?;
        }
    }
    Ok(())
}

/// A directory with one directory per target.
struct Seeds<'a>(&'a Path);

impl Seeds<'_> {
    fn put(&mut self, target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let dir = self.0.join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(format!("seed-{name}")), bytes)
    }

    /// A seed of a head and files one after the other; none where a file is missing.
    fn file(&mut self, target: &str, name: &str, head: &[u8], files: &[PathBuf]) -> std::io::Result<()> {
        let mut bytes = head.to_vec();
        for file in files {
            match fs::read(file) {
                Ok(content) => bytes.extend(content),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.put(target, name, &bytes)
    }
}
