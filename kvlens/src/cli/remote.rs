//! Paths that may be URLs of a store: what is below one is fetched first.

use super::error::CliError;
use kvlens_schema::layout::store_scheme;
use std::borrow::Cow;
use std::path::Path;

/// The path on disk: itself, or where what is below a URL has been fetched to.
pub(super) fn local(path: &Path) -> Result<Cow<'_, Path>, CliError> {
    let (Some(_), Some(url)) = (store_scheme(path), path.to_str()) else {
        return Ok(Cow::Borrowed(path));
    };
    // A job is picked among the runs of a prefix, once they are here.
    match url.rsplit_once('/').filter(|(_, last)| last.starts_with("job=")) {
        Some((above, job)) => fetch(above).map(|path| Cow::Owned(path.join(job))),
        None => fetch(url).map(Cow::Owned),
    }
}

#[cfg(feature = "store")]
fn fetch(url: &str) -> Result<std::path::PathBuf, CliError> {
    use kvlens_store::{StoreOptions, download};
    let cache = std::env::var_os("KVLENS_CACHE").map_or_else(download::default_cache, Into::into);
    let limit = match std::env::var("KVLENS_CACHE_LIMIT") {
        Err(_) => download::LIMIT,
        Ok(text) => text.parse().map_err(|error| {
            CliError::failed(
                "KVLENS_CACHE_LIMIT is not a number of bytes",
                format!("{text}: {error}"),
            )
        })?,
    };
    let done = kvlens_store::download(url, &cache, &StoreOptions::from_env(), limit)
        .map_err(|error| CliError::failed(format!("can't read {url}"), error))?;
    if done.fetched > 0 {
        let (files, bytes) = (done.fetched, super::number::bytes(done.fetched_bytes));
        eprintln!(
            "kvlens: fetched {files} files ({bytes}) into {}",
            done.path.display()
        );
    }
    Ok(done.path)
}

#[cfg(not(feature = "store"))]
fn fetch(url: &str) -> Result<std::path::PathBuf, CliError> {
    let mend = "build with the feature `store` to read from object storage";
    Err(CliError::failed(format!("can't read {url}"), mend))
}
