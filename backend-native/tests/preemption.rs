//! Pools that run dry: who gives way, how, and what it costs.

mod common;

use common::{Bench, cpu, null};
use kvlens_core::catalog;
use kvlens_native::{Engine, EngineConfig, Error, Policy, Preemption, Prompt, Recording, Request};

/// Two requests of 8 tokens that grow to 16 each, in a pool for 24.
fn tight(preemption: Preemption, host_blocks: u32) -> EngineConfig {
    let mut config = EngineConfig::new(4, 6);
    config.preemption = preemption;
    config.host_blocks = host_blocks;
    config.prefix_caching = false;
    config
}

fn prompt(first: u32) -> Vec<u32> {
    (first..first + 8).collect()
}

fn run(config: EngineConfig) -> Bench {
    let mut bench = Bench::new(config, cpu);
    bench.add(prompt(0), 9, 0);
    bench.add(prompt(50), 9, 0);
    bench.run_to_end();
    bench.finish();
    bench
}

#[test]
fn the_later_request_gives_way() {
    let bench = run(tight(Preemption::Recompute, 0));
    assert_eq!(bench.finished, [0, 1]);
    let [first, second] = &bench.recorded.requests[..] else {
        panic!("two rows")
    };
    assert_eq!(first.preemptions_recompute.get(), Some(0));
    assert_eq!(second.preemptions_recompute.get(), Some(1));
    assert!(second.preempted_time_ns.get().unwrap() > 0);
    // It had 12 tokens in 3 blocks when the first needed a fourth block.
    assert_eq!(second.recomputed_tokens.get(), Some(12));
    assert_eq!(bench.counter(&catalog::PREEMPTIONS_RECOMPUTE), 1);
}

#[test]
fn swapping_computes_nothing_again() {
    let bench = run(tight(Preemption::Swap, 3));
    let second = bench.recorded.requests[1];
    assert_eq!(
        (second.preemptions_swap.get(), second.preemptions_recompute.get()),
        (Some(1), Some(0))
    );
    assert_eq!(second.recomputed_tokens.get(), Some(0));
    assert_eq!(bench.counter(&catalog::KV_BLOCKS_SWAPPED_OUT), 3);
    assert_eq!(bench.counter(&catalog::KV_BLOCKS_SWAPPED_IN), 3);
    let waited = bench
        .recorded
        .steps
        .iter()
        .filter(|row| row.requests_swapped.get() == Some(1));
    assert!(waited.count() > 0);
}

#[test]
fn a_full_host_pool_means_recomputing() {
    let bench = run(tight(Preemption::Swap, 2));
    let second = bench.recorded.requests[1];
    assert_eq!(
        (second.preemptions_swap.get(), second.preemptions_recompute.get()),
        (Some(0), Some(1))
    );
}

#[test]
fn all_kinds_give_the_same_tokens() {
    let roomy = run(EngineConfig::new(4, 100));
    for config in [
        tight(Preemption::Recompute, 0),
        tight(Preemption::Swap, 3),
        tight(Preemption::Swap, 2),
    ] {
        assert_eq!(run(config).generated, roomy.generated);
    }
}

#[test]
fn priority_decides_who_gives_way() {
    let mut config = tight(Preemption::Recompute, 0);
    config.policy = Policy::Priority;
    let mut bench = Bench::new(config, null);
    bench.add(prompt(0), 9, 5);
    bench.add(prompt(50), 9, 1);
    bench.run_to_end();
    bench.finish();
    assert_eq!(bench.finished, [1, 0]);
    assert_eq!(bench.recorded.requests[1].preemptions_recompute.get(), Some(1));
}

#[test]
fn the_cache_softens_a_preemption() {
    let mut config = tight(Preemption::Recompute, 0);
    config.prefix_caching = true;
    let bench = run(config);
    let (queries, hits) = (
        bench.counter(&catalog::PREFIX_CACHE_QUERIES_PREEMPTED),
        bench.counter(&catalog::PREFIX_CACHE_HITS_PREEMPTED),
    );
    assert_eq!(queries, 13, "all its tokens are looked up again");
    assert_eq!(
        hits + bench.counter(&catalog::RECOMPUTED_TOKENS),
        12,
        "what is found is not computed again"
    );
    assert_eq!(
        bench.counter(&catalog::PREFIX_CACHE_QUERIES),
        16,
        "first admissions are counted apart"
    );
}

fn engine(block_size: u32, kv_blocks: u32) -> Engine {
    let config = EngineConfig::new(block_size, kv_blocks);
    let clock = std::sync::Arc::new(kvlens_core::ManualClock::new(0));
    let device = Box::new(kvlens_native::device::NullDevice::new());
    Engine::new(config, device, clock, Recording::off()).unwrap()
}

#[test]
fn what_can_never_fit_is_refused() {
    let mut engine = engine(16, 4);
    // 60 + 5 - 1 tokens fill the pool; the last token is sampled and not computed.
    let request = |id, max_tokens| Request::new(id, Prompt::tokens(vec![1; 60]), max_tokens);
    engine.add(request(1, 5)).unwrap();
    let refused = engine.add(request(2, 6)).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::NeverFits {
                id: 2,
                needed: 5,
                available: 4,
                tokens: 65
            }
        ),
        "{refused}"
    );
    assert!(matches!(
        engine.add(request(1, 5)),
        Err(Error::DuplicateId { id: 1 })
    ));
    let empty = Request::new(3, Prompt::tokens([]), 1);
    assert!(matches!(
        engine.add(empty),
        Err(Error::EmptyRequest { id: 3, .. })
    ));
    assert!(matches!(
        engine.add(request(4, 0)),
        Err(Error::EmptyRequest { id: 4, .. })
    ));
    assert!(matches!(engine.abort(4), Err(Error::UnknownRequest { id: 4 })));
    let mut tokens = 0;
    while engine.has_work() {
        engine.step().unwrap();
        tokens += engine.outputs().len();
    }
    assert_eq!(tokens, 5);
}

#[test]
fn chunks_share_a_step_with_decodes() {
    let mut config = EngineConfig::new(4, 100);
    config.max_step_tokens = 6;
    let mut bench = Bench::new(config, cpu);
    bench.add(prompt(0)[..4].to_vec(), 12, 0);
    bench.step();
    bench.add((0..20).collect(), 2, 0);
    bench.step();
    let row = bench.recorded.steps[1];
    assert_eq!((row.decode_tokens, row.prefill_tokens.get()), (1, Some(5)));
    assert_eq!((row.decode_requests, row.prefill_requests.get()), (1, Some(1)));
    bench.run_to_end();
    bench.finish();
    let long = bench
        .recorded
        .requests
        .iter()
        .find(|row| row.prompt_tokens == 20)
        .unwrap();
    assert_eq!(long.prefill_steps.get(), Some(4), "20 tokens, 5 a step");
    assert!(
        bench
            .recorded
            .steps
            .iter()
            .all(|row| row.decode_tokens + row.prefill_tokens.get().unwrap() <= 6)
    );
}
