//! Statements, executed one after the other.

use super::output::{Destination, Written};
use kvlens_analysis::AnalysisError;
use kvlens_core::BoxError;
use kvlens_sql::datafusion::arrow::array::RecordBatch;
use kvlens_sql::datafusion::common::DataFusionError;
use kvlens_sql::datafusion::physical_plan::SendableRecordBatchStream;
use kvlens_sql::datafusion::prelude::SessionContext;
use kvlens_sql::datafusion::sql::parser::{DFParser, Statement};

/// How often a query is begun anew because a run that is being written moved on under it.
const ATTEMPTS: usize = 3;

/// A session, and where its answers go.
pub(super) struct Session {
    pub(super) context: SessionContext,
    pub(super) destination: Destination,
}

impl Session {
    pub(super) fn new(context: SessionContext, destination: Destination) -> Self {
        Self { context, destination }
    }

    /// Executes every statement of a text.
    pub(super) async fn run_all(&self, text: &str) -> Result<Option<Written>, BoxError> {
        let mut last = None;
        for statement in DFParser::parse_sql(text).map_err(told)? {
            last = Some(self.run(statement).await?);
        }
        Ok(last)
    }

    async fn run(&self, statement: Statement) -> Result<Written, BoxError> {
        let mut attempt = 1;
        let (first, rest) = loop {
            match self.begin(statement.clone()).await {
                Err(error) if attempt < ATTEMPTS && moved_on(&error) => attempt += 1,
                begun => break begun.map_err(told)?,
            }
        };
        self.destination.write(first, rest, told).await
    }

    /// Plans a statement and gets its first rows: what can move on has done so by then, or is open.
    async fn begin(
        &self,
        statement: Statement,
    ) -> Result<(Option<RecordBatch>, SendableRecordBatchStream), DataFusionError> {
        use futures::StreamExt;
        let plan = self.context.state().statement_to_plan(statement).await?;
        let mut stream = self
            .context
            .execute_logical_plan(plan)
            .await?
            .execute_stream()
            .await?;
        let first = stream.next().await.transpose()?;
        Ok((first, stream))
    }
}

/// An engine's error as a user should see it: without its inner layers.
pub(super) fn told(error: DataFusionError) -> BoxError {
    match error {
        DataFusionError::External(inner) => inner,
        DataFusionError::Diagnostic(_, inner) => told(*inner),
        DataFusionError::Shared(inner) => inner.strip_backtrace().into(),
        other => other.strip_backtrace().into(),
    }
}

fn moved_on(error: &DataFusionError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(AnalysisError::MovedOn { .. }) = error.downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    false
}
