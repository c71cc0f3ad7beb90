//! Distinct values, numbered in the order in which they come.

use super::native::Native;

/// A slot that holds no value.
const VACANT: u32 = u32::MAX;
/// Slots of an empty dictionary, as a power of two.
const FIRST_BITS: u32 = 8;

/// Distinct values, found by a hash: open addressing, at most half full.
#[derive(Debug)]
pub(super) struct Dictionary<T> {
    values: Vec<T>,
    slots: Vec<u32>,
    bits: u32,
}

impl<T: Native> Dictionary<T> {
    pub(super) fn new() -> Self {
        Self {
            values: Vec::new(),
            slots: vec![VACANT; 1 << FIRST_BITS],
            bits: FIRST_BITS,
        }
    }

    /// The values, by number.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    /// The number of a value.
    #[inline]
    pub(super) fn number(&mut self, value: T) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = self.place(value);
        loop {
            let number = self.slots[at];
            match self.values.get(number as usize) {
                Some(known) if *known == value => return number,
                Some(_) => at = (at + 1) & mask,
                None => return self.insert(value, at),
            }
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "shifted down to a slot's number")]
    fn place(&self, value: T) -> usize {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the value.
        (value.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - self.bits)) as usize
    }

    fn insert(&mut self, value: T, at: usize) -> u32 {
        let number = u32::try_from(self.values.len()).unwrap_or(VACANT);
        self.values.push(value);
        self.slots[at] = number;
        if self.values.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        self.bits += 1;
        self.slots = vec![VACANT; 1 << self.bits];
        let mask = self.slots.len() - 1;
        for (number, value) in (0_u32..).zip(&self.values) {
            let mut at = self.place(*value);
            while self.slots[at] != VACANT {
                at = (at + 1) & mask;
            }
            self.slots[at] = number;
        }
    }
}
