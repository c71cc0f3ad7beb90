//! Questions to a session.

use kvlens_sql::datafusion::arrow::array::{Array, RecordBatch};
use kvlens_sql::datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use kvlens_sql::datafusion::prelude::SessionContext;
use kvlens_sql::{RunCatalog, SessionOptions};
use std::path::Path;

/// A session over runs.
pub(crate) fn over(paths: &[impl AsRef<Path>]) -> SessionContext {
    let session = kvlens_sql::session(&SessionOptions::default().with_threads(3)).unwrap();
    RunCatalog::open(paths).unwrap().register(&session).unwrap();
    session
}

/// The answer, as text: a line per row, values separated by a blank, nothing for null.
pub(crate) async fn ask(session: &SessionContext, query: &str) -> Vec<String> {
    let batches = try_ask(session, query).await;
    lines(&batches.unwrap_or_else(|error| panic!("{query}: {error}")))
}

/// What is wrong with a query.
pub(crate) async fn refused(session: &SessionContext, query: &str) -> String {
    match try_ask(session, query).await {
        Ok(batches) => panic!("{query} gave {:?}", lines(&batches)),
        Err(error) => error.strip_backtrace(),
    }
}

pub(crate) async fn try_ask(
    session: &SessionContext,
    query: &str,
) -> kvlens_sql::datafusion::common::Result<Vec<RecordBatch>> {
    session.sql(query).await?.collect().await
}

pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default();
    let mut out = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|array| ArrayFormatter::try_new(array, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            out.push(cells.join(" "));
        }
    }
    out
}

/// The only column of an answer, as numbers.
pub(crate) async fn numbers(session: &SessionContext, query: &str) -> Vec<Option<f64>> {
    use kvlens_sql::datafusion::arrow::array::AsArray;
    use kvlens_sql::datafusion::arrow::compute::cast;
    use kvlens_sql::datafusion::arrow::datatypes::{DataType, Float64Type};
    let batches = try_ask(session, query)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut out = Vec::new();
    for batch in batches {
        let column = cast(batch.column(0), &DataType::Float64).unwrap();
        let column = column.as_primitive::<Float64Type>();
        out.extend((0..column.len()).map(|row| column.is_valid(row).then(|| column.value(row))));
    }
    out
}
