//! What is recorded: times of a scripted device, failures, look-ups, nothing.

mod common;

use common::{Bench, null};
use kvlens_core::record::FinishReason;
use kvlens_core::recorder::Recorder;
use kvlens_core::{BoxError, ManualClock, SourceInfo, StatsSource, Table, Tables, catalog};
use kvlens_native::device::{Device, DeviceInfo, DeviceTime, StepBatch, StepOutput};
use kvlens_native::{Engine, EngineConfig, Error, Prompt, Recording, RecordingOptions, Request};
use std::sync::Arc;

/// Takes 100 ns for decodes and 1000 ns for prefills, tells it so many steps late, and fails or lies when told to.
#[derive(Debug)]
struct Scripted {
    info: DeviceInfo,
    clock: Arc<ManualClock>,
    owed: Vec<DeviceTime>,
    fails_in: Option<u64>,
    lies_in: Option<u64>,
}

fn scripted(late: u32, clock: &Arc<ManualClock>) -> Scripted {
    let mut info = DeviceInfo::new("scripted");
    info.steps_late = late;
    info.virtual_time = true;
    Scripted {
        info,
        clock: clock.clone(),
        owed: Vec::new(),
        fails_in: None,
        lies_in: None,
    }
}

impl Device for Scripted {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn execute(&mut self, batch: &StepBatch<'_>, output: &mut StepOutput) -> Result<(), BoxError> {
        if self.fails_in == Some(batch.step) {
            return Err("the cable came off".into());
        }
        let prefills = batch.iter().filter(|sequence| !sequence.decode).count() as u64;
        let decodes = batch.iter().filter(|sequence| sequence.decode).count() as u64;
        let device_ns = prefills * 1_000 + decodes.min(1) * 100;
        self.clock.advance(device_ns);
        self.owed.push(DeviceTime {
            step: batch.step,
            device_ns,
            energy_mj: Some(device_ns * 2),
        });
        let known = self.owed.len().saturating_sub(self.info.steps_late as usize);
        output.times.extend(self.owed.drain(..known));
        let sampled = batch.iter().filter(|sequence| sequence.sampled).count();
        let given = sampled + usize::from(self.lies_in == Some(batch.step));
        output.tokens.extend(std::iter::repeat_n(5, given));
        Ok(())
    }

    fn finish(&mut self, output: &mut StepOutput) -> Result<(), BoxError> {
        output.times.append(&mut self.owed);
        Ok(())
    }
}

/// An engine on a scripted device that shares its clock.
fn bench(config: EngineConfig, change: impl FnOnce(&mut Scripted)) -> Bench {
    let clock = Arc::new(ManualClock::new(0));
    let mut device = scripted(0, &clock);
    change(&mut device);
    Bench::on_clock(config, Box::new(device), clock)
}

#[test]
fn device_times_may_come_late() {
    for late in 0..3 {
        let mut bench = bench(EngineConfig::new(4, 20), |device| device.info.steps_late = late);
        bench.add(vec![1; 6], 5, 0);
        bench.run_to_end();
        bench.finish();
        let rows = &bench.recorded.steps;
        let times: Vec<_> = rows.iter().map(|row| row.device_time_ns.get().unwrap()).collect();
        assert_eq!(times, [1_000, 100, 100, 100, 100], "{late} steps late");
        assert!(
            rows.iter()
                .all(|row| row.energy_mj.get() == row.device_time_ns.get().map(|ns| ns * 2))
        );
        assert!(rows.iter().zip(0..).all(|(row, step)| row.step == step));
    }
}

