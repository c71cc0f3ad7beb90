//! One part of a metric per thread slot, made when the slot's thread first records.

use super::slot::SLOTS;
use super::sync::{AtomicU64, Ordering};
use std::sync::OnceLock;

#[derive(Debug)]
pub(super) struct PerThread<S> {
    slots: [OnceLock<Box<S>>; SLOTS],
    /// No slot from here on has a part: most metrics have few, and a reader looks at all of them at every sample.
    end: AtomicU64,
}

impl<S> PerThread<S> {
    pub(super) fn new() -> Self {
        Self {
            slots: [const { OnceLock::new() }; SLOTS],
            end: AtomicU64::new(0),
        }
    }

    /// The part of a slot.
    #[inline]
    pub(super) fn get(&self, slot: usize, new: fn() -> S) -> &S {
        match self.slots[slot].get() {
            Some(part) => part,
            None => self.make(slot, new),
        }
    }

    #[cold]
    fn make(&self, slot: usize, new: fn() -> S) -> &S {
        // Before the part is there: whoever finds it and records has its slot among those that are read.
        self.end.fetch_max(slot as u64 + 1, Ordering::Release);
        self.slots[slot].get_or_init(|| Box::new(new()))
    }

    /// The parts that there are. One that is just being made may be among them or not.
    pub(super) fn iter(&self) -> impl Iterator<Item = &S> {
        let end = usize::try_from(self.end.load(Ordering::Acquire)).unwrap_or(SLOTS);
        let slots = self.slots.get(..end).unwrap_or(&self.slots);
        slots.iter().filter_map(OnceLock::get).map(Box::as_ref)
    }
}
