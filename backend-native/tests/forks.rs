//! Sequences that share a beginning, and part.

mod common;

use common::{Bench, cpu};
use kvlens_core::catalog;
use kvlens_native::{EngineConfig, Error, Fork};

/// A request of 6 tokens in blocks of 4 that has sampled 2: 7 tokens computed, the second block filled to 3.
fn parent() -> Bench {
    let mut bench = Bench::new(EngineConfig::new(4, 20), cpu);
    bench.add((0..6).collect(), 10, 0);
    bench.step();
    bench.step();
    bench
}

#[test]
fn the_last_block_is_copied_when_someone_writes() {
    let mut bench = parent();
    assert_eq!(bench.engine.state().kv_blocks_used, 2);
    bench.fork(0, 60, 10).unwrap();
    bench.fork(0, 61, 10).unwrap();
    assert_eq!(
        bench.engine.state().kv_blocks_used,
        2,
        "nothing is copied before it is written"
    );
    assert_eq!(bench.engine.state().kv_tokens_used, 7, "shared blocks count once");
    bench.step();
    // Three writers of the second block: two copy it, the last has it alone.
    assert_eq!(bench.engine.state().kv_blocks_used, 4);
    assert_eq!(bench.engine.state().kv_tokens_used, 4 + 3 * 4);
    bench.run_to_end();
    bench.finish();
    assert_eq!(bench.counter(&catalog::KV_BLOCKS_COPIED), 2);
}

#[test]
fn a_fork_says_what_its_tokens_alone_would() {
    let mut bench = parent();
    let forks = [60, 61].map(|token| bench.fork(0, token, 8).unwrap());
    bench.run_to_end();
    let mut alone = Bench::new(EngineConfig::new(16, 20), cpu);
    let ids: Vec<u64> = [0, forks[0], forks[1]]
        .map(|id| alone.add(bench.prompts[&id].clone(), 8, 0))
        .to_vec();
    alone.run_to_end();
    assert_eq!(bench.generated[&0][..8], alone.generated[&ids[0]][..]);
    assert_eq!(bench.generated[&forks[0]], alone.generated[&ids[1]]);
    assert_eq!(bench.generated[&forks[1]], alone.generated[&ids[2]]);
    assert_ne!(bench.generated[&forks[0]], bench.generated[&forks[1]]);
}

#[test]
fn full_blocks_are_shared_for_good() {
    let mut bench = Bench::new(EngineConfig::new(4, 20), cpu);
    bench.add((0..8).collect(), 10, 0);
    bench.step();
    bench.fork(0, 60, 10).unwrap();
    bench.step();
    assert_eq!(
        bench.engine.state().kv_blocks_used,
        4,
        "two shared, one more each"
    );
    bench.run_to_end();
    bench.finish();
    assert_eq!(
        bench.counter(&catalog::KV_BLOCKS_COPIED),
        0,
        "the last block was full"
    );
}

#[test]
fn a_fork_is_a_request_of_its_own() {
    let mut bench = parent();
    bench.fork(0, 60, 3).unwrap();
    bench.run_to_end();
    bench.finish();
    let row = bench
        .recorded
        .requests
        .iter()
        .find(|row| row.request_id.as_str() == "1")
        .unwrap();
    assert_eq!(
        (
            row.prompt_tokens,
            row.cached_prompt_tokens.get(),
            row.generation_tokens
        ),
        (8, Some(7), 3)
    );
    assert_eq!(row.computed_prompt_tokens.get(), Some(1));
    assert_eq!(bench.counter(&catalog::PROMPT_TOKENS), 6 + 8);
    assert_eq!(
        bench.counter(&catalog::PREFIX_CACHE_QUERIES),
        6,
        "a fork looks nothing up"
    );
}

#[test]
fn what_can_not_be_forked_is_refused() {
    let mut config = EngineConfig::new(4, 20);
    config.max_running = 1;
    let mut bench = Bench::new(config, cpu);
    bench.add((0..6).collect(), 10, 0);
    bench.add((0..6).collect(), 10, 0);
    let fork = |bench: &mut Bench, parent| {
        bench
            .engine
            .fork(Fork {
                parent,
                id: 9,
                token: 1,
                max_tokens: 2,
            })
            .unwrap_err()
    };
    assert!(matches!(fork(&mut bench, 7), Error::UnknownRequest { id: 7 }));
    assert!(
        matches!(fork(&mut bench, 0), Error::NotForkable { id: 0, .. }),
        "it waits"
    );
    bench.step();
    assert!(
        matches!(fork(&mut bench, 1), Error::NotForkable { id: 1, .. }),
        "it waits"
    );
    let full = fork(&mut bench, 0);
    assert!(full.to_string().contains("full"), "{full}");
    let mut bench = parent();
    let long = bench.engine.fork(Fork {
        parent: 0,
        id: 9,
        token: 1,
        max_tokens: 100,
    });
    assert!(matches!(long, Err(Error::NeverFits { id: 9, .. })));
    bench.engine.audit().unwrap();
}

#[test]
fn a_parent_that_is_gone_leaves_its_blocks() {
    let mut bench = parent();
    let child = bench.fork(0, 60, 8).unwrap();
    bench.engine.abort(0).unwrap();
    bench.engine.audit().unwrap();
    assert_eq!(bench.engine.state().kv_blocks_used, 2);
    bench.run_to_end();
    bench.finish();
    assert_eq!(
        bench.counter(&catalog::KV_BLOCKS_COPIED),
        0,
        "no one shares it any more"
    );
    assert_eq!(bench.generated[&child].len(), 8);
}
