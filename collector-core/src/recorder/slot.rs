//! A small number per thread: which shard of every shared handle is its own.

use super::sync::{AtomicU64, Ordering};
use std::cell::Cell;

/// How many threads have a shard of their own at a time.
pub(super) const OWNED: usize = 64;

/// The slot of all further threads; writes to it must be atomic additions.
pub(super) const SHARED: usize = OWNED;

/// How many slots there are.
pub(super) const SLOTS: usize = OWNED + 1;

const UNSET: usize = usize::MAX;

/// Which slots are free, a bit each.
#[derive(Debug)]
pub(super) struct Pool(AtomicU64);

impl Pool {
    #[cfg(not(all(test, loom)))]
    const fn new() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Takes the lowest free slot. Everything that its last holder wrote is visible afterwards.
    fn take(&self) -> Option<usize> {
        let mut free = self.0.load(Ordering::Relaxed);
        while free != 0 {
            let slot = free.trailing_zeros();
            let rest = free & !(1 << slot);
            match self
                .0
                .compare_exchange_weak(free, rest, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Some(slot as usize),
                Err(now) => free = now,
            }
        }
        None
    }

    /// Gives a slot back: Release, so that the next holder goes on from what this one wrote.
    fn give_back(&self, slot: usize) {
        self.0.fetch_or(1 << slot, Ordering::Release);
    }
}

#[cfg(not(all(test, loom)))]
static POOL: Pool = Pool::new();

/// Holds a thread's slot; its drop at the thread's end gives it back.
struct Lease(Cell<Option<usize>>);

#[cfg(not(all(test, loom)))]
impl Drop for Lease {
    fn drop(&mut self) {
        // Whatever this thread still records while it ends goes to the shared slot.
        SLOT.set(SHARED);
        if let Some(slot) = self.0.take() {
            POOL.give_back(slot);
        }
    }
}

thread_local! {
    // Without a destructor, so that reading it is one instruction.
    static SLOT: Cell<usize> = const { Cell::new(UNSET) };
    static LEASE: Lease = const { Lease(Cell::new(None)) };
}

/// The calling thread's slot: below [`OWNED`] it is the thread's alone.
#[inline]
pub(super) fn current() -> usize {
    let slot = SLOT.get();
    if slot == UNSET { assign() } else { slot }
}

#[cold]
#[cfg(not(all(test, loom)))]
fn assign() -> usize {
    let leased = LEASE.try_with(|lease| {
        let slot = POOL.take();
        lease.0.set(slot);
        slot
    });
    let slot = leased.ok().flatten().unwrap_or(SHARED);
    SLOT.set(slot);
    slot
}

#[cfg(all(test, loom))]
fn assign() -> usize {
    LEASE.with(|lease| lease.0.set(None));
    SHARED
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two threads want the one free slot. Whoever has it adds without atomic additions, and nothing is lost, because a
    /// slot's next holder sees all that the last one wrote.
    #[test]
    fn a_slots_next_holder_goes_on_from_the_last() {
        loom::model(|| {
            let pool = Arc::new((Pool(AtomicU64::new(1)), AtomicU64::new(0), AtomicU64::new(0)));
            let add = |pool: &(Pool, AtomicU64, AtomicU64)| {
                let (pool, own, shared) = pool;
                let Some(slot) = pool.take() else {
                    shared.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                own.store(own.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                pool.give_back(slot);
            };
            let there = pool.clone();
            let other = thread::spawn(move || add(&there));
            add(&pool);
            other.join().unwrap();
            let (_, own, shared) = &*pool;
            assert_eq!(own.load(Ordering::Relaxed) + shared.load(Ordering::Relaxed), 2);
        });
    }
}
