//! `DELTA_BINARY_PACKED`: differences, in blocks of 128 with a common minimum, packed 32 at a time.

use super::native::Native;
use super::packing::{pack, varint, width, zigzag};

const BLOCK: usize = 128;
const MINIS: usize = 4;
const MINI: usize = BLOCK / MINIS;

/// Writes values.
pub(super) fn encode<T: Native>(values: &[T], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint(MINIS as u64, out);
    varint(values.len() as u64, out);
    let first = values.first().copied().unwrap_or_default();
    zigzag(first.signed(), out);
    let later = values.get(1..).unwrap_or(&[]);
    let mut deltas = [0_i64; BLOCK];
    for (values, earlier) in later.chunks(BLOCK).zip(values.chunks(BLOCK)) {
        for ((delta, value), before) in deltas.iter_mut().zip(values).zip(earlier) {
            *delta = value.since(*before);
        }
        block(&mut deltas, values.len(), out);
    }
}

/// Writes the first `len` deltas as a block.
fn block(deltas: &mut [i64; BLOCK], len: usize, out: &mut Vec<u8>) {
    let len = len.min(BLOCK);
    let least = deltas[..len].iter().copied().min().unwrap_or(0);
    zigzag(least, out);
    // What is past the end is packed as the least.
    deltas[len..].fill(least);
    let mut widths = [0_u8; MINIS];
    for (bits, mini) in widths.iter_mut().zip(deltas.as_chunks::<MINI>().0) {
        let all = mini.iter().fold(0, |all, delta| all | above(*delta, least));
        *bits = u8::try_from(width(all)).unwrap_or(0);
    }
    out.extend_from_slice(&widths);
    for (bits, mini) in widths.iter().zip(deltas.as_chunks::<MINI>().0) {
        pack(
            mini.iter().map(|delta| above(*delta, least)),
            u32::from(*bits),
            out,
        );
    }
}

/// How far a delta lies above the least one; wraps around.
#[inline]
const fn above(delta: i64, least: i64) -> u64 {
    delta.wrapping_sub(least).cast_unsigned()
}
