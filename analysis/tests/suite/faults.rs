//! Planted faults are told, each by its own warning, and a healthy run by none.

use crate::made::{self, Made, healthy, life};
use kvlens_analysis::summary::{Summary, WarningKind, summary};
use kvlens_analysis::{Run, ScanOptions};
use kvlens_core::record::{BlockEnd, Opt32, Opt64};

fn warnings(made: &Made) -> (Vec<WarningKind>, Summary) {
    let out = tempfile::tempdir().unwrap();
    let dir = made::parquet(out.path(), "run", made);
    let summary = summary(&Run::open(&dir).unwrap(), ScanOptions::default()).unwrap();
    let kinds = summary.warnings.iter().map(|warning| warning.kind).collect();
    (kinds, summary)
}

/// A healthy run with block lives of which few come back.
fn clean(seed: u64) -> Made {
    let mut made = healthy(4_000, seed);
    made.blocks = (0..1_000)
        .map(|hash| life(hash, BlockEnd::Evicted, 1_000_000 + hash))
        .collect();
    made
}

#[test]
fn a_clean_run_warns_of_nothing() {
    for seed in 0..10 {
        let (kinds, summary) = warnings(&clean(seed));
        assert_eq!(kinds, [], "seed {seed}: {:?}", summary.warnings);
    }
}

#[test]
fn a_growing_queue() {
    let mut made = clean(1);
    for (at, step) in made.steps.iter_mut().enumerate() {
        step.requests_waiting += u32::try_from(at / 50).unwrap();
    }
    assert_eq!(warnings(&made).0, [WarningKind::QueueGrowth]);
}

#[test]
fn a_growing_queue_whose_requests_wait() {
    let mut made = clean(2);
    for (at, step) in made.steps.iter_mut().enumerate() {
        step.requests_waiting += u32::try_from(at / 50).unwrap();
    }
    for (at, request) in made.requests.iter_mut().enumerate() {
        let wait = at as u64 * 2_000_000;
        request.arrival -= wait;
        for time in [
            &mut request.queue_time_ns,
            &mut request.time_to_first_token_ns,
            &mut request.e2e_latency_ns,
        ] {
            *time = Opt64::some(time.get().unwrap() + wait);
        }
    }
    assert_eq!(
        warnings(&made).0,
        [WarningKind::QueueGrowth, WarningKind::TtftQueueing]
    );
}

#[test]
fn a_cache_too_small() {
    let mut made = clean(3);
    made.blocks = (0..1_000)
        .map(|at| life(at % 300, BlockEnd::Evicted, 1_000_000 + at))
        .collect();
    let (kinds, summary) = warnings(&made);
    assert_eq!(kinds, [WarningKind::CacheThrash]);
    assert!((summary.warnings[0].evidence[0].value - 0.7).abs() < 1e-9);
}

#[test]
fn a_stall() {
    let mut made = clean(4);
    made.steps
        .iter_mut()
        .skip(2_000)
        .for_each(|step| step.monotonic_ns += 5_000_000_000);
    let (kinds, summary) = warnings(&made);
    assert_eq!(kinds, [WarningKind::Stall]);
    let gap = &summary.warnings[0].evidence[0];
    assert!((gap.value / 5e9 - 1.0).abs() < 0.001, "{gap:?}");
}

/// Every hundredth step computes a long prompt at one go, as fast as prompts are computed otherwise.
fn long_prompts(seed: u64) -> Made {
    let mut made = clean(seed);
    let mut later = 0;
    for (at, step) in made.steps.iter_mut().enumerate() {
        step.monotonic_ns += later;
        if at % 400 == 200 {
            step.prefill_tokens = Opt32::some(100_000);
            step.step_time_ns = Opt64::some(4_000_000_000);
            later += 4_000_000_000;
        }
    }
    made
}

#[test]
fn a_step_is_no_stall_where_it_computed_a_long_prompt() {
    let made = long_prompts(9);
    let (kinds, summary) = warnings(&made);
    assert_eq!(kinds, [], "{:?}", summary.warnings);
}

#[test]
fn a_stalled_step_among_long_prompts() {
    let mut made = long_prompts(9);
    made.steps[1_111].step_time_ns = Opt64::some(30_000_000_000);
    made.steps
        .iter_mut()
        .skip(1_112)
        .for_each(|step| step.monotonic_ns += 30_000_000_000);
    let (kinds, summary) = warnings(&made);
    assert_eq!(kinds, [WarningKind::Stall]);
    let step = &summary.warnings[0].evidence[0];
    assert!(step.what == "one step took" && step.value > 29e9, "{step:?}");
}

#[test]
fn a_host_that_dawdles_between_steps() {
    let mut made = clean(5);
    for (at, step) in made.steps.iter_mut().enumerate() {
        step.monotonic_ns += at as u64 * 8_000_000;
    }
    assert_eq!(warnings(&made).0, [WarningKind::IdleDevice]);
}

#[test]
fn preemptions() {
    let mut made = clean(6);
    made.steps
        .iter_mut()
        .step_by(20)
        .for_each(|step| step.preemptions_recompute = Opt32::some(1));
    assert_eq!(warnings(&made).0, [WarningKind::PreemptionStorm]);
}

#[test]
fn a_prefix_cache_of_no_use() {
    let mut made = clean(7);
    made.steps
        .iter_mut()
        .for_each(|step| step.prefix_cache_hits = Opt32::some(0));
    assert_eq!(warnings(&made).0, [WarningKind::PrefixCacheUseless]);
}

#[test]
fn decode_stalled_by_prefill() {
    let mut made = clean(8);
    for request in &mut made.requests {
        request.stalled_time_ns = Opt64::some(request.decode_time_ns.get().unwrap() / 2);
    }
    assert_eq!(warnings(&made).0, [WarningKind::DecodeStalledByPrefill]);
}
