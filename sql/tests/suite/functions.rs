//! Every function against the raw values, null and empty input included.

use super::ask::{ask, lines, numbers, refused};
use super::made::{fixed, histogram};
use kvlens_core::Value;
use kvlens_core::histogram::{Config, SparseHistogram};
use kvlens_schema::histogram::HistogramColumn;
use kvlens_sql::datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use kvlens_sql::datafusion::datasource::MemTable;
use kvlens_sql::datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use std::sync::Arc;

/// A session with a table `t` of histograms `h` in groups `g`, in several batches.
fn table(rows: &[(i64, Value)]) -> SessionContext {
    let batches: Vec<RecordBatch> = rows
        .chunks(7)
        .map(|rows| {
            let mut column = HistogramColumn::default();
            rows.iter().for_each(|(_, value)| column.push(value));
            let groups: ArrayRef =
                Arc::new(rows.iter().map(|(group, _)| Some(*group)).collect::<Int64Array>());
            RecordBatch::try_from_iter_with_nullable([
                ("g", groups, false),
                ("h", column.finish().unwrap(), true),
            ])
            .unwrap()
        })
        .collect();
    let session =
        SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3).with_batch_size(5));
    kvlens_sql::register(&session);
    let schema = batches[0].schema();
    // Two partitions, so that states are merged.
    let (left, right) = batches.split_at(batches.len() / 2);
    let table = MemTable::try_new(schema, vec![left.to_vec(), right.to_vec()]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    session
}

fn sparse(values: &[u64]) -> Value {
    Value::Histogram(histogram(values))
}

/// The nearest-rank quantile of raw values.
fn exact(values: &[u64], q: f64) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1]
}

