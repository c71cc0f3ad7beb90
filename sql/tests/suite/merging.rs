//! `hist_merge` over many groups, spilled and skipped, against a merge by hand.

use super::ask::lines;
use super::made::histogram;
use kvlens_core::Value;
use kvlens_schema::histogram::HistogramColumn;
use kvlens_sql::datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use kvlens_sql::datafusion::datasource::MemTable;
use kvlens_sql::datafusion::prelude::SessionContext;
use std::collections::BTreeMap;
use std::sync::Arc;

const ROWS: i64 = 30_000;

/// The group and the values of a row.
fn row(number: i64) -> (i64, Vec<u64>) {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let count = random.usize(0..6);
    (
        random.i64(0..ROWS / 2),
        (0..count)
            .map(|_| {
                let bits = random.u32(1..40);
                random.u64(1..1 << bits)
            })
            .collect(),
    )
}

fn register(session: &SessionContext) {
    let batches = (0..ROWS / 1_000).map(|batch| {
        let rows: Vec<_> = (batch * 1_000..(batch + 1) * 1_000).map(row).collect();
        let mut column = HistogramColumn::default();
        rows.iter()
            .for_each(|(_, values)| column.push(&Value::Histogram(histogram(values))));
        let groups: ArrayRef = Arc::new(rows.iter().map(|(group, _)| Some(*group)).collect::<Int64Array>());
        RecordBatch::try_from_iter([("g", groups), ("h", column.finish().unwrap())]).unwrap()
    });
    let batches: Vec<_> = batches.collect();
    let table = MemTable::try_new(
        batches[0].schema(),
        vec![batches[..15].to_vec(), batches[15..].to_vec()],
    )
    .unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
}

fn by_hand() -> Vec<String> {
    let mut groups = BTreeMap::<i64, Vec<u64>>::new();
    for (group, mut values) in (0..ROWS).map(row) {
        groups.entry(group).or_default().append(&mut values);
    }
    let mut column = HistogramColumn::default();
    groups
        .values()
        .for_each(|values| column.push(&Value::Histogram(histogram(values))));
    let keys: ArrayRef = Arc::new(groups.keys().map(|group| Some(*group)).collect::<Int64Array>());
    lines(&[RecordBatch::try_from_iter([("g", keys), ("h", column.finish().unwrap())]).unwrap()])
}

async fn merged(options: kvlens_sql::SessionOptions, skip_partial: bool) -> Vec<String> {
    let session = kvlens_sql::session(&options).unwrap();
    register(&session);
    if skip_partial {
        let settings = [
            "set datafusion.execution.skip_partial_aggregation_probe_rows_threshold = 100",
            "set datafusion.execution.skip_partial_aggregation_probe_ratio_threshold = 0.1",
        ];
        for setting in settings {
            session.sql(setting).await.unwrap().collect().await.unwrap();
        }
    }
    let query = "select g, hist_merge(h) as h from t group by g order by g";
    lines(&session.sql(query).await.unwrap().collect().await.unwrap())
}

#[tokio::test]
async fn many_groups_agree_with_a_merge_by_hand() {
    let plain = kvlens_sql::SessionOptions::default().with_threads(2);
    assert_eq!(merged(plain, false).await, by_hand());
    assert_eq!(
        merged(plain, true).await,
        by_hand(),
        "where partial sums are skipped"
    );
    assert_eq!(
        merged(plain.with_memory(24 << 20), false).await,
        by_hand(),
        "where groups go on disk"
    );
}
