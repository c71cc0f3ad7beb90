//! How much may wait, and for how long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What an uploader has to tell while it works, in words.
pub type OnNotice = Arc<dyn Fn(&str) + Send + Sync>;

/// Options of an [`Uploader`](crate::Uploader).
#[derive(Clone)]
pub struct UploadOptions {
    pub(crate) spool_limit: u64,
    pub(crate) concurrency: usize,
    pub(crate) multipart_from: u64,
    pub(crate) patience: Duration,
    pub(crate) keep: Option<bool>,
    pub(crate) on_notice: Option<OnNotice>,
}

impl UploadOptions {
    /// Bytes of sealed parts that may wait for the store.
    pub const SPOOL_LIMIT: u64 = 16 << 30;
    /// Files that are uploaded at once.
    pub const CONCURRENCY: usize = 4;
    /// Files from this size on go in several pieces.
    pub const MULTIPART_FROM: u64 = 16 << 20;
    /// How long the end of a run waits for a store that takes nothing.
    pub const PATIENCE: Duration = Duration::from_secs(30);

    /// Sets how many bytes of sealed parts may wait for the store; then the oldest parts of the most detailed table
    /// are given up, and counted. Default: [`SPOOL_LIMIT`](Self::SPOOL_LIMIT).
    #[must_use]
    pub fn with_spool_limit(mut self, bytes: u64) -> Self {
        self.spool_limit = bytes;
        self
    }

    /// Sets how many files are uploaded at once, at least 1. Default: [`CONCURRENCY`](Self::CONCURRENCY).
    #[must_use]
    pub fn with_concurrency(mut self, files: usize) -> Self {
        self.concurrency = files.max(1);
        self
    }

    /// Sets from which size on a file goes in several pieces. Default: [`MULTIPART_FROM`](Self::MULTIPART_FROM).
    #[must_use]
    pub fn with_multipart_from(mut self, bytes: u64) -> Self {
        self.multipart_from = bytes;
        self
    }

    /// Sets how long the end of a run waits for a store that takes nothing; what is left then stays on disk. Default:
    /// [`PATIENCE`](Self::PATIENCE).
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets whether local files stay once the store has them. Default: those of a run that was recorded towards a store
    /// go, those of any other run stay.
    #[must_use]
    pub fn with_keep(mut self, keep: bool) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Calls back when an outage begins, when it is over, and when parts are given up; from the uploader's thread.
    #[must_use]
    pub fn on_notice(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Arc::new(hook));
        self
    }

    pub(crate) fn notice(&self, text: &str) {
        if let Some(hook) = &self.on_notice {
            hook(text);
        }
    }
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            spool_limit: Self::SPOOL_LIMIT,
            concurrency: Self::CONCURRENCY,
            multipart_from: Self::MULTIPART_FROM,
            patience: Self::PATIENCE,
            keep: None,
            on_notice: None,
        }
    }
}

impl fmt::Debug for UploadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadOptions")
            .field("spool_limit", &self.spool_limit)
            .field("concurrency", &self.concurrency)
            .field("multipart_from", &self.multipart_from)
            .field("patience", &self.patience)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
