//! The integers that a column is made of.

use parquet::file::statistics::Statistics;

/// An integer of four or eight bytes.
pub(super) trait Native: Copy + Ord + Default + 'static {
    /// Its bytes.
    const WIDTH: usize;

    /// Its bits, with zeros above.
    fn bits(self) -> u64;

    /// Its bits as a signed number of its width.
    fn signed(self) -> i64;

    /// The signed difference to an earlier value; wraps around in its width, as readers do.
    fn since(self, before: Self) -> i64;

    /// The statistics of a column chunk: its extremes as the format has them, and how many values are missing.
    ///
    /// The writer of the crate `parquet` compares value by value through the column's logical type, which cost a quarter
    /// of the whole export.
    fn statistics(extremes: Option<(Self, Self)>, missing: u64) -> Statistics;
}

/// Splits extremes, as `Statistics` takes them.
fn split<T: Copy, S>(extremes: Option<(T, T)>, signed: impl Fn(T) -> S) -> (Option<S>, Option<S>) {
    extremes
        .map(|(least, most)| (signed(least), signed(most)))
        .unzip()
}

impl Native for u32 {
    const WIDTH: usize = 4;

    #[inline]
    fn bits(self) -> u64 {
        u64::from(self)
    }

    #[inline]
    fn signed(self) -> i64 {
        i64::from(self.cast_signed())
    }

    #[inline]
    fn since(self, before: Self) -> i64 {
        i64::from(self.wrapping_sub(before).cast_signed())
    }

    fn statistics(extremes: Option<(Self, Self)>, missing: u64) -> Statistics {
        let (least, most) = split(extremes, u32::cast_signed);
        Statistics::int32(least, most, None, Some(missing), false)
    }
}

impl Native for u64 {
    const WIDTH: usize = 8;

    #[inline]
    fn bits(self) -> u64 {
        self
    }

    #[inline]
    fn signed(self) -> i64 {
        self.cast_signed()
    }

    #[inline]
    fn since(self, before: Self) -> i64 {
        self.wrapping_sub(before).cast_signed()
    }

    fn statistics(extremes: Option<(Self, Self)>, missing: u64) -> Statistics {
        let (least, most) = split(extremes, u64::cast_signed);
        Statistics::int64(least, most, None, Some(missing), false)
    }
}

impl Native for i64 {
    const WIDTH: usize = 8;

    #[inline]
    fn bits(self) -> u64 {
        self.cast_unsigned()
    }

    #[inline]
    fn signed(self) -> i64 {
        self
    }

    #[inline]
    fn since(self, before: Self) -> i64 {
        self.wrapping_sub(before)
    }

    fn statistics(extremes: Option<(Self, Self)>, missing: u64) -> Statistics {
        let (least, most) = split(extremes, |value| value);
        Statistics::int64(least, most, None, Some(missing), false)
    }
}

impl Native for i32 {
    const WIDTH: usize = 4;

    #[inline]
    fn bits(self) -> u64 {
        u64::from(self.cast_unsigned())
    }

    #[inline]
    fn signed(self) -> i64 {
        i64::from(self)
    }

    #[inline]
    fn since(self, before: Self) -> i64 {
        i64::from(self.wrapping_sub(before))
    }

    fn statistics(extremes: Option<(Self, Self)>, missing: u64) -> Statistics {
        let (least, most) = split(extremes, |value| value);
        Statistics::int32(least, most, None, Some(missing), false)
    }
}
