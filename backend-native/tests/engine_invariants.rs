//! Random workloads on tiny pools: what must hold after every step, and what must add up at the end.

mod common;

use common::{Bench, configs, events, null};
use kvlens_core::record::{BlockEnd, FinishReason, Opt32};
use kvlens_core::{BlockRow, catalog};
use proptest::prelude::*;

fn total(values: impl Iterator<Item = Opt32>) -> u64 {
    values.map(|value| u64::from(value.get().unwrap())).sum()
}

/// Counters, steps and requests tell one story.
fn check_totals(bench: &Bench) {
    let recorded = &bench.recorded;
    let (steps, requests) = (&recorded.steps, &recorded.requests);
    assert_eq!(recorded.dropped, 0);
    assert_eq!(bench.counter(&catalog::STEPS), steps.len() as u64);
    assert!(
        steps.iter().zip(0..).all(|(row, number)| row.step == number),
        "no step is missing"
    );
    assert_eq!(requests.len(), bench.prompts.len(), "every request has a row");
    let generated: usize = bench.generated.values().map(Vec::len).sum();
    for (metric, of_steps, of_requests) in [
        (
            &catalog::GENERATION_TOKENS,
            steps
                .iter()
                .map(|row| u64::from(row.generation_tokens))
                .sum::<u64>(),
            requests
                .iter()
                .map(|row| u64::from(row.generation_tokens))
                .sum::<u64>(),
        ),
        (
            &catalog::RECOMPUTED_TOKENS,
            total(steps.iter().map(|row| row.recomputed_tokens)),
            total(requests.iter().map(|row| row.recomputed_tokens)),
        ),
        (
            &catalog::PREEMPTIONS_RECOMPUTE,
            total(steps.iter().map(|row| row.preemptions_recompute)),
            total(requests.iter().map(|row| row.preemptions_recompute)),
        ),
        (
            &catalog::PREEMPTIONS_SWAP,
            total(steps.iter().map(|row| row.preemptions_swap)),
            total(requests.iter().map(|row| row.preemptions_swap)),
        ),
    ] {
        assert_eq!(bench.counter(metric), of_steps, "{}", metric.name);
        assert_eq!(bench.counter(metric), of_requests, "{}", metric.name);
    }
    assert_eq!(bench.counter(&catalog::GENERATION_TOKENS), generated as u64);
    check_prompts(bench);
}

fn check_prompts(bench: &Bench) {
    let requests = &bench.recorded.requests;
    let admitted = || requests.iter().filter(|row| row.queue_time_ns.get().is_some());
    let prompts: u64 = admitted().map(|row| u64::from(row.prompt_tokens)).sum();
    assert_eq!(bench.counter(&catalog::PROMPT_TOKENS), prompts);
    let cached = total(admitted().map(|row| row.cached_prompt_tokens));
    assert_eq!(bench.counter(&catalog::CACHED_PROMPT_TOKENS), cached);
    let almost = requests.iter().filter_map(|row| row.almost_hit_tokens.get());
    assert_eq!(
        bench.counter(&catalog::PREFIX_CACHE_ALMOST_HITS),
        almost.map(u64::from).sum::<u64>()
    );
    let computed = total(requests.iter().map(|row| row.computed_prompt_tokens));
    assert_eq!(bench.counter(&catalog::COMPUTED_PROMPT_TOKENS), computed);
    let (hits, queries) = (
        bench.counter(&catalog::PREFIX_CACHE_HITS),
        bench.counter(&catalog::PREFIX_CACHE_QUERIES),
    );
    assert!(hits <= queries && hits <= cached && queries <= prompts);
    let again = |metric| bench.counter(metric);
    assert!(again(&catalog::PREFIX_CACHE_HITS_PREEMPTED) <= again(&catalog::PREFIX_CACHE_QUERIES_PREEMPTED));
    for row in requests
        .iter()
        .filter(|row| row.finish_reason == FinishReason::Length)
    {
        let known = row.cached_prompt_tokens.get().unwrap() + row.computed_prompt_tokens.get().unwrap();
        assert!(known <= row.prompt_tokens);
        // What is missing was found cached when the request was admitted again.
        let preempted = row.preemptions_recompute.get().unwrap() > 0;
        assert!(known == row.prompt_tokens || preempted, "{row:?}");
        assert_eq!(row.max_tokens.get(), Some(row.generation_tokens));
        let parts = [
            row.queue_time_ns,
            row.prefill_time_ns,
            row.decode_time_ns,
            row.preempted_time_ns,
        ];
        let parts: u64 = parts.iter().map(|part| part.get().unwrap()).sum();
        assert_eq!(row.e2e_latency_ns.get(), Some(parts), "{row:?}");
        if let Some(stalled) = row.stalled_time_ns.get() {
            assert!(stalled <= row.decode_time_ns.get().unwrap(), "{row:?}");
        }
    }
}