/// Values as latencies are: over many powers of ten.
fn latency() -> impl Strategy<Value = u64> {
    (0_u32..40, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
}

async fn agree(rows: Vec<(i64, Option<Vec<u64>>)>, q: f64, bound: u64, boundaries: Option<&[u64]>) {
    let value = |values: &Option<Vec<u64>>| match (values, boundaries) {
        (None, _) => Value::Missing,
        (Some(values), None) => sparse(values),
        (Some(values), Some(boundaries)) => Value::Fixed(fixed(boundaries, values)),
    };
    let histograms: Vec<_> = rows
        .iter()
        .map(|(group, values)| (*group, value(values)))
        .collect();
    let session = table(&histograms);
    let from = "from (select g, hist_merge(h) as m from t group by g) order by g";
    let all = |what: &str| format!("select {what} {from}");
    let counts = numbers(&session, &all("hist_count(m)")).await;
    let sums = numbers(&session, &all("hist_sum(m)")).await;
    let means = numbers(&session, &all("hist_mean(m)")).await;
    let quantiles = numbers(&session, &all(&format!("hist_quantile(m, {q})"))).await;
    let errors = numbers(&session, &all(&format!("hist_quantile_error(m, {q})"))).await;
    let shares = numbers(&session, &all(&format!("hist_fraction_below(m, {bound})"))).await;
    let share_errors = numbers(&session, &all(&format!("hist_fraction_below_error(m, {bound})"))).await;
    let mut groups: Vec<i64> = rows.iter().map(|(group, _)| *group).collect();
    groups.sort_unstable();
    groups.dedup();
    assert_eq!(counts.len(), groups.len());
    for (at, group) in groups.iter().enumerate() {
        let of_group = rows.iter().filter(|(of, values)| of == group && values.is_some());
        let values: Vec<u64> = of_group
            .clone()
            .flat_map(|(_, values)| values.clone().unwrap())
            .collect();
        if of_group.count() == 0 {
            let nothing = [
                counts[at],
                sums[at],
                means[at],
                quantiles[at],
                errors[at],
                shares[at],
                share_errors[at],
            ];
            assert_eq!(nothing, [None; 7], "of nulls only");
            continue;
        }
        assert_eq!(counts[at], Some(values.len() as f64));
        let sum = values.iter().sum::<u64>() as f64;
        assert_eq!(sums[at], Some(sum));
        if values.is_empty() {
            assert_eq!(
                [means[at], quantiles[at], errors[at], shares[at], share_errors[at]],
                [None; 5],
                "of empty ones"
            );
            continue;
        }
        assert!((means[at].unwrap() - sum / values.len() as f64).abs() <= 1e-6 * sum.max(1.0));
        let truth = exact(&values, q) as f64;
        let found = quantiles[at].unwrap();
        match errors[at] {
            Some(error) => assert!(
                (found - truth).abs() <= error,
                "q {q}: {found} ± {error}, truly {truth}"
            ),
            None => assert!(
                boundaries.is_some_and(|all| truth > all[all.len() - 1] as f64),
                "no bound in vain"
            ),
        }
        if boundaries.is_none() {
            assert!(
                (found - truth).abs() <= truth * 0.004 + 0.5,
                "q {q}: {found}, truly {truth}"
            );
        }
        let truth = values.iter().filter(|value| **value <= bound).count() as f64 / values.len() as f64;
        let (found, error) = (shares[at].unwrap(), share_errors[at].unwrap());
        assert!(
            (found - truth).abs() <= error + 1e-12,
            "at most {bound}: {found} ± {error}, truly {truth}"
        );
    }
}

fn on_a_runtime(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn log_linear_histograms_agree_with_the_raw_values(
        rows in prop::collection::vec((0..4_i64, prop::option::weighted(0.8, prop::collection::vec(latency(), 0..40))), 1..40),
        q in 0.0..=1.0_f64,
        bound in latency(),
    ) {
        on_a_runtime(agree(rows, q, bound, None));
    }

    #[test]
    fn fixed_boundaries_agree_with_the_raw_values(
        rows in prop::collection::vec((0..4_i64, prop::option::weighted(0.8, prop::collection::vec(0..3_000_u64, 0..40))), 1..40),
        q in 0.0..=1.0_f64,
        bound in 0..3_000_u64,
    ) {
        on_a_runtime(agree(rows, q, bound, Some(&[1, 10, 50, 100, 500, 1_000, 2_500])));
    }
}

#[tokio::test]
async fn a_sum_is_the_histogram_of_all_values_to_the_last_part() {
    let parts: Vec<Vec<u64>> = (0..50)
        .map(|n| (0..n).map(|v| v * v * 1_000 + n).collect())
        .collect();
    let rows: Vec<_> = parts.iter().map(|values| (0, sparse(values))).collect();
    let merged = table(&rows)
        .sql("select hist_merge(h) from t")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let mut column = HistogramColumn::default();
    column.push(&sparse(&parts.concat()));
    let expected = RecordBatch::try_from_iter([("h", column.finish().unwrap())]).unwrap();
    assert_eq!(lines(&merged), lines(&[expected]));
}

#[tokio::test]
async fn nothing_at_all_is_null() {
    let session = table(&[(0, Value::Missing)]);
    for what in [
        "hist_count(m)",
        "hist_sum(m)",
        "hist_mean(m)",
        "hist_quantile(m, 0.5)",
        "hist_fraction_below(m, 5)",
    ] {
        let query = format!("select {what} from (select hist_merge(h) as m from t where false)");
        assert_eq!(numbers(&session, &query).await, [None], "{what}");
        assert_eq!(
            numbers(
                &session,
                &format!(
                    "select {}",
                    what.replace('m', "null")
                        .replace("nullean", "mean")
                        .replace("sunull", "sum")
                )
            )
            .await,
            [None]
        );
    }
    let session = table(&[(0, sparse(&[1, 2, 3]))]);
    assert_eq!(
        numbers(&session, "select hist_quantile(h, null) from t").await,
        [None]
    );
    assert_eq!(
        numbers(&session, "select hist_fraction_below(h, null) from t").await,
        [None]
    );
}

#[tokio::test]
async fn filters_distinct_and_windows_work() {
    let rows: Vec<_> = (0..20).map(|n| (n % 2, sparse(&[n as u64]))).collect();
    let session = table(&rows);
    let query =
        "select hist_count(hist_merge(h) filter (where hist_sum(h) > 9)) from t group by g order by g";
    assert_eq!(numbers(&session, query).await, [Some(5.0), Some(5.0)]);
    let query = "select max(n) from (select hist_count(hist_merge(h) over (partition by g order by hist_sum(h))) as n from t)";
    assert_eq!(numbers(&session, query).await, [Some(10.0)]);
}

#[tokio::test]
async fn an_empty_histogram_of_another_layout_does_not_disturb() {
    let coarse = SparseHistogram::new(Config::new(3, 40).unwrap());
    let session = table(&[
        (0, Value::Histogram(coarse)),
        (0, sparse(&[5, 6])),
        (0, Value::Fixed(fixed(&[10], &[]))),
    ]);
    assert_eq!(
        ask(&session, "select hist_count(hist_merge(h)) from t").await,
        ["2"]
    );
}

#[tokio::test]
async fn unlike_layouts_are_refused_with_the_mend() {
    let session = table(&[(0, sparse(&[5])), (1, Value::Fixed(fixed(&[10], &[7])))]);
    let error = refused(&session, "select hist_merge(h) from t").await;
    assert!(
        error.contains("h2(7,44)") && error.contains("le(10)") && error.contains("group by"),
        "{error}"
    );
    assert_eq!(
        numbers(
            &session,
            "select hist_count(hist_merge(h)) from t group by g order by g"
        )
        .await,
        [Some(1.0); 2]
    );
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let session = table(&[(0, sparse(&[5]))]);
    for (query, expected) in [
        (
            "select hist_merge(g) from t",
            "hist_merge takes a histogram column",
        ),
        (
            "select hist_quantile(h) from t",
            "write hist_quantile(histogram, q)",
        ),
        ("select hist_quantile(h, 99) from t", "p99 is 0.99"),
        ("select hist_quantile(h, 'often') from t", "often"),
        ("select hist_count(named_struct('sum', 1)) from t", "no `min`"),
    ] {
        let error = refused(&session, query).await;
        assert!(error.contains(expected), "{query}: {error}");
    }
}
