//! The integers that a column is made of.

/// An integer of four or eight bytes.
pub(super) trait Native: Copy + Eq + Default + 'static {
    /// Its bytes.
    const WIDTH: usize;

    /// Its bits, with zeros above.
    fn bits(self) -> u64;

    /// Its bits as a signed number of its width.
    fn signed(self) -> i64;

    /// The signed difference to an earlier value; wraps around in its width, as readers do.
    fn since(self, before: Self) -> i64;
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
}
