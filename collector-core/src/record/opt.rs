//! Optional integers in the size of the integer.

macro_rules! optional {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct $name($int);

        impl $name {
            /// No value.
            pub const NONE: Self = Self(<$int>::MAX);

            /// A value; the type's maximum is kept as one less, since it stands for "missing".
            pub const fn some(value: $int) -> Self {
                Self(if value == <$int>::MAX { value - 1 } else { value })
            }

            /// The value, if there is one.
            pub const fn get(self) -> Option<$int> {
                if self.0 == <$int>::MAX { None } else { Some(self.0) }
            }

            /// Adds to the value; a missing one counts as 0 then. Saturates.
            pub fn add(&mut self, value: $int) {
                *self = Self::some(self.get().unwrap_or(0).saturating_add(value));
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::NONE
            }
        }

        impl From<Option<$int>> for $name {
            fn from(value: Option<$int>) -> Self {
                value.map_or(Self::NONE, Self::some)
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self::some(value)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.get().fmt(f)
            }
        }
    };
}

optional! {
    /// A `u32` or nothing, in four bytes.
    ///
    /// ```
    /// use kvlens_core::record::Opt32;
    /// assert_eq!(Opt32::some(7).get(), Some(7));
    /// assert_eq!(Opt32::NONE.get(), None);
    /// assert_eq!(size_of::<Opt32>(), 4);
    /// ```
    Opt32, u32
}
optional! {
    /// A `u64` or nothing, in eight bytes.
    ///
    /// ```
    /// use kvlens_core::record::Opt64;
    /// assert_eq!(Opt64::from(Some(7)).get(), Some(7));
    /// assert_eq!(Opt64::default().get(), None);
    /// ```
    Opt64, u64
}
