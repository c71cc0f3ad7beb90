//! A store from a URL.
//!
//! ```
//! use kvlens_store::{StoreOptions, open};
//! let options = StoreOptions::default()
//!     .with("aws_endpoint", "http://127.0.0.1:9000")
//!     .with("aws_access_key_id", "me")
//!     .with("aws_secret_access_key", "secret");
//! let store = open("s3://bucket/experiments/a", &options)?;
//! assert_eq!(store.url(), "s3://bucket/experiments/a");
//! assert_eq!(store.root_url().as_str(), "s3://bucket/");
//! assert_eq!(store.path("run_id=x/run.json").as_ref(), "experiments/a/run_id=x/run.json");
//! # Ok::<(), kvlens_store::StoreError>(())
//! ```

use crate::error::{Cause, Result, StoreError};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use std::sync::Arc;
use std::time::Duration;
use url::{Position, Url};

/// Prefixes of the environment variables that stores are set up by.
pub const ENVIRONMENT: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// How a store is reached, beside its URL: pairs of a name and a value, as in the environment.
///
/// Names are those of `object_store`'s builders, such as `aws_endpoint` and `aws_region`; those that a store does not
/// know are passed over.
#[derive(Clone, Default)]
pub struct StoreOptions {
    pairs: Vec<(String, String)>,
}

/// Values may be secrets: only names are shown.
impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.pairs.iter().map(|(name, _)| name))
            .finish()
    }
}

impl StoreOptions {
    /// Takes what the environment says: `AWS_…`, `AZURE_…` and `GOOGLE_…`.
    pub fn from_env() -> Self {
        let of_a_store = |name: &str| ENVIRONMENT.iter().any(|prefix| name.starts_with(prefix));
        let pairs = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| of_a_store(name) && !value.is_empty());
        Self {
            pairs: pairs
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect(),
        }
    }

    /// Sets an option; the last value of a name counts.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.pairs.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// Whether an endpoint is given that has no TLS: whoever writes `http://` means it.
    fn is_plain_http(&self) -> bool {
        let endpoints = self.pairs.iter().filter(|(name, _)| name.contains("endpoint"));
        endpoints
            .into_iter()
            .any(|(_, value)| value.starts_with("http://"))
    }

    fn client(&self) -> ClientOptions {
        ClientOptions::new()
            .with_allow_http(self.is_plain_http())
            .with_connect_timeout(Duration::from_secs(5))
            .with_timeout(Duration::from_secs(120))
    }
}

/// A place in an object store.
#[derive(Debug, Clone)]
pub struct Store {
    client: Arc<dyn ObjectStore>,
    url: Url,
    prefix: Path,
}

/// Opens a store; nothing is sent yet.
///
/// # Errors
/// [`StoreError::Url`] for a URL that can't be understood, [`StoreError::Open`] for options that don't suffice.
pub fn open(url: &str, options: &StoreOptions) -> Result<Store> {
    let wrong = |problem: String| StoreError::Url {
        url: url.to_owned(),
        problem,
    };
    let parsed = Url::parse(url.trim_end_matches('/')).map_err(|error| wrong(error.to_string()))?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&parsed).map_err(|error| wrong(error.to_string()))?;
    let failed = |error| StoreError::Open {
        url: url.to_owned(),
        source: Cause(error),
    };
    Ok(Store {
        client: client(&scheme, &parsed, options)
            .ok_or_else(|| wrong("no store has this scheme".to_owned()))?
            .map_err(failed)?,
        url: parsed,
        prefix,
    })
}

/// Sets the options that a builder knows.
macro_rules! build {
    ($builder:ty, $url:expr, $options:expr) => {{
        let start = <$builder>::new()
            .with_url($url.as_str())
            .with_client_options($options.client())
            .with_retry(retry());
        let set = |builder: $builder, (name, value): &(String, String)| match name.parse() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        };
        let built = $options.pairs.iter().fold(start, set).build();
        built.map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
    }};
}

/// `None` for a scheme that is no store of ours.
fn client(
    scheme: &ObjectStoreScheme,
    url: &Url,
    options: &StoreOptions,
) -> Option<object_store::Result<Arc<dyn ObjectStore>>> {
    Some(match scheme {
        ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder, url, options),
        ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder, url, options),
        ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder, url, options),
        ObjectStoreScheme::Local => Ok(Arc::new(LocalFileSystem::new())),
        _ => return None,
    })
}

/// How a single request is retried. Longer outages are the uploader's business, which tells of them.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 3,
        retry_timeout: Duration::from_secs(60),
    }
}

impl Store {
    /// The client: for a query engine, to be registered under [`root_url`](Self::root_url).
    pub fn client(&self) -> &Arc<dyn ObjectStore> {
        &self.client
    }

    /// The URL, without a slash at its end.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The URL of the whole bucket, which the client's paths start from.
    pub fn root_url(&self) -> Url {
        let mut root = self.url.clone();
        root.set_path("/");
        root
    }

    /// The path in the store of a name below the URL; an empty name is the URL itself.
    pub fn path(&self, name: &str) -> Path {
        name.split('/')
            .filter(|piece| !piece.is_empty())
            .fold(self.prefix.clone(), Path::join)
    }

    /// The URL of a name below the URL.
    pub fn url_of(&self, name: &str) -> String {
        format!("{}/{name}", self.url())
    }

    /// The place of a name below this one.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        let path = format!("{}/{name}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Self {
            client: self.client.clone(),
            prefix: self.path(name),
            url,
        }
    }

    /// The place of a path of the client, in the same bucket.
    pub(crate) fn at(&self, path: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(path);
        Self {
            client: self.client.clone(),
            // It comes from the client, so that it is parsed already.
            prefix: Path::parse(path).unwrap_or_else(|_| Path::from(path)),
            url,
        }
    }

    /// The URL of a path of the client.
    pub fn url_of_path(&self, path: &Path) -> String {
        format!("{}/{path}", &self.url[..Position::BeforePath])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_are_no_store_are_named_with_the_mend() {
        for url in [
            "bucket/prefix",
            "ftp://host/x",
            "https://example.com/x",
            "s3://",
            "memory:///x",
        ] {
            let text = open(url, &StoreOptions::default()).unwrap_err().chain();
            assert!(
                text.contains(url) && text.contains("s3://bucket/prefix"),
                "{text}"
            );
        }
    }

    #[test]
    fn every_scheme_opens_and_names_its_objects() {
        let options = StoreOptions::default()
            .with("AWS_REGION", "eu-central-1")
            .with("azure_storage_account_name", "account")
            .with("azure_storage_account_key", "a2V5")
            .with("of_nobody", "x");
        for (url, root) in [
            ("s3://b/p/q/", "s3://b/"),
            ("gs://b/p/q", "gs://b/"),
            ("az://b/p/q", "az://b/"),
            ("file:///p/q", "file:///"),
        ] {
            let store = open(url, &options).unwrap();
            assert_eq!(store.root_url().as_str(), root);
            let run = store.below("run_id=x");
            assert_eq!(
                run.path("steps/part-0.parquet").as_ref(),
                "p/q/run_id=x/steps/part-0.parquet"
            );
            assert_eq!(run.url(), format!("{}/run_id=x", url.trim_end_matches('/')));
            assert_eq!(run.url_of_path(&run.path("a")), format!("{}/a", run.url()));
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = StoreOptions::default().with("aws_secret_access_key", "hidden");
        assert!(!format!("{options:?}").contains("hidden"));
    }
}
