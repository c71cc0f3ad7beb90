//! The replay driver: arrivals in virtual and in real time, limits, cancelling, failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvlens_core::{Clock, ManualClock, SystemClock};
use kvlens_native::device::NullDevice;
use kvlens_native::device::sim::{SimDevice, SimSpec};
use kvlens_native::replay::{CANCEL_CHECK, Pace, Replay, ReplayError};
use kvlens_native::trace::{TraceOptions, TraceReader};
use kvlens_native::workload::{Arrivals, Conversations};
use kvlens_native::{Engine, EngineConfig, Prompt, Recording, Request, Span};

const SECOND: u64 = 1_000_000_000;

fn simulated(kv_blocks: u32) -> (Engine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(0));
    let device = SimDevice::new(&SimSpec::default(), 16, clock.clone());
    let config = EngineConfig::new(16, kv_blocks);
    let engine = Engine::new(config, Box::new(device), clock.clone(), Recording::off()).unwrap();
    (engine, clock)
}

fn real(kv_blocks: u32) -> (Engine, Arc<dyn Clock>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let config = EngineConfig::new(16, kv_blocks);
    let engine = Engine::new(
        config,
        Box::new(NullDevice::new()),
        clock.clone(),
        Recording::off(),
    )
    .unwrap();
    (engine, clock)
}

/// Requests of 100 tokens that arrive a while apart and generate ten tokens each.
fn requests(count: u64, apart_ns: u64) -> impl Iterator<Item = Request> {
    (0..count).map(move |id| {
        Request::new(id, Prompt::spans([Span::new(id, 100)]), 10).with_arrival_ns(id * apart_ns)
    })
}

fn arrivals(text: &str) -> Arrivals {
    text.parse().unwrap()
}

#[test]
fn virtual_time_jumps_over_idle_hours() {
    let (mut engine, clock) = simulated(1000);
    let hour = 3_600 * SECOND;
    let began = Instant::now();
    let totals = Replay::new(Pace::Virtual(clock))
        .run_all(&mut engine, requests(24, hour))
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "23 hours in {:?}",
        began.elapsed()
    );
    assert_eq!(
        (totals.submitted, totals.finished, totals.generation_tokens),
        (24, 24, 240)
    );
    assert_eq!(
        (totals.prompt_tokens, totals.computed_tokens),
        (2_400, 2_400 + 24 * 9)
    );
    let end = totals.end_ns - totals.start_ns;
    assert!(
        (23 * hour..23 * hour + SECOND).contains(&end),
        "the last request arrived after 23 hours: {end}"
    );
}

#[test]
fn speed_shortens_the_time_between_arrivals() {
    let (mut engine, clock) = simulated(1000);
    let fast = Arrivals::AS_RECORDED.with_speed(60.0).unwrap();
    let replay = Replay::new(Pace::Virtual(clock)).with_arrivals(fast);
    let totals = replay.run_all(&mut engine, requests(10, 60 * SECOND)).unwrap();
    assert!(
        (9 * SECOND..10 * SECOND).contains(&totals.end_ns),
        "{}",
        totals.end_ns
    );
}

#[test]
fn arrivals_count_from_the_start_of_the_replay() {
    let (mut engine, clock) = simulated(1000);
    clock.advance(500 * SECOND);
    let totals = Replay::new(Pace::Virtual(clock))
        .run_all(&mut engine, requests(2, SECOND))
        .unwrap();
    assert_eq!(totals.start_ns, 500 * SECOND);
    assert!(
        (501 * SECOND..502 * SECOND).contains(&totals.end_ns),
        "{}",
        totals.end_ns
    );
}

#[test]
fn a_closed_loop_keeps_its_number_in_flight() {
    let (mut engine, clock) = simulated(1000);
    let mut most = 0;
    let replay = Replay::new(Pace::Virtual(clock))
        .with_arrivals(arrivals("closed:7"))
        .on_step(|step| {
            let left = 50 - step.totals.submitted;
            assert!(
                step.in_flight <= 7
                    && (step.in_flight + usize::try_from(step.step.finished).unwrap() == 7 || left == 0)
            );
            most = most.max(step.in_flight);
        });
    let totals = replay.run_all(&mut engine, requests(50, 3_600 * SECOND)).unwrap();
    assert_eq!((totals.finished, most), (50, 7));
    assert!(totals.end_ns < 10 * SECOND, "the trace's times don't matter");
}

#[test]
fn a_burst_hands_over_everything_at_once() {
    let (mut engine, clock) = simulated(1000);
    let mut first = None;
    let replay = Replay::new(Pace::Virtual(clock))
        .with_arrivals(Arrivals::Burst)
        .on_step(|step| {
            first.get_or_insert(step.in_flight);
        });
    let totals = replay.run_all(&mut engine, requests(50, SECOND)).unwrap();
    assert_eq!((totals.finished, first), (50, Some(50)));
}

