//! Sending queries to a cluster.

use super::configured;
use crate::error::Result;
use crate::functions::register;
use crate::session::SessionOptions;
use ballista::prelude::SessionContextExt;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

/// Makes a session whose queries a cluster executes; tables come from a [`RunCatalog`](crate::RunCatalog), as in any
/// other session.
///
/// `scheduler` is `HOST:PORT`. [`SessionOptions::threads`] is how many tasks a stage is cut into.
///
/// # Errors
/// [`SqlError::Engine`](crate::SqlError::Engine) when the address makes no sense.
pub async fn session(scheduler: &str, options: &SessionOptions) -> Result<SessionContext> {
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(configured(options.config()))
        .build();
    let url = format!("df://{scheduler}");
    let session = SessionContext::remote_with_state(&url, state).await?;
    register(&session);
    Ok(session)
}
