//! Variable-length integers and bit packing, the lowest bits first.

/// Writes an unsigned integer, seven bits a byte.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Writes a signed integer, small ones of either sign short.
pub(super) fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest byte is what is asked for"
)]
const fn low_byte(value: u64) -> u8 {
    value as u8
}

/// How many bits a value needs.
pub(super) const fn width(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Writes values of `width` bits each; the last byte is filled up with zeros. Values must not be wider.
#[inline]
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (mut word, mut filled) = (0_u64, 0_u32);
    for value in values {
        word |= value << filled;
        filled += width;
        if filled >= u64::BITS {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= u64::BITS;
            // What did not fit; nothing is left of a value whose bits all did.
            word = value.checked_shr(width - filled).unwrap_or(0);
        }
    }
    let left = word.to_le_bytes();
    out.extend_from_slice(&left[..filled.div_ceil(8) as usize]);
}