#[test]
fn a_stall_is_what_others_prefills_cost() {
    let mut bench = bench(EngineConfig::new(4, 20), |_| {});
    bench.add(vec![1; 6], 6, 0);
    bench.step();
    bench.step();
    bench.add(vec![2; 6], 1, 0);
    bench.add(vec![3; 6], 1, 0);
    bench.run_to_end();
    bench.finish();
    let row = |id: &str| {
        *bench
            .recorded
            .requests
            .iter()
            .find(|row| row.request_id.as_str() == id)
            .unwrap()
    };
    assert_eq!(
        row("0").stalled_time_ns.get(),
        Some(2_000),
        "two prefills of 1000 ns in one step"
    );
    assert_eq!(row("1").stalled_time_ns.get(), Some(0));
    // One decode step, one with prefills, three more; 1000 ns and 10 ns pass between two steps.
    assert_eq!(row("0").decode_time_ns.get(), Some(5 * (100 + 1_010) + 2_000));
    assert_eq!(row("0").inter_token_latency_max_ns.get(), Some(2_100 + 1_010));
    assert_eq!(row("0").time_to_first_token_ns.get(), Some(1_000 + 1_000));
    assert_eq!(
        bench.histogram(&catalog::INTER_TOKEN_LATENCY),
        (5, 5 * 1_110 + 2_000)
    );
    assert_eq!(bench.histogram(&catalog::TIME_TO_FIRST_TOKEN).0, 3);
    assert_eq!(
        bench.histogram(&catalog::TIME_PER_OUTPUT_TOKEN).0,
        1,
        "requests of one token have none"
    );
}

#[test]
fn a_stall_nobody_can_know_is_null() {
    let mut bench = bench(EngineConfig::new(4, 20), |_| {});
    bench.add(vec![1; 6], 3, 0);
    bench.step();
    bench.add(vec![2; 6], 1, 0);
    bench.run_to_end();
    bench.finish();
    let first = bench
        .recorded
        .requests
        .iter()
        .find(|row| row.request_id.as_str() == "0")
        .unwrap();
    assert_eq!(
        first.stalled_time_ns.get(),
        None,
        "no step without a prefill came before"
    );
}

#[test]
fn a_device_that_fails_ends_what_it_had() {
    let mut config = EngineConfig::new(4, 20);
    config.max_running = 1;
    let mut bench = bench(config, |device| device.fails_in = Some(2));
    bench.add(vec![1; 6], 9, 0);
    bench.add(vec![1; 6], 3, 0);
    bench.step();
    bench.step();
    let failed = bench.engine.step().unwrap_err();
    assert!(
        matches!(
            failed,
            Error::Device {
                step: 2,
                failed: 1,
                ..
            }
        ),
        "{failed:?}"
    );
    assert_eq!(
        std::error::Error::source(&failed).unwrap().to_string(),
        "the cable came off"
    );
    let state = bench.engine.state();
    assert_eq!(
        (
            state.kv_blocks_used,
            state.kv_blocks_cached,
            state.requests_waiting
        ),
        (0, 0, 1)
    );
    bench.run_to_end();
    bench.finish();
    let reasons: Vec<_> = bench
        .recorded
        .requests
        .iter()
        .map(|row| row.finish_reason)
        .collect();
    assert_eq!(reasons, [FinishReason::Error, FinishReason::Length]);
    assert_eq!(bench.counter(&catalog::REQUESTS_FINISHED_ERROR), 1);
    assert_eq!(
        bench.counter(&catalog::PREFIX_CACHE_HITS),
        0,
        "what the blocks hold is not known any more"
    );
    let steps: Vec<_> = bench.recorded.steps.iter().map(|row| row.step).collect();
    assert_eq!(steps, [0, 1, 3, 4, 5], "the failed step has no row");
}

#[test]
fn a_device_that_lies_is_caught() {
    let mut bench = bench(EngineConfig::new(4, 20), |device| device.lies_in = Some(1));
    bench.add(vec![1; 6], 9, 0);
    bench.step();
    let lie = bench.engine.step().unwrap_err();
    assert!(
        matches!(
            lie,
            Error::DeviceContract {
                step: 1,
                found: 2,
                wanted: 1,
                ..
            }
        ),
        "{lie}"
    );
    assert!(!bench.engine.has_work());
    bench.engine.audit().unwrap();
}

#[test]
fn look_ups_are_recorded_block_by_block() {
    let mut bench = Bench::new(EngineConfig::new(4, 20), null);
    bench.add((0..10).collect(), 1, 0);
    bench.step();
    bench.add((0..8).chain([99; 6]).collect(), 1, 0);
    bench.step();
    bench.finish();
    let rows = &bench.recorded.accesses;
    let places: Vec<_> = rows.iter().map(|row| (row.position, row.hit)).collect();
    assert_eq!(places, [(0, false), (1, false), (0, true), (1, true), (2, false)]);
    assert_eq!(rows[0].prefix_hash, rows[2].prefix_hash);
    assert!(
        rows.iter()
            .all(|row| row.first_admission && row.sample_every == 1)
    );
}

