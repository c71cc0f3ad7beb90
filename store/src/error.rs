//! The error type of this crate.

use kvlens_schema::SchemaError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What can go wrong between a local run and an object store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A URL can't be understood.
    #[error(
        "`{url}` is not the URL of a store: {problem}; write it like `s3://bucket/prefix`, `gs://…`, `az://…` or `file:///…`"
    )]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store can't be set up: an option is wrong or missing.
    #[error("could not set up `{url}`")]
    Open {
        /// The URL.
        url: String,
        /// What the store's client said.
        #[source]
        source: Cause,
    },
    /// The store refuses the credentials, or there are none.
    #[error("no usable credentials for `{url}`; check {}", variables(url))]
    Credentials {
        /// The object or the store.
        url: String,
        /// What the store said.
        #[source]
        source: Cause,
    },
    /// What the URL names is not there.
    #[error("`{url}` is not there; check the bucket's name, the endpoint and the region")]
    NotThere {
        /// The object or the store.
        url: String,
        /// What the store said.
        #[source]
        source: Cause,
    },
    /// The store did not do what it was asked, and may later.
    #[error("could not {action} `{url}`")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The object or the store.
        url: String,
        /// What the store said.
        #[source]
        source: Cause,
    },
    /// The store did not answer in time.
    #[error("`{url}` did not answer within {seconds} s")]
    Silent {
        /// The object or the store.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// What arrived is not what was sent.
    #[error("`{url}`: {expected} were sent, {found} arrived")]
    Differs {
        /// The object.
        url: String,
        /// Size and tag sent.
        expected: String,
        /// Size and tag that arrived.
        found: String,
    },
    /// The store holds a run of this identifier already.
    #[error("`{url}` exists already; use another run id")]
    RunExists {
        /// The run's manifest.
        url: String,
    },
    /// Nobody said where a run is to go.
    #[error("`{}` was not on its way to a store; name a store to send it to (--to)", path.display())]
    NoDestination {
        /// The run.
        path: PathBuf,
    },
    /// A run was killed, and what it had flushed is not in sealed files yet.
    #[error("`{}` is not sealed; `kvlens recover` makes the run whole", path.display())]
    Unsealed {
        /// A file under construction.
        path: PathBuf,
    },
    /// A run was on its way to another store.
    #[error("`{}` is on its way to `{known}`, not to `{given}`; leave --to away, or name that one", path.display())]
    OtherDestination {
        /// The run.
        path: PathBuf,
        /// Where it was going.
        known: String,
        /// Where it is to go now.
        given: String,
    },
    /// The list of what was uploaded can't be understood.
    #[error("`{}` is not a list of uploads: line {line} makes no sense", path.display())]
    Journal {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A run's layout or manifest is not as it should be.
    #[error(transparent)]
    Layout(#[from] SchemaError),
    /// The operating system refused something.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A store holds no complete run where one was looked for.
    #[error("no complete run below `{url}`{}", pending(*under_way))]
    NoRuns {
        /// What was asked for.
        url: String,
        /// Runs that are being written, or whose upload was cut short.
        under_way: usize,
    },
    /// A download is larger than it may be.
    #[error(
        "`{url}` holds {bytes} bytes, more than the {limit} that may be downloaded; name fewer runs, or raise the limit (KVLENS_CACHE_LIMIT for the command)"
    )]
    TooLarge {
        /// What was asked for.
        url: String,
        /// Bytes there.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The uploader's thread could not be started, or died.
    #[error("the thread that uploads could not be started")]
    Thread {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Where a virtual machine of a cloud asks for its credentials.
const METADATA_SERVICE: &str = "169.254.169.254";

/// What servers call a bucket that is not there: S3 and Google, Azure.
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// What a store's client said.
///
/// Its own text tells its causes already, so it has no further source.
#[derive(Debug)]
pub struct Cause(pub object_store::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        Self::Io { action, path, source }
    }

    /// Sorts a client's error by what its reader can do about it.
    pub(crate) fn store(action: &'static str, url: String, error: object_store::Error) -> Self {
        use object_store::Error;
        let source = Cause(error);
        match &source.0 {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Self::Credentials { url, source }
            }
            // Without credentials the client asks the cloud's own machines for some.
            other if other.to_string().contains(METADATA_SERVICE) => Self::Credentials { url, source },
            Error::NotFound { .. } => Self::NotThere { url, source },
            // The client tells a missing bucket by its server's text alone.
            other if NO_BUCKET.iter().any(|code| other.to_string().contains(code)) => {
                Self::NotThere { url, source }
            }
            _ => Self::Store { action, url, source },
        }
    }

    /// Whether trying again is pointless until somebody changes something.
    pub fn is_definite(&self) -> bool {
        !matches!(
            self,
            Self::Store { .. } | Self::Silent { .. } | Self::Differs { .. }
        )
    }

    /// The message with those of its causes.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(cause.to_string().trim_end());
            next = cause.source();
        }
        text
    }
}

fn pending(runs: usize) -> String {
    match runs {
        0 => "; name a run, or a prefix with runs below it".to_owned(),
        1 => "; one is under way, or its upload was cut short".to_owned(),
        more => format!("; {more} are under way, or their upload was cut short"),
    }
}

/// The environment variables that hold a store's credentials.
fn variables(url: &str) -> &'static str {
    match url.split_once(':').map_or("", |(scheme, _)| scheme) {
        "s3" | "s3a" => {
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and the bucket's policy"
        }
        "gs" => "GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS, and the bucket's policy",
        "file" => "who owns the directory",
        _ => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, and the container's policy",
    }
}
