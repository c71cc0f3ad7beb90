//! The columns of a row table: declared once, walked by every exporter.

use crate::metric::Unit;

/// The tables of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row per source and sampling interval.
    Samples,
    /// One row per engine step.
    Steps,
    /// One row per finished request.
    Requests,
    /// One row per life of a KV block.
    Blocks,
    /// One row per block looked up in the prefix cache.
    Accesses,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 5] = [
        Self::Samples,
        Self::Steps,
        Self::Requests,
        Self::Blocks,
        Self::Accesses,
    ];

    /// The table's name, as in directories and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Steps => "steps",
            Self::Requests => "requests",
            Self::Blocks => "blocks",
            Self::Accesses => "accesses",
        }
    }

    /// Finds a table by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// How a column's values are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// UTC nanoseconds since 1970; the row holds a monotonic reading, the run's anchor turns it into UTC.
    Time,
    /// An unsigned 64-bit integer.
    U64,
    /// An unsigned 32-bit integer.
    U32,
    /// Text of any value.
    Text,
    /// Text out of a short list.
    Code(&'static [&'static str]),
    /// True or false.
    Flag,
}

/// Describes a column of a row table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDesc {
    /// The column's name.
    pub name: &'static str,
    /// How values are typed.
    pub ty: ColumnType,
    /// Whether a value can be missing.
    pub nullable: bool,
    /// What the number counts.
    pub unit: Unit,
    /// One sentence that says what it is.
    pub help: &'static str,
}

/// A short list of names, kept as a small number.
pub trait Code: Copy {
    /// The names, by number.
    const NAMES: &'static [&'static str];

    /// The number; `None` where the value is missing.
    fn code(self) -> Option<u8>;
}

/// A row of one of the tables, with its columns.
pub trait Row: Copy + Send + Sync + std::fmt::Debug + 'static {
    /// The table that the row belongs to.
    const TABLE: Table;
    /// The columns in order. `source` is not among them: a batch has one source.
    const COLUMNS: &'static [ColumnDesc];

    /// Shows every column to a visitor, in order.
    fn visit(visitor: &mut impl ColumnVisitor<Self>);
}

/// Walks the columns of a row table, with a function that reads the column from a row.
///
/// Methods are generic so that a visitor's loop over rows is compiled once per column, with the read inlined.
#[expect(missing_docs, reason = "one method per ColumnType, named alike")]
pub trait ColumnVisitor<R> {
    fn time(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> u64);
    fn opt_time(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>);
    fn u64(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> u64);
    fn opt_u64(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>);
    fn u32(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> u32);
    fn opt_u32(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> Option<u32>);
    fn text(&mut self, column: &'static ColumnDesc, get: impl for<'a> Fn(&'a R) -> &'a str);
    fn code(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> Option<u8>);
    fn flag(&mut self, column: &'static ColumnDesc, get: impl Fn(&R) -> bool);
}

/// Declares a row: the struct, its column list and its visitor, from one table of fields.
macro_rules! row {
    (
        $(#[$doc:meta])*
        $name:ident in $table:ident {
            $( $field:ident: $ty:ident $(<$code:ty>)? [$unit:ident] $help:literal, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        pub struct $name {
            $( #[doc = $help] pub $field: row!(@type $ty $(<$code>)?), )*
        }

        impl $crate::record::Row for $name {
            const TABLE: $crate::record::Table = $crate::record::Table::$table;
            const COLUMNS: &'static [$crate::record::ColumnDesc] = &[
                $( $crate::record::ColumnDesc {
                    name: row!(@name $field),
                    ty: row!(@column $ty $(<$code>)?),
                    nullable: row!(@nullable $ty),
                    unit: $crate::metric::Unit::$unit,
                    help: $help,
                }, )*
            ];

            fn visit(visitor: &mut impl $crate::record::ColumnVisitor<Self>) {
                let mut columns = Self::COLUMNS.iter();
                $( if let Some(column) = columns.next() {
                    row!(@visit visitor column $field $ty $(<$code>)?);
                } )*
            }
        }
    };
    (@name monotonic_ns) => { "timestamp" };
    (@name $field:ident) => { stringify!($field) };
    (@type time) => { u64 };
    (@type opt_time) => { $crate::record::Opt64 };
    (@type opt_u64) => { $crate::record::Opt64 };
    (@type opt_u32) => { $crate::record::Opt32 };
    (@type text) => { $crate::record::Text };
    (@type flag) => { bool };
    (@type code<$code:ty>) => { $code };
    (@type $int:ident) => { $int };
    (@column time) => { $crate::record::ColumnType::Time };
    (@column opt_time) => { $crate::record::ColumnType::Time };
    (@column u64) => { $crate::record::ColumnType::U64 };
    (@column opt_u64) => { $crate::record::ColumnType::U64 };
    (@column u32) => { $crate::record::ColumnType::U32 };
    (@column opt_u32) => { $crate::record::ColumnType::U32 };
    (@column text) => { $crate::record::ColumnType::Text };
    (@column flag) => { $crate::record::ColumnType::Flag };
    (@column code<$code:ty>) => { $crate::record::ColumnType::Code(<$code as $crate::record::Code>::NAMES) };
    (@nullable time) => { false };
    (@nullable u64) => { false };
    (@nullable u32) => { false };
    (@nullable text) => { false };
    (@nullable flag) => { false };
    (@nullable $other:ident) => { true };
    (@visit $v:ident $c:ident $f:ident opt_time) => { $v.opt_time($c, |row: &Self| row.$f.get()) };
    (@visit $v:ident $c:ident $f:ident opt_u64) => { $v.opt_u64($c, |row: &Self| row.$f.get()) };
    (@visit $v:ident $c:ident $f:ident opt_u32) => { $v.opt_u32($c, |row: &Self| row.$f.get()) };
    (@visit $v:ident $c:ident $f:ident text) => { $v.text($c, |row: &Self| row.$f.as_str()) };
    (@visit $v:ident $c:ident $f:ident code<$code:ty>) => {
        $v.code($c, |row: &Self| $crate::record::Code::code(row.$f))
    };
    (@visit $v:ident $c:ident $f:ident $plain:ident) => { $v.$plain($c, |row: &Self| row.$f) };
}
pub(crate) use row;

/// Declares a list of names kept as a number.
macro_rules! code {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $text:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum $name {
            $( $(#[$vdoc])* $variant, )*
            /// Not known; null in every format.
            #[default]
            Unknown,
        }

        impl $name {
            /// Finds a value by its name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $text => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }

        impl $crate::record::Code for $name {
            const NAMES: &'static [&'static str] = &[$( $text, )*];

            fn code(self) -> Option<u8> {
                if self == Self::Unknown { None } else { Some(self as u8) }
            }
        }
    };
}
pub(crate) use code;
