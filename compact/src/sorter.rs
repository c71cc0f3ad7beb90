//! Rows in the order of time, in bounded memory.

use crate::error::{CompactError, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use kvlens_core::Table;

/// Collects the rows of one process and gives them back sorted, a row group at a time.
///
/// A process writes its rows nearly in order: sources take turns, and a request's row comes when the request ends. So it
/// is enough to hold two row groups: the earlier half of them goes out, the later half waits for what comes.
#[derive(Debug)]
pub(crate) struct Sorter {
    table: Table,
    group_rows: usize,
    group_bytes: usize,
    waiting: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Sorter {
    pub(crate) fn new(table: Table, group_rows: usize, group_bytes: usize) -> Self {
        Self {
            table,
            group_rows: group_rows.max(1),
            group_bytes,
            waiting: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes rows; gives back a row group when there is one.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.waiting.push(batch);
        if self.rows < self.group_rows.saturating_mul(2) && self.bytes < self.group_bytes.saturating_mul(2) {
            return Ok(None);
        }
        let sorted = self.sorted()?;
        let first = (sorted.num_rows() / 2).max(1);
        let rest = sorted.slice(first, sorted.num_rows() - first);
        self.rows = rest.num_rows();
        // A slice holds on to all of its memory until it is copied by the next sorting.
        self.bytes /= 2;
        self.waiting = vec![rest];
        Ok(Some(sorted.slice(0, first)))
    }

    /// Gives back the rest, which is at most two row groups.
    pub(crate) fn finish(mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            Ok(None)
        } else {
            self.sorted().map(Some)
        }
    }

    fn sorted(&mut self) -> Result<RecordBatch> {
        let sort = |waiting: &[RecordBatch]| -> Result<RecordBatch, ArrowError> {
            let Some(first) = waiting.first() else {
                return Err(ArrowError::ComputeError("no rows".to_owned()));
            };
            let all = concat_batches(first.schema_ref(), waiting)?;
            match order(&all) {
                Some(order) => take_record_batch(&all, &order),
                None => Ok(all),
            }
        };
        let waiting = std::mem::take(&mut self.waiting);
        sort(&waiting).map_err(|source| CompactError::Rows {
            action: "sort",
            table: self.table.name(),
            source,
        })
    }
}

/// The order of time, rows of the same time as they were; `None` if they are in order, or have no time.
fn order(batch: &RecordBatch) -> Option<UInt32Array> {
    let times = batch
        .column_by_name("timestamp")?
        .as_primitive_opt::<TimestampNanosecondType>()?;
    let key = |row: usize| {
        if times.is_valid(row) {
            times.value(row)
        } else {
            i64::MIN
        }
    };
    if (1..batch.num_rows()).all(|row| key(row - 1) <= key(row)) {
        return None;
    }
    let mut order: Vec<u32> = (0..u32::try_from(batch.num_rows()).ok()?).collect();
    order.sort_by_key(|row| key(*row as usize));
    Some(order.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, TimestampNanosecondArray};
    use std::sync::Arc;

    fn batch(times: Vec<i64>) -> RecordBatch {
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times));
        RecordBatch::try_from_iter([("timestamp", times)]).unwrap()
    }

    #[test]
    fn nearly_sorted_rows_come_out_sorted() {
        let mut sorter = Sorter::new(Table::Steps, 100, usize::MAX);
        let mut out = Vec::new();
        let mut take = |batch: RecordBatch| {
            let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
            out.extend(times.values().iter().copied());
        };
        for start in 0..50 {
            // Two sources that take turns in blocks of ten.
            let rows = (0..20)
                .map(|row| start * 20 + (row % 10) * 2 + row / 10)
                .collect();
            if let Some(group) = sorter.push(batch(rows)).unwrap() {
                assert_eq!(group.num_rows(), 100);
                take(group);
            }
        }
        if let Some(group) = sorter.finish().unwrap() {
            take(group);
        }
        assert_eq!(out, (0..1_000).collect::<Vec<i64>>());
    }
}
