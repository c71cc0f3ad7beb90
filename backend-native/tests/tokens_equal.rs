//! Greedy tokens depend on a request's tokens alone: not on caching, block size, chunks, batch, forks or preemption.

mod common;

use common::{Bench, TINY, configs, cpu, events};
use kvlens_core::ManualClock;
use kvlens_native::device::cpu::{CpuDevice, KvDtype};
use kvlens_native::{BuiltinModel, Engine, EngineConfig, Prompt, Recording, Request};
use proptest::prelude::*;
use std::sync::Arc;

/// Runs one request alone, without a prefix cache, in one block and one chunk.
fn alone(prompt: &[u32], max_tokens: usize) -> Vec<u32> {
    let mut config = EngineConfig::new(256, 1);
    config.prefix_caching = false;
    let device = CpuDevice::boxed(Arc::new(BuiltinModel::with_shape(3, TINY)), &config, KvDtype::F16);
    let clock = Arc::new(ManualClock::new(0));
    let mut engine = Engine::new(config, device, clock, Recording::off()).unwrap();
    let max_tokens = u32::try_from(max_tokens).unwrap();
    engine
        .add(Request::new(0, Prompt::tokens(prompt), max_tokens))
        .unwrap();
    let mut tokens = Vec::new();
    while engine.has_work() {
        engine.step().unwrap();
        tokens.extend(engine.outputs().iter().map(|output| output.token));
    }
    tokens
}

proptest! {
    #![proptest_config(common::cases(64))]

    #[test]
    fn tokens_follow_from_tokens(config in configs(), events in events(false)) {
        let mut bench = Bench::new(config, cpu);
        bench.play(&events);
        for (id, prompt) in &bench.prompts {
            let got = &bench.generated[id];
            prop_assert_eq!(got, &alone(prompt, got.len()), "request {}, prompt {:?}", id, prompt);
        }
    }
}

/// The test above would pass with a model that looks at the last token alone: this one would not.
#[test]
fn every_token_of_the_prompt_matters() {
    let prompt: Vec<u32> = (0..40).map(|i| i * 7 % 97).collect();
    let tokens = alone(&prompt, 12);
    let changed = (0..prompt.len()).filter(|at| {
        let mut other = prompt.clone();
        other[*at] = (other[*at] + 1) % 97;
        alone(&other, 12) != tokens
    });
    let changed = changed.count();
    assert!(
        changed >= 36,
        "nearly every token shows in what follows: {changed} of 40"
    );
}

#[test]
fn order_matters() {
    let prompt: Vec<u32> = (0..40).map(|i| i * 7 % 97).collect();
    let mut swapped = prompt.clone();
    swapped.swap(3, 20);
    assert_ne!(alone(&prompt, 12), alone(&swapped, 12));
}

#[test]
fn answers_are_not_one_token_over_and_over() {
    let prompt: Vec<u32> = (0..40).map(|i| i * 7 % 97).collect();
    let different: std::collections::HashSet<u32> = alone(&prompt, 40).into_iter().collect();
    assert!(different.len() > 10, "{different:?}");
}
