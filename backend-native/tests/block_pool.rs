//! The block pool alone: order of reuse, counts, lives.

use kvlens_core::record::{BlockEnd, BlockRow, Release};
use kvlens_native::{BlockHash, BlockHasher, BlockPool, Lives};
use proptest::prelude::*;
use std::collections::HashMap;

fn name(number: u64) -> BlockHash {
    BlockHasher::new(1).name(BlockHash::NONE, number, |tokens| tokens.fill(0))
}

fn done(pool: &mut BlockPool, id: u32, now: u64) {
    pool.release(id, now, now, Release::Finished, 16);
}

#[test]
fn uncached_first_then_fresh_then_least_recently_used() {
    let mut pool = BlockPool::new(4, Lives::off());
    let [a, b, c] = [1, 2, 3].map(|now| pool.allocate(now).unwrap());
    assert_eq!([a, b, c], [1, 2, 3], "the null block is never handed out");
    pool.cache(a, name(1), 4);
    pool.cache(b, name(2), 4);
    done(&mut pool, b, 5);
    done(&mut pool, a, 6);
    done(&mut pool, c, 7);
    assert_eq!(
        (pool.used(), pool.cached(), pool.free(), pool.available()),
        (0, 2, 2, 4)
    );
    let order = [8, 9, 10, 11].map(|now| pool.allocate(now).unwrap());
    assert_eq!(
        order,
        [c, 4, b, a],
        "freed and uncached, fresh, then cached by age"
    );
    assert_eq!(pool.allocate(12), None);
    assert_eq!((pool.totals().allocated, pool.totals().evicted), (7, 2));
    assert_eq!((pool.lookup(name(1)), pool.lookup(name(2))), (None, None));
    pool.audit().unwrap();
}

#[test]
fn freed_and_uncached_is_last_in_first_out() {
    let mut pool = BlockPool::new(3, Lives::off());
    let [a, b] = [1, 2].map(|now| pool.allocate(now).unwrap());
    done(&mut pool, a, 3);
    done(&mut pool, b, 4);
    assert_eq!([pool.allocate(5), pool.allocate(6)], [Some(b), Some(a)]);
}

#[test]
fn a_hit_takes_a_block_out_of_the_middle() {
    let mut pool = BlockPool::new(3, Lives::off());
    for (now, id) in (1..=3)
        .map(|now| (now, pool.allocate(now).unwrap()))
        .collect::<Vec<_>>()
    {
        pool.cache(id, name(now), now);
    }
    for id in 1..=3 {
        done(&mut pool, id, 10);
    }
    let hit = pool.lookup(name(2)).unwrap();
    pool.hit(hit, 11);
    pool.hit(hit, 12);
    assert!(pool.is_shared(hit));
    assert_eq!((pool.used(), pool.cached()), (1, 2));
    pool.audit().unwrap();
    done(&mut pool, hit, 13);
    assert_eq!(pool.used(), 1, "one holder is left");
    done(&mut pool, hit, 14);
    let order = [15, 16, 17].map(|now| pool.allocate(now).unwrap());
    assert_eq!(order, [1, 3, 2]);
}

#[test]
fn duplicates_are_not_merged() {
    let mut pool = BlockPool::new(2, Lives::off());
    let [a, b] = [1, 2].map(|now| pool.allocate(now).unwrap());
    pool.cache(a, name(1), 3);
    pool.cache(b, name(1), 3);
    done(&mut pool, a, 4);
    assert_eq!(pool.allocate(5), Some(a));
    assert_eq!(
        pool.lookup(name(1)),
        Some(b),
        "the other one still has the content"
    );
    pool.audit().unwrap();
}

#[test]
fn what_a_preemption_released_is_told_apart() {
    let mut pool = BlockPool::new(2, Lives::off());
    for (now, by) in [(1, Release::Preempted), (2, Release::Finished)] {
        let id = pool.allocate(now).unwrap();
        pool.cache(id, name(now), now);
        pool.release(id, now, now, by, 16);
    }
    pool.allocate(3);
    pool.allocate(4);
    assert_eq!((pool.totals().evicted, pool.totals().evicted_preempted), (2, 1));
}

fn rows(pool: &mut BlockPool) -> Vec<BlockRow> {
    pool.lives_mut().take_rows().collect()
}

#[test]
fn a_life_has_all_its_times() {
    let mut pool = BlockPool::new(1, Lives::new(1, 7));
    let id = pool.allocate(10).unwrap();
    pool.cache(id, name(1), 20);
    pool.release(id, 31, 30, Release::Preempted, 16);
    pool.hit(id, 50);
    pool.hit(id, 90);
    pool.release(id, 95, 94, Release::Finished, 16);
    pool.release(id, 101, 100, Release::Finished, 16);
    assert!(rows(&mut pool).is_empty(), "it has not ended");
    pool.allocate(200);
    let [life] = rows(&mut pool)[..] else {
        panic!("one life")
    };
    let times = (
        life.allocated,
        life.cached.get(),
        life.last_touched.get(),
        life.freed.get(),
        life.monotonic_ns,
    );
    assert_eq!(times, (10, Some(20), Some(100), Some(101), 200));
    assert_eq!(
        (life.end, life.released_by, life.engine_index),
        (BlockEnd::Evicted, Release::Finished, 7)
    );
    assert_eq!(
        (life.lifetime_ns, life.idle_ns.get(), life.reuse_count.get()),
        (190, Some(100), Some(2))
    );
    let gaps = [
        life.reuse_gap_first_ns,
        life.reuse_gap_max_ns,
        life.reuse_gap_sum_ns,
    ]
    .map(kvlens_core::record::Opt64::get);
    assert_eq!(gaps, [Some(30), Some(40), Some(70)]);
    assert_eq!(life.prefix_hash.get(), Some(name(1).low()));
    assert_eq!(pool.lives_mut().take_gaps().collect::<Vec<_>>(), [30, 40]);
}