#[test]
fn the_limit_is_a_number_of_requests() {
    let (mut engine, clock) = simulated(1000);
    let mut taken = 0;
    let counted = requests(50, 0).inspect(|_| taken += 1);
    let totals = Replay::new(Pace::Virtual(clock))
        .with_limit(3)
        .run_all(&mut engine, counted)
        .unwrap();
    assert_eq!((totals.finished, taken), (3, 3));
    let (mut engine, clock) = simulated(1000);
    let totals = Replay::new(Pace::Virtual(clock))
        .with_limit(0)
        .run_all(&mut engine, requests(50, 0))
        .unwrap();
    assert_eq!((totals.submitted, totals.steps), (0, 0));
}

#[test]
fn real_time_waits_for_arrivals() {
    let (mut engine, clock) = real(1000);
    let began = Instant::now();
    let totals = Replay::new(Pace::Real(clock))
        .run_all(&mut engine, requests(4, 50_000_000))
        .unwrap();
    assert_eq!(totals.finished, 4);
    assert!(began.elapsed() >= Duration::from_millis(150));
}

#[test]
fn a_cancelled_replay_gives_up_what_runs() {
    let (mut engine, clock) = simulated(1000);
    let cancel = AtomicBool::new(false);
    let replay = Replay::new(Pace::Virtual(clock))
        .with_arrivals(Arrivals::Burst)
        .with_cancel(&cancel)
        .on_step(|step| {
            if step.totals.steps == 5 {
                cancel.store(true, Ordering::Relaxed);
            }
        });
    let totals = replay.run_all(&mut engine, requests(20, 0)).unwrap();
    assert!(totals.cancelled);
    assert_eq!((totals.steps, totals.finished, totals.aborted), (5, 0, 20));
    assert!(!engine.has_work());
    let state = engine.state();
    assert_eq!(state.kv_blocks_used, 0);
    engine.audit().unwrap();
}

#[test]
fn cancelling_interrupts_a_long_wait() {
    let (mut engine, clock) = real(1000);
    let cancel = AtomicBool::new(false);
    let began = Instant::now();
    let totals = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            cancel.store(true, Ordering::Relaxed);
        });
        let replay = Replay::new(Pace::Real(clock)).with_cancel(&cancel);
        replay.run_all(&mut engine, requests(2, 3_600 * SECOND)).unwrap()
    });
    assert!(totals.cancelled);
    assert_eq!((totals.finished, totals.aborted), (1, 0));
    assert!(
        began.elapsed() < Duration::from_secs(20) + CANCEL_CHECK,
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_request_that_never_fits_is_counted_and_passed_over() {
    let (mut engine, clock) = simulated(10);
    let long = Request::new(99, Prompt::spans([Span::new(99, 1_000)]), 1);
    let all = requests(2, 0).chain([long]).chain(requests(4, 0).skip(2));
    let totals = Replay::new(Pace::Virtual(clock))
        .run_all(&mut engine, all)
        .unwrap();
    assert_eq!((totals.submitted, totals.finished, totals.refused), (4, 4, 1));
    assert!(
        totals
            .first_refused
            .unwrap()
            .to_string()
            .contains("request 99 needs")
    );
}

#[test]
fn a_bad_line_ends_the_replay_and_names_it() {
    let good = r#"{"length": 100, "max_tokens": 50}"#;
    let text = format!("{good}\n{good}\n{{\"length\": -1, \"max_tokens\": 1}}\n{good}\n");
    let (mut engine, clock) = simulated(1000);
    let trace = TraceReader::new(text.as_bytes(), "trace.jsonl", TraceOptions::new());
    let error = Replay::new(Pace::Virtual(clock))
        .run(&mut engine, trace)
        .unwrap_err();
    assert!(matches!(error, ReplayError::Requests { requests: 2, .. }));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "trace.jsonl, line 3");
    assert!(!engine.has_work(), "what ran was given up");
}

#[test]
fn the_built_in_workload_hits_its_shared_prefixes() {
    let workload = Conversations::new(11);
    let (mut engine, clock) = simulated(8_192);
    let totals = Replay::new(Pace::Virtual(clock))
        .run_all(&mut engine, workload.requests())
        .unwrap();
    assert_eq!(
        totals.finished,
        u64::from(workload.conversations * workload.turns)
    );
    let decoded = totals.generation_tokens - totals.finished;
    let prefilled = totals.computed_tokens - decoded;
    let hits = totals.prompt_tokens - prefilled;
    assert!(
        hits * 10 > totals.prompt_tokens * 6,
        "{hits} of {} tokens",
        totals.prompt_tokens
    );
}
