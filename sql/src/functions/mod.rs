//! SQL functions of the histogram column.
//!
//! | function | answers | null |
//! |---|---|---|
//! | `hist_merge(h)` | the sum of histograms, exactly | of no histogram but null ones |
//! | `hist_count(h)`, `hist_sum(h)` | exactly | of a null histogram; an empty one has 0 |
//! | `hist_mean(h)` | exactly | of a null or empty histogram |
//! | `hist_quantile(h, q)` | the middle of the bucket that holds the nearest-rank quantile | the same |
//! | `hist_quantile_error(h, q)` | how far from that the true one can lie | the same, and where a bucket is open above |
//! | `hist_fraction_below(h, v)` | the share of values that are at most v; linear within a bucket | of a null or empty histogram |
//! | `hist_fraction_below_error(h, v)` | how far from that the true share can lie | the same |

mod buckets;
mod column;
mod merge;
mod read;
mod scalar;
mod sum;

pub use merge::{HIST_MERGE, HistMerge};

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use scalar::{Asked, HistogramFunction};

/// Makes the functions of the histogram column known to a DataFusion session.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> datafusion::common::Result<()> {
/// let session = datafusion::prelude::SessionContext::new();
/// kvlens_sql::register(&session);
/// // session.register_parquet("samples", "runs/", …).await?;
/// // session.sql("select hist_quantile(hist_merge(time_to_first_token_ns), 0.99) from samples").await?
/// let answer = session.sql("select hist_count(null) as n").await?.collect().await?;
/// assert_eq!(answer[0].column(0).null_count(), 1);
/// # Ok(()) }
/// ```
pub fn register(session: &SessionContext) {
    scalar_functions()
        .into_iter()
        .for_each(|function| session.register_udf(function));
    aggregate_functions()
        .into_iter()
        .for_each(|function| session.register_udaf(function));
}

/// The scalar functions, for a registry of another kind.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    Asked::ALL
        .map(|asked| ScalarUDF::from(HistogramFunction::new(asked)))
        .into()
}

/// The aggregate functions, for a registry of another kind.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    vec![AggregateUDF::from(HistMerge::default())]
}

#[cfg(feature = "cluster")]
/// The functions, as a distributed engine wants them.
pub(crate) fn shared() -> (Vec<std::sync::Arc<ScalarUDF>>, Vec<std::sync::Arc<AggregateUDF>>) {
    use std::sync::Arc;
    let scalars = scalar_functions().into_iter().map(Arc::new).collect();
    (scalars, aggregate_functions().into_iter().map(Arc::new).collect())
}