#[test]
fn the_living_are_censored_at_the_end() {
    let mut pool = BlockPool::new(3, Lives::new(1, 0));
    let [held, freed] = [1, 2].map(|now| pool.allocate(now).unwrap());
    done(&mut pool, freed, 5);
    pool.note_use(held, 8, 3);
    pool.finish(9);
    let lives = rows(&mut pool);
    assert_eq!(lives.len(), 2);
    assert!(
        lives
            .iter()
            .all(|life| life.end == BlockEnd::Censored && life.monotonic_ns == 9)
    );
    assert_eq!(
        (
            lives[0].freed.get(),
            lives[0].idle_ns.get(),
            lives[0].last_touched.get()
        ),
        (None, None, Some(8))
    );
    assert_eq!((lives[1].freed.get(), lives[1].idle_ns.get()), (Some(5), Some(4)));
}

#[test]
fn a_reset_ends_cached_lives_and_keeps_held_blocks() {
    let mut pool = BlockPool::new(2, Lives::new(1, 0));
    for now in [1, 2] {
        let id = pool.allocate(now).unwrap();
        pool.cache(id, name(now), now);
    }
    done(&mut pool, 1, 3);
    pool.reset_cache(4);
    assert_eq!((pool.used(), pool.cached(), pool.free()), (1, 0, 1));
    assert_eq!((pool.lookup(name(1)), pool.lookup(name(2))), (None, None));
    let lives = rows(&mut pool);
    assert_eq!(
        lives
            .iter()
            .map(|life| (life.end, life.block.get()))
            .collect::<Vec<_>>(),
        [(BlockEnd::Reset, Some(1))]
    );
    pool.audit().unwrap();
    done(&mut pool, 2, 5);
    assert_eq!(pool.cached(), 0, "its name is forgotten");
    assert_eq!([pool.allocate(6), pool.allocate(7)], [Some(2), Some(1)]);
    let ends: Vec<_> = rows(&mut pool).iter().map(|life| life.end).collect();
    assert_eq!(ends, [BlockEnd::Reallocated], "block 1's life ended at the reset");
}

#[test]
fn sampled_lives_are_a_share() {
    let mut pool = BlockPool::new(1000, Lives::new(10, 0));
    for round in 0..10 {
        (0..1000).for_each(|_| assert!(pool.allocate(round).is_some()));
        (1..=1000).for_each(|id| done(&mut pool, id, round));
    }
    pool.finish(99);
    let lives = rows(&mut pool);
    assert!((800..1200).contains(&lives.len()), "{} of 10000", lives.len());
    assert!(lives.iter().all(|life| life.sample_every == 10));
    let blocks: std::collections::HashSet<_> = lives.iter().map(|life| life.block.get()).collect();
    assert!(blocks.len() > 500, "not always the same blocks: {}", blocks.len());
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Allocate,
    Cache(u64),
    Hit(u64),
    Share(usize),
    Release(usize),
    Reset,
}

proptest! {
    /// Against a model that is a map of holders and names.
    #[test]
    fn counts_and_places_hold(
        total in 1_u32..12,
        ops in prop::collection::vec(
            prop_oneof![
                6 => Just(Op::Allocate),
                4 => (0_u64..8).prop_map(Op::Cache),
                4 => (0_u64..8).prop_map(Op::Hit),
                2 => (0_usize..12).prop_map(Op::Share),
                8 => (0_usize..12).prop_map(Op::Release),
                1 => Just(Op::Reset),
            ],
            0..120,
        )
    ) {
        let mut pool = BlockPool::new(total, Lives::new(1, 0));
        let mut held: Vec<u32> = Vec::new();
        let mut names: HashMap<u32, BlockHash> = HashMap::new();
        for (op, now) in ops.into_iter().zip(0..) {
            match op {
                Op::Allocate => match pool.allocate(now) {
                    Some(id) => {
                        prop_assert!(id != 0 && !held.contains(&id));
                        names.remove(&id);
                        held.push(id);
                    }
                    None => prop_assert_eq!(pool.used(), total),
                },
                Op::Cache(number) => if let Some(id) = held.last() {
                    pool.cache(*id, name(number), now);
                    names.entry(*id).or_insert(name(number));
                },
                Op::Hit(number) => {
                    let found = pool.lookup(name(number));
                    prop_assert_eq!(found.is_some(), names.values().any(|other| *other == name(number)));
                    if let Some(id) = found {
                        prop_assert_eq!(names[&id], name(number));
                        pool.hit(id, now);
                        held.push(id);
                    }
                }
                Op::Share(at) => if let Some(id) = held.get(at).copied() {
                    pool.share(id);
                    held.push(id);
                },
                Op::Release(at) => if at < held.len() {
                    let id = held.swap_remove(at);
                    prop_assert_eq!(pool.release(id, now, now, Release::Finished, 1), !held.contains(&id));
                },
                Op::Reset => {
                    pool.reset_cache(now);
                    names.clear();
                }
            }
            pool.audit().unwrap();
            let different: std::collections::HashSet<_> = held.iter().collect();
            prop_assert_eq!(pool.used() as usize, different.len());
            let cached = names.keys().filter(|id| !held.contains(id)).count();
            prop_assert_eq!(pool.cached() as usize, cached);
            for id in &held {
                prop_assert_eq!(pool.holders(*id) as usize, held.iter().filter(|other| *other == id).count());
            }
        }
        pool.finish(1_000);
        prop_assert_eq!(pool.lives_mut().take_rows().count() as u64, pool.totals().allocated);
    }
}
