//! The published Mooncake conversation trace, one request at a time: totals that vLLM's semantics give.

use kvlens_core::recorder::Recorder;
use kvlens_core::{ManualClock, SourceInfo, StatsSource, Tables, catalog};
use kvlens_native::device::sim::{SimDevice, SimSpec};
use kvlens_native::trace::{TraceOptions, TraceReader};
use kvlens_native::{Engine, EngineConfig, Recording, RecordingOptions};
use std::path::PathBuf;
use std::sync::Arc;

/// Prompt tokens of the trace.
const PROMPT_TOKENS: u64 = 144_793_823;

fn trace() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces/mooncake_conversation.jsonl");
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent; put the published traces there to run this test", path.display());
        return None;
    }
    Some(path)
}

/// Runs the prompts, each with one output token, since outputs are not prompts of this trace's later requests.
fn hits(block_size: u32, kv_blocks: u32) -> Option<u64> {
    let path = trace()?;
    let recorder = Recorder::new(SourceInfo::new("engine", "kvlens-native"));
    let queries = recorder.counter(&catalog::PREFIX_CACHE_QUERIES).unwrap();
    let hits = recorder.counter(&catalog::PREFIX_CACHE_HITS).unwrap();
    let recording = Recording::new(&recorder, RecordingOptions::new(Tables::NONE.with(kvlens_core::Table::Requests))).unwrap();
    let mut source = recorder.source().unwrap();
    assert!(!source.metrics().is_empty());
    let clock = Arc::new(ManualClock::new(0));
    let device = SimDevice::new(&SimSpec::default(), block_size, clock.clone());
    let mut config = EngineConfig::new(block_size, kv_blocks);
    config.max_running = 1;
    let mut engine = Engine::new(config, Box::new(device), clock, recording).unwrap();
    for request in TraceReader::open(path, TraceOptions::new()).unwrap() {
        let mut request = request.unwrap();
        request.max_tokens = 1;
        engine.add(request).unwrap();
        while engine.has_work() {
            engine.step().unwrap();
        }
    }
    engine.finish().unwrap();
    engine.audit().unwrap();
    assert_eq!(queries.value(), PROMPT_TOKENS);
    Some(hits.value())
}

#[test]
fn hits_with_blocks_of_512() {
    if let Some(hits) = hits(512, 400_000) {
        assert_eq!(hits, 54_063_104);
    }
}

#[test]
fn hits_with_blocks_of_16() {
    if let Some(hits) = hits(16, 8_000_000) {
        assert_eq!(hits, 54_097_440);
    }
}
