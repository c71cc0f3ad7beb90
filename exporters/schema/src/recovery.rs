//! What a recovery reports.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a recovery found in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableRecovery {
    /// Rows that were safe before.
    pub sealed_rows: u64,
    /// Rows that the recovery made readable.
    pub recovered_rows: u64,
    /// Bytes of half-written records that were cut off.
    pub torn_bytes: u64,
}

impl TableRecovery {
    /// Rows that can be read now.
    pub fn rows(&self) -> u64 {
        self.sealed_rows + self.recovered_rows
    }
}

/// What a recovery found in a run, by table name; a table that the run did not record is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The tables.
    pub tables: BTreeMap<String, TableRecovery>,
}

impl Recovery {
    /// Rows that the recovery made readable, over all tables.
    pub fn recovered_rows(&self) -> u64 {
        self.tables.values().map(|table| table.recovered_rows).sum()
    }

    /// Whether there was nothing to do.
    pub fn is_clean(&self) -> bool {
        self.tables
            .values()
            .all(|table| table.recovered_rows == 0 && table.torn_bytes == 0)
    }
}

/// Reads a piece of a file; `None` where the reader panics. Readers of formats are not written against damage everywhere, and
/// what lies before the damage is to be saved.
pub fn guarded<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}