/// Every allocation is one life, and lives tell the same as counters.
fn check_lives(bench: &Bench, sample_every: u32) {
    let allocated = bench.counter(&catalog::KV_BLOCKS_ALLOCATED);
    assert_eq!(allocated, bench.last.kv_blocks_allocated);
    let lives = &bench.recorded.blocks;
    let reuses = |life: &BlockRow| u64::from(life.reuse_count.get().unwrap());
    for life in lives {
        assert_eq!(life.sample_every, sample_every);
        let last_touched = life.last_touched.get().unwrap();
        assert!(
            life.allocated <= last_touched && last_touched <= life.monotonic_ns,
            "{life:?}"
        );
        assert_eq!(life.lifetime_ns, life.monotonic_ns - life.allocated);
        assert!(life.cached.get().is_none_or(|at| at >= life.allocated));
        assert!(life.freed.get().is_none_or(|at| at >= last_touched), "{life:?}");
        assert_eq!(reuses(life) > 0, life.reuse_gap_sum_ns.get().is_some());
        let (first, max, sum) = (
            life.reuse_gap_first_ns,
            life.reuse_gap_max_ns,
            life.reuse_gap_sum_ns,
        );
        assert!(first.get() <= max.get() && max.get() <= sum.get(), "{life:?}");
    }
    if sample_every > 1 {
        assert!(lives.len() as u64 <= allocated);
        return;
    }
    assert_eq!(lives.len() as u64, allocated, "one row per life");
    let ended = |end| lives.iter().filter(|life| life.end == end).count() as u64;
    assert_eq!(
        ended(BlockEnd::Evicted),
        bench.counter(&catalog::KV_BLOCKS_EVICTED)
    );
    let (lifetimes, _) = bench.histogram(&catalog::KV_BLOCK_LIFETIME);
    assert_eq!(lifetimes, ended(BlockEnd::Evicted) + ended(BlockEnd::Reallocated));
    let (gaps, _) = bench.histogram(&catalog::KV_BLOCK_REUSE_GAP);
    assert_eq!(gaps, lives.iter().map(reuses).sum::<u64>());
}

proptest! {
    #![proptest_config(common::cases(256))]

    #[test]
    fn everything_adds_up(config in configs(), events in events(true)) {
        let sample_every = config.block_sample_every;
        let mut bench = Bench::new(config, null);
        bench.play(&events);
        check_totals(&bench);
        check_lives(&bench, sample_every);
        prop_assert_eq!(bench.engine.state().kv_blocks_used, 0);
        prop_assert_eq!(bench.gauge(&catalog::KV_CACHE_USAGE).to_bits(), 0.0_f64.to_bits());
    }
}

/// The strategies would be worth little if they never got to the rare paths.
#[test]
fn random_workloads_reach_everything() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let metrics = [
        &catalog::PREEMPTIONS_RECOMPUTE,
        &catalog::PREEMPTIONS_SWAP,
        &catalog::KV_BLOCKS_SWAPPED_IN,
        &catalog::KV_BLOCKS_COPIED,
        &catalog::KV_BLOCKS_EVICTED,
        &catalog::KV_BLOCKS_EVICTED_PREEMPTED,
        &catalog::PREFIX_CACHE_HITS,
        &catalog::PREFIX_CACHE_HITS_PREEMPTED,
        &catalog::PREFIX_CACHE_ALMOST_HITS,
        &catalog::RECOMPUTED_TOKENS,
        &catalog::REQUESTS_FINISHED_ABORT,
    ];
    let mut totals = [0; 11];
    for _ in 0..200 {
        let (config, events) = (configs(), events(true)).new_tree(&mut runner).unwrap().current();
        let mut bench = Bench::new(config, null);
        bench.play(&events);
        for (total, metric) in totals.iter_mut().zip(metrics) {
            *total += bench.counter(metric);
        }
    }
    for (total, metric) in totals.iter().zip(metrics) {
        println!("{}: {total}", metric.name);
        assert!(*total >= 10, "{}: {total}", metric.name);
    }
}
