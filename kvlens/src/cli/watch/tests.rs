//! Screens of runs made for the purpose, drawn into memory.

use super::draw::{Palette, draw};
use super::state::{State, nearest_window};
use super::text;
use kvlens_core::record::{Opt32, Opt64};
use kvlens_core::run::RunEnd;
use kvlens_core::{Batch, Exporter, RequestRow, RunInfo, RunSchema, SourceIndex, SourceInfo, StepRow};
use kvlens_parquet::{ParquetExporter, ParquetOptions};
use kvlens_schema::Manifest;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::path::Path;

/// When the run begins.
const START: u64 = 1_790_000_000_000_000_000;

fn step(second: u64, engine: u32) -> StepRow {
    StepRow {
        monotonic_ns: START + second * 1_000_000_000,
        step: second,
        engine_index: engine,
        step_time_ns: Opt64::some(20_000_000),
        requests_running: 4 + engine,
        requests_waiting: u32::try_from(second % 7).unwrap(),
        requests_finished: 1,
        prompt_tokens: 100,
        generation_tokens: 50,
        prefix_cache_queries: Opt32::some(100),
        prefix_cache_hits: Opt32::some(81),
        kv_blocks_total: Opt32::some(1_000),
        kv_blocks_used: Opt32::some(250),
        kv_blocks_cached: Opt32::some(500),
        kv_blocks_free: Opt32::some(250),
        preemptions_recompute: Opt32::some(u32::from(second == 90)),
        ..StepRow::default()
    }
}

fn request(second: u64) -> RequestRow {
    let ms = |ms: u64| Opt64::some(ms * 1_000_000);
    RequestRow {
        monotonic_ns: START + second * 1_000_000_000,
        arrival: START + second * 1_000_000_000,
        time_to_first_token_ns: ms(80 + second % 10),
        time_per_output_token_ns: ms(7),
        e2e_latency_ns: ms(900),
        queue_time_ns: ms(1),
        ..RequestRow::default()
    }
}

/// Two minutes of two engines.
fn write(out: &Path, ended: bool) {
    let source = SourceInfo::new("engine-0", "vllm")
        .with_model("llama-3-8b")
        .with_device("H100");
    let schema = RunSchema::new(RunInfo::new("demo"), vec![source], vec![]);
    let mut exporters: [Box<dyn Exporter>; 2] = [
        Box::new(Manifest::create(out)),
        Box::new(ParquetExporter::create(out, ParquetOptions::default())),
    ];
    let steps = (0..120)
        .flat_map(|second| [step(second, 0), step(second, 1)])
        .collect();
    let requests = (0..120).map(request).collect();
    let batches = [
        Batch::Steps(SourceIndex(0), steps),
        Batch::Requests(SourceIndex(0), requests),
    ];
    let mut end = RunEnd::default();
    end.clean_stop = true;
    for exporter in &mut exporters {
        exporter.begin(&schema).unwrap();
        batches.iter().for_each(|batch| exporter.write(batch).unwrap());
        exporter.flush().unwrap();
        if ended {
            exporter.finish(&end).unwrap();
        }
    }
}

fn looked(out: &Path, window: &str) -> State {
    let mut state = State::new(out.to_path_buf(), nearest_window(window).unwrap());
    state.look().unwrap();
    assert!(state.follow().is_some());
    state
}

fn press(state: &mut State, code: KeyCode) -> bool {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn eighty_by_twenty_four_shows_everything() {
    let out = tempfile::tempdir().unwrap();
    write(out.path(), true);
    let screen = text(&looked(out.path(), "10min"), 80, 24).unwrap();
    let expected = include_str!("screen.txt");
    assert_eq!(screen, expected, "\n{screen}");
}

#[test]
fn keys_choose_windows_and_engines_and_end() {
    let out = tempfile::tempdir().unwrap();
    write(out.path(), true);
    let mut state = looked(out.path(), "30s");
    let shown = |state: &State| text(state, 120, 30).unwrap();
    assert!(shown(&state).contains("last 30 s") && shown(&state).contains("all 2 engines"));
    assert!(!press(&mut state, KeyCode::Char('w')) && shown(&state).contains("last 2 min"));
    press(&mut state, KeyCode::Char('W'));
    press(&mut state, KeyCode::Char('W'));
    assert!(shown(&state).contains("the whole run"), "{}", shown(&state));
    press(&mut state, KeyCode::Char('s'));
    assert!(shown(&state).contains("engine-0 [0]"));
    press(&mut state, KeyCode::Char('s'));
    let second = shown(&state);
    assert!(
        second.contains("engine-0 [1]")
            && second
                .lines()
                .any(|line| line.split_whitespace().take(2).eq(["running", "5"])),
        "{second}"
    );
    press(&mut state, KeyCode::Char('s'));
    assert!(shown(&state).contains("all 2 engines"));
    press(&mut state, KeyCode::Char('p'));
    assert!(shown(&state).contains("paused"));
    press(&mut state, KeyCode::Char('p'));
    press(&mut state, KeyCode::Char('h'));
    assert!(shown(&state).contains("evictable, holding a reusable prefix"));
    assert!(!press(&mut state, KeyCode::Esc), "it only closes the help");
    assert!(press(&mut state, KeyCode::Char('q')));
    assert!(state.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}

#[test]
fn a_run_that_nobody_writes_any_more_is_told() {
    let out = tempfile::tempdir().unwrap();
    write(out.path(), false);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(200);
    let steps = out.path().join("run_id=demo");
    for table in ["steps", "requests", "samples", "blocks"] {
        let stream = steps.join(table).join("_part-00000.00000.arrows");
        std::fs::File::options()
            .write(true)
            .open(stream)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    let screen = text(&looked(out.path(), "2min"), 100, 24).unwrap();
    assert!(
        screen.contains("no new data for 200 s") && screen.contains("kvlens recover"),
        "{screen}"
    );
    assert!(
        screen.contains("of 2,000"),
        "the blocks of both engines: {screen}"
    );
}

#[test]
fn before_there_is_a_run_it_waits() {
    let out = tempfile::tempdir().unwrap();
    let mut state = State::new(out.path().to_path_buf(), 1);
    state.look().unwrap();
    assert!(state.is_waiting());
    assert!(text(&state, 120, 5).unwrap().contains("waiting for a run in"));
    write(out.path(), true);
    state.look_and_tell();
    assert!(text(&state, 80, 24).unwrap().contains("ended"));
    std::fs::remove_dir_all(out.path().join("run_id=demo")).unwrap();
    state.look_and_tell();
    assert!(text(&state, 120, 24).unwrap().contains("could not read"));
}

#[test]
fn any_size_is_drawn() {
    let out = tempfile::tempdir().unwrap();
    write(out.path(), false);
    let mut state = looked(out.path(), "2min");
    for (width, height) in [
        (1, 1),
        (2, 3),
        (10, 4),
        (20, 10),
        (44, 12),
        (60, 18),
        (79, 23),
        (200, 60),
        (300, 2),
    ] {
        for _ in 0..2 {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            let screen = state.screen();
            terminal
                .draw(|frame| draw(frame, &screen, Palette::from_environment()))
                .unwrap();
            press(&mut state, KeyCode::Char('h'));
        }
    }
}

#[test]
fn windows_are_named_by_their_length() {
    assert_eq!(nearest_window("run").unwrap(), 5);
    assert_eq!(
        nearest_window("70s").unwrap(),
        1,
        "2 min is nearer than 30 s, by the ratio"
    );
    assert_eq!(nearest_window("1day").unwrap(), 4);
    assert!(nearest_window("soon").is_err());
}
