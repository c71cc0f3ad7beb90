//! The run-length / bit-packed hybrid: long runs as a length and a value, everything else packed in groups of eight.

use super::packing::{pack, varint};

/// Packed values come in groups of this many.
const GROUP: usize = 8;
/// Packed values wait until there are this many.
const LITERALS: usize = 63 * GROUP;

/// Encodes runs of small numbers.
struct Hybrid<'a> {
    out: &'a mut Vec<u8>,
    width: u32,
    /// A run is written as one from this length on: below, packing is shorter.
    worth: usize,
    literals: Vec<u32>,
}

/// Writes runs, each a value of at most `width` bits and its length.
pub(super) fn encode(runs: impl Iterator<Item = (u32, u32)>, width: u32, out: &mut Vec<u8>) {
    let mut hybrid = Hybrid {
        out,
        width,
        worth: GROUP.max(32 / width.max(1) as usize),
        literals: Vec::with_capacity(LITERALS),
    };
    for (value, len) in runs {
        hybrid.run(value, len as usize);
    }
    hybrid.flush();
}

impl Hybrid<'_> {
    #[inline]
    fn run(&mut self, value: u32, mut len: usize) {
        let open = self.literals.len() % GROUP;
        // A group that is begun must be filled before a run can follow.
        let fill = if open == 0 { 0 } else { (GROUP - open).min(len) };
        if len - fill < self.worth {
            self.pack(value, len);
            return;
        }
        self.pack(value, fill);
        len -= fill;
        self.flush();
        varint((len as u64) << 1, self.out);
        let bytes = value.to_le_bytes();
        self.out
            .extend_from_slice(&bytes[..self.width.div_ceil(8) as usize]);
    }

    #[inline]
    fn pack(&mut self, value: u32, len: usize) {
        for _ in 0..len {
            self.literals.push(value);
            if self.literals.len() == LITERALS {
                self.flush();
            }
        }
    }

    /// Writes what waits; the last group is filled up with zeros, which readers pass over.
    fn flush(&mut self) {
        if self.literals.is_empty() {
            return;
        }
        let groups = self.literals.len().div_ceil(GROUP);
        self.literals.resize(groups * GROUP, 0);
        varint((groups as u64) << 1 | 1, self.out);
        pack(
            self.literals.iter().map(|value| u64::from(*value)),
            self.width,
            self.out,
        );
        self.literals.clear();
    }
}
