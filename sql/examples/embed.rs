//! The functions of the histogram column in a program that has a DataFusion session of its own: `embed FILES QUERY`.
//!
//! ```text
//! cargo run -p kvlens-sql --features engine --example embed-sql -- runs/run_id=x/samples/ \
//!     "select hist_quantile(hist_merge(time_to_first_token_ns), 0.99) from mine"
//! ```

use kvlens_sql::datafusion::datasource::file_format::parquet::ParquetFormat;
use kvlens_sql::datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use kvlens_sql::datafusion::prelude::SessionContext;
use std::error::Error;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(files), Some(query)) = (args.next(), args.next()) else {
        return Err("usage: embed FILES QUERY".into());
    };
    session(&files).await?.sql(&query).await?.show().await?;
    Ok(())
}

/// A session with the functions, and a table of its own.
pub(crate) async fn session(files: &str) -> Result<SessionContext, Box<dyn Error>> {
    let session = SessionContext::new();
    kvlens_sql::register(&session);
    // The files in any way that DataFusion reads them; here as one plain table.
    let url = ListingTableUrl::parse(files)?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new(url)
        .with_listing_options(options)
        .infer_schema(&session.state())
        .await?;
    session.register_table("mine", Arc::new(ListingTable::try_new(config)?))?;
    Ok(session)
}
