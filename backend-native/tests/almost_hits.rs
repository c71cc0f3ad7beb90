//! Hits and almost hits together are all that a prompt has in common with what the cache holds.

mod common;

use common::{Bench, cases, null, prompt};
use kvlens_core::catalog;
use kvlens_native::EngineConfig;
use proptest::prelude::*;

/// The tokens of a request that blocks with a name hold, once it has ended: whole blocks of those computed.
fn held(bench: &Bench, id: u64, block_size: usize) -> Vec<u32> {
    let mut tokens = bench.prompts[&id].clone();
    tokens.extend(&bench.generated[&id]);
    // The last token is sampled and never computed.
    tokens.truncate((tokens.len() - 1) / block_size * block_size);
    tokens
}

fn in_common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

proptest! {
    #![proptest_config(cases(256))]

    /// One request after another, and room for all: what was computed once stays.
    #[test]
    fn together_they_are_the_longest_common_beginning(
        block_size in prop_oneof![Just(1_u32), Just(3), Just(8), Just(16)],
        requests in prop::collection::vec((prompt(), 1_u32..14), 1..12),
    ) {
        let mut bench = Bench::new(EngineConfig::new(block_size, 2_000), null);
        for (prompt, max_tokens) in requests {
            let earlier: Vec<u64> = bench.finished.clone();
            let known = earlier.iter().map(|id| held(&bench, *id, block_size as usize));
            let expected = known.map(|tokens| in_common(&tokens, &prompt)).max().unwrap_or(0);
            bench.add(prompt, max_tokens, 0);
            bench.run_to_end();
            let row = bench.recorded.requests.last().unwrap();
            let (hit, almost) = (row.cached_prompt_tokens.get().unwrap(), row.almost_hit_tokens.get().unwrap());
            prop_assert_eq!((hit + almost) as usize, expected, "{} hit, {} almost", hit, almost);
            prop_assert!(almost <= block_size);
        }
    }
}

#[test]
fn what_is_evicted_is_no_almost_hit() {
    let mut bench = Bench::new(EngineConfig::new(4, 3), null);
    let almost = |bench: &mut Bench, prompt: &[u32]| {
        bench.add(prompt.to_vec(), 1, 0);
        bench.run_to_end();
        bench.recorded.requests.last().unwrap().almost_hit_tokens.get()
    };
    assert_eq!(almost(&mut bench, &[1, 2, 3, 4, 5]), Some(0));
    assert_eq!(almost(&mut bench, &[1, 2, 3]), Some(3), "shorter than a block");
    assert_eq!(
        almost(&mut bench, &[1, 2, 3, 4]),
        Some(4),
        "the last token has to be computed"
    );
    assert_eq!(almost(&mut bench, &[2, 3, 4, 5]), Some(0));
    // Takes all three blocks.
    assert_eq!(almost(&mut bench, &[9, 9, 9, 9, 9, 9, 9, 9, 9]), Some(0));
    assert_eq!(almost(&mut bench, &[1, 2, 3, 4]), Some(0), "evicted");
    bench.finish();
    assert_eq!(bench.counter(&catalog::PREFIX_CACHE_ALMOST_HITS), 7);
}
