//! Counts by bucket, under addition.

/// Below this many buckets a list is as quick as a window.
const FEW: usize = 16;
/// A window of this many places per count is worth its memory.
const PLACES: usize = 16;
/// A window up to this wide is kept whatever is in it.
const NARROW: usize = 4096;

/// Counts by bucket: a list while they are few or far apart, else a window of neighbouring buckets.
#[derive(Debug)]
pub(super) enum Buckets {
    /// Ascending by index, each index once.
    List(Vec<(u32, u64)>),
    /// Counts of the buckets from the first on.
    Window(u32, Vec<u64>),
}

impl Default for Buckets {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Buckets {
    /// Adds the counts of a histogram; a count that would pass the largest number stays there.
    #[inline]
    pub(super) fn add(&mut self, indices: &[u32], counts: &[u64]) {
        let mut done = 0;
        if let Self::Window(first, window) = self {
            for (index, count) in indices.iter().zip(counts) {
                let Some(slot) = window.get_mut(index.wrapping_sub(*first) as usize) else {
                    break;
                };
                *slot = slot.saturating_add(*count);
                done += 1;
            }
        }
        if done < indices.len() {
            self.add_beyond(
                indices.get(done..).unwrap_or(&[]),
                counts.get(done..).unwrap_or(&[]),
            );
        }
    }

    /// Adds what has no place yet.
    fn add_beyond(&mut self, indices: &[u32], counts: &[u64]) {
        if matches!(self, Self::Window(..)) {
            self.widen(indices);
        }
        match self {
            Self::Window(first, window) => {
                for (index, count) in indices.iter().zip(counts) {
                    // Widened to hold every index.
                    if let Some(slot) = window.get_mut(index.wrapping_sub(*first) as usize) {
                        *slot = slot.saturating_add(*count);
                    }
                }
            }
            Self::List(list) => {
                list.extend(indices.iter().copied().zip(counts.iter().copied()));
                // Two ascending stretches, which a stable sort merges.
                list.sort_by_key(|(index, _)| *index);
                list.dedup_by(|later, earlier| {
                    let same = later.0 == earlier.0;
                    if same {
                        earlier.1 = earlier.1.saturating_add(later.1);
                    }
                    same
                });
                self.lay_out();
            }
        }
    }

    /// Makes a window of a list that is dense enough.
    fn lay_out(&mut self) {
        let Self::List(list) = self else { return };
        let (Some((first, _)), Some((last, _))) = (list.first(), list.last()) else {
            return;
        };
        let span = (last - first) as usize + 1;
        if list.len() < FEW || span > PLACES * list.len() {
            return;
        }
        let first = *first;
        let mut window = vec![0; span];
        for (index, count) in &*list {
            if let Some(slot) = window.get_mut((index - first) as usize) {
                *slot = *count;
            }
        }
        *self = Self::Window(first, window);
    }

    /// Makes room in a window for more buckets, and some beyond; goes back to a list where that would be mostly air.
    fn widen(&mut self, indices: &[u32]) {
        let Self::Window(first, window) = self else { return };
        let (Some(low), Some(high)) = (indices.iter().min(), indices.iter().max()) else {
            return;
        };
        let last = *first + u32::try_from(window.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let (mut low, mut high) = ((*low).min(*first), (*high).max(last));
        let filled = window.iter().filter(|count| **count > 0).count() + indices.len();
        let span = (high - low) as usize + 1;
        if span > NARROW && span > 2 * PLACES * filled {
            *self = Self::List(self.iter().collect());
            return;
        }
        let margin = u32::try_from(span / 4).unwrap_or(0);
        if low < *first {
            low = low.saturating_sub(margin);
        }
        if high > last {
            high = high.saturating_add(margin);
        }
        let mut wider = vec![0; (high - low) as usize + 1];
        let at = (*first - low) as usize;
        if let Some(place) = wider.get_mut(at..at + window.len()) {
            place.copy_from_slice(window);
        }
        *self = Self::Window(low, wider);
    }

    /// The buckets that hold something, ascending.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (u32, u64)> + '_> {
        match self {
            Self::List(list) => Box::new(list.iter().copied().filter(|(_, count)| *count > 0)),
            Self::Window(first, window) => {
                let all = (*first..).zip(window.iter().copied());
                Box::new(all.filter(|(_, count)| *count > 0))
            }
        }
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::List(list) if list.is_empty())
    }

    /// Memory beside the value itself.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::List(list) => list.capacity() * size_of::<(u32, u64)>(),
            Self::Window(_, window) => window.capacity() * size_of::<u64>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn buckets_add_up_like_a_map(
            rows in prop::collection::vec(
                (prop_oneof![Just(0_u32), 0..60_000_u32], prop::collection::btree_map(0..200_u32, 1..1000_u64, 0..60)), 0..40),
        ) {
            let (mut buckets, mut map) = (Buckets::default(), BTreeMap::<u32, u64>::new());
            for (base, row) in rows {
                let indices: Vec<u32> = row.keys().map(|index| base + index * 3).collect();
                let counts: Vec<u64> = row.into_values().collect();
                buckets.add(&indices, &counts);
                for (index, count) in indices.iter().zip(&counts) {
                    *map.entry(*index).or_default() += count;
                }
            }
            prop_assert_eq!(buckets.iter().collect::<Vec<_>>(), map.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_lone_far_bucket_does_not_stretch_a_window() {
        let mut buckets = Buckets::default();
        let near: Vec<u32> = (0..100).collect();
        buckets.add(&near, &[1; 100]);
        assert!(matches!(buckets, Buckets::Window(..)));
        buckets.add(&[40_000_000], &[1]);
        assert!(buckets.size() < 10_000, "{}", buckets.size());
        buckets.add(&near, &[u64::MAX; 100]);
        assert_eq!(buckets.iter().map(|(_, count)| count).max(), Some(u64::MAX));
        assert_eq!(buckets.iter().count(), 101);
    }
}
