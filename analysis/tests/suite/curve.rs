//! The miss-ratio curve of a real block trace equals a cache that is simulated, size by size.

use kvlens_analysis::kv::{ShardsOptions, exact_curve, sampled_curve};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

/// The blocks that the prompts of the Mooncake conversation trace touch, in order; `None` where the traces are not.
fn conversation() -> Option<Vec<u64>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces/mooncake_conversation.jsonl");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: no trace at {}", path.display());
        return None;
    };
    let mut blocks = Vec::new();
    for line in text.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        blocks.extend(
            request["hash_ids"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_u64().unwrap()),
        );
    }
    Some(blocks)
}

/// An LRU cache: the order of use in a map, so that a day's trace takes a moment.
fn simulated(blocks: &[u64], size: usize) -> u64 {
    let (mut used, mut order, mut hits) = (HashMap::new(), BTreeMap::new(), 0);
    for (now, block) in blocks.iter().enumerate() {
        if let Some(before) = used.insert(*block, now) {
            order.remove(&before);
            hits += 1;
        } else if used.len() > size {
            let (_, oldest) = order.pop_first().unwrap();
            used.remove(&oldest);
        }
        order.insert(now, *block);
    }
    hits
}

#[test]
fn it_equals_a_simulation_at_eight_sizes() {
    let Some(blocks) = conversation() else { return };
    let sizes = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000];
    let curve = exact_curve(blocks.iter().copied(), &sizes);
    for point in &curve.points {
        let hits = simulated(&blocks, point.blocks as usize);
        let rate = hits as f64 / blocks.len() as f64;
        eprintln!("{} blocks: hit rate {:.5}", point.blocks, rate);
        assert!((point.hit_rate - rate).abs() < 1e-12, "{point:?} {rate}");
    }
}

#[test]
fn a_sample_of_it_is_within_its_error() {
    let Some(blocks) = conversation() else { return };
    let sizes = [1_000, 3_000, 10_000, 30_000, 100_000];
    let exact = exact_curve(blocks.iter().copied(), &sizes);
    let sampled = sampled_curve(blocks.iter().copied(), &sizes, ShardsOptions::new(0.1));
    for (exact, sampled) in exact.points.iter().zip(&sampled.points) {
        let off = (exact.hit_rate - sampled.hit_rate).abs();
        eprintln!(
            "{} blocks: exact {:.4}, sampled {:.4} ± {:.4}",
            exact.blocks, exact.hit_rate, sampled.hit_rate, sampled.error
        );
        assert!(
            off < 0.03 && off <= 2.0 * sampled.error + 0.005,
            "{exact:?} {sampled:?}"
        );
    }
}
