//! Row tables: one generic loop per column over a block of rows.

use crate::column::{BLOCK, Column};
use kvlens_core::ClockAnchor;
use kvlens_core::record::{ColumnDesc, ColumnVisitor, Row};
use kvlens_core::run::SourceIndex;

/// Turns a monotonic reading into the value of a timestamp column.
pub(crate) fn wall(clock: ClockAnchor, monotonic_ns: u64) -> i64 {
    i64::try_from(clock.to_wall(monotonic_ns)).unwrap_or(i64::MAX)
}

/// Appends rows of one source.
pub(crate) fn append<R: Row>(columns: &mut [Column], source: SourceIndex, clock: ClockAnchor, rows: &[R]) {
    for rows in rows.chunks(BLOCK) {
        R::visit(&mut Append {
            rows,
            columns: columns.iter_mut(),
            clock,
            source,
            leading: true,
        });
    }
}

struct Append<'a, R> {
    rows: &'a [R],
    columns: std::slice::IterMut<'a, Column>,
    clock: ClockAnchor,
    source: SourceIndex,
    /// Whether the next time is the row's own, which fills the leading columns.
    leading: bool,
}

impl<R> Append<'_, R> {
    fn source(&mut self) {
        if let Some(Column::Code(column, _)) = self.columns.next() {
            let key = i32::from(self.source.0);
            column.extend(self.rows.len(), std::iter::repeat_n(key, self.rows.len()));
        }
    }
}

impl<R> ColumnVisitor<R> for Append<'_, R> {
    fn time(&mut self, desc: &'static ColumnDesc, get: impl Fn(&R) -> u64) {
        let clock = self.clock;
        if let Some(Column::Time(column)) = self.columns.next() {
            column.extend(self.rows.len(), self.rows.iter().map(|row| wall(clock, get(row))));
        }
        if std::mem::take(&mut self.leading) {
            self.u64(desc, get);
            self.source();
        }
    }

    fn opt_time(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>) {
        let clock = self.clock;
        if let Some(Column::Time(column)) = self.columns.next() {
            let values = self.rows.iter().map(|row| get(row).map(|at| wall(clock, at)));
            column.extend_opt(self.rows.len(), values);
        }
    }

    fn u64(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u64) {
        if let Some(Column::U64(column)) = self.columns.next() {
            column.extend(self.rows.len(), self.rows.iter().map(get));
        }
    }

    fn opt_u64(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u64>) {
        if let Some(Column::U64(column)) = self.columns.next() {
            column.extend_opt(self.rows.len(), self.rows.iter().map(get));
        }
    }

    fn u32(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> u32) {
        if let Some(Column::U32(column)) = self.columns.next() {
            column.extend(self.rows.len(), self.rows.iter().map(get));
        }
    }

    fn opt_u32(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u32>) {
        if let Some(Column::U32(column)) = self.columns.next() {
            column.extend_opt(self.rows.len(), self.rows.iter().map(get));
        }
    }

    fn text(&mut self, _: &'static ColumnDesc, get: impl for<'a> Fn(&'a R) -> &'a str) {
        if let Some(Column::Text(column)) = self.columns.next() {
            for row in self.rows {
                column.append_value(get(row));
            }
        }
    }

    fn code(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> Option<u8>) {
        if let Some(Column::Code(column, _)) = self.columns.next() {
            column.extend_opt(
                self.rows.len(),
                self.rows.iter().map(|row| get(row).map(i32::from)),
            );
        }
    }

    fn flag(&mut self, _: &'static ColumnDesc, get: impl Fn(&R) -> bool) {
        if let Some(Column::Flag(column)) = self.columns.next() {
            for row in self.rows {
                column.append(get(row));
            }
        }
    }
}