#[test]
fn look_ups_are_sampled_by_content() {
    let mut config = EngineConfig::new(1, 2_000);
    config.access_sample_every = 4;
    let mut bench = Bench::new(config, null);
    for _ in 0..2 {
        bench.add((0..1_001).collect(), 1, 0);
        bench.run_to_end();
    }
    bench.finish();
    let rows = &bench.recorded.accesses;
    let (first, second) = rows.split_at(rows.len() / 2);
    assert!((190..310).contains(&first.len()), "{} of 1001", first.len());
    let names =
        |rows: &[kvlens_core::record::AccessRow]| rows.iter().map(|row| row.prefix_hash).collect::<Vec<_>>();
    assert_eq!(names(first), names(second), "always or never");
}

#[test]
fn tables_can_be_left_out() {
    let run = |tables: Tables| {
        let recorder = Recorder::new(SourceInfo::new("engine", "kvlens-native"));
        let recording = Recording::new(&recorder, RecordingOptions::new(tables)).unwrap();
        let on = recording.is_on();
        let mut source = recorder.source().unwrap();
        let clock = Arc::new(ManualClock::new(0));
        let device = Box::new(scripted(0, &clock));
        let mut engine = Engine::new(EngineConfig::new(4, 20), device, clock, recording).unwrap();
        engine.add(Request::new(1, Prompt::tokens([1; 9]), 3)).unwrap();
        while engine.has_work() {
            engine.step().unwrap();
        }
        engine.finish().unwrap();
        let mut seen = common::Recorded::default();
        source.drain(&mut seen).unwrap();
        source.sample(&mut seen).unwrap();
        (on, seen)
    };
    let (on, nothing) = run(Tables::NONE);
    assert!(!on && nothing.counters.is_empty() && nothing.steps.is_empty());
    let (on, requests) = run(Tables::NONE.with(Table::Requests));
    assert!(on && requests.steps.is_empty() && requests.blocks.is_empty() && requests.accesses.is_empty());
    assert_eq!(requests.requests.len(), 1);
    let (_, rest) = run(Tables::ALL.without(Table::Requests));
    assert!(rest.requests.is_empty());
    assert_eq!(
        (rest.steps.len(), rest.blocks.len(), rest.accesses.len()),
        (3, 3, 2)
    );
}

#[test]
fn settings_that_can_not_be_are_refused() {
    let refuse = |change: fn(&mut EngineConfig), info: DeviceInfo| {
        let clock = Arc::new(ManualClock::new(0));
        let mut config = EngineConfig::new(4, 20);
        change(&mut config);
        let mut device = scripted(0, &clock);
        device.info = info;
        match Engine::new(config, Box::new(device), clock, Recording::off()) {
            Err(Error::Config { setting, .. }) => setting,
            other => panic!("{other:?}"),
        }
    };
    let any = || DeviceInfo::new("any");
    assert_eq!(refuse(|config| config.block_size = 0, any()), "block_size");
    assert_eq!(refuse(|config| config.kv_blocks = 0, any()), "kv_blocks");
    assert_eq!(refuse(|config| config.kv_blocks = u32::MAX, any()), "kv_blocks");
    assert_eq!(refuse(|config| config.max_running = 0, any()), "max_running");
    assert_eq!(
        refuse(|config| config.max_step_tokens = 0, any()),
        "max_step_tokens"
    );
    let small = |blocks, host_blocks, block_size| {
        let mut info = any();
        (info.blocks, info.host_blocks, info.block_size) = (blocks, host_blocks, block_size);
        info
    };
    assert_eq!(
        refuse(|_| {}, small(Some(20), None, None)),
        "kv_blocks",
        "the null block needs one more"
    );
    assert_eq!(
        refuse(|config| config.host_blocks = 3, small(None, Some(2), None)),
        "host_blocks"
    );
    assert_eq!(refuse(|_| {}, small(None, None, Some(16))), "block_size");
}
