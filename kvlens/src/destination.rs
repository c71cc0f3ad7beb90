//! Where a run goes: a directory, or a store with a directory in which parts wait for it.

use kvlens_core::{Error, Result};
use kvlens_schema::layout::store_scheme;
use std::path::{Path, PathBuf};

#[cfg(feature = "store")]
use kvlens_store::{StoreOptions, UploadOptions, Uploader};

/// Where a run goes.
#[derive(Debug)]
pub(crate) struct Destination {
    out: PathBuf,
    #[cfg(feature = "store")]
    pub(crate) spool: Option<PathBuf>,
    #[cfg(feature = "store")]
    pub(crate) store: Option<StoreOptions>,
    #[cfg(feature = "store")]
    pub(crate) upload: UploadOptions,
}

/// The upload of a run, if it goes to a store.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    #[cfg(feature = "store")]
    uploader: Option<Uploader>,
}

impl Destination {
    pub(crate) fn new(out: PathBuf) -> Self {
        Self {
            out,
            #[cfg(feature = "store")]
            spool: None,
            #[cfg(feature = "store")]
            store: None,
            #[cfg(feature = "store")]
            upload: UploadOptions::default(),
        }
    }

    /// The directory under which exporters write.
    pub(crate) fn local(&self) -> PathBuf {
        #[cfg(feature = "store")]
        if store_scheme(&self.out).is_some() {
            return self
                .spool
                .clone()
                .unwrap_or_else(kvlens_store::spool::default_dir);
        }
        self.out.clone()
    }

    /// Starts the upload of a run that is about to begin; there is none for a run that stays on disk.
    #[cfg(feature = "store")]
    pub(crate) fn start(self, run: &Path) -> Result<Upload> {
        if store_scheme(&self.out).is_none() {
            return Ok(Upload::default());
        }
        let url = self.out.to_string_lossy();
        let options = self.store.unwrap_or_else(StoreOptions::from_env);
        let started =
            kvlens_store::open(&url, &options).and_then(|store| Uploader::start(&store, run, self.upload));
        Ok(Upload {
            uploader: Some(started.map_err(|error| Error::export("store", error))?),
        })
    }

    /// Refuses a run that is to go to a store.
    #[cfg(not(feature = "store"))]
    pub(crate) fn start(self, _run: &Path) -> Result<Upload> {
        if store_scheme(&self.out).is_none() {
            return Ok(Upload::default());
        }
        Err(Error::Config {
            setting: "out",
            found: self.out.display().to_string(),
            mend: "build with the feature `store` to write to object storage, or name a directory",
        })
    }
}

impl Upload {
    /// The run's URL.
    #[cfg(feature = "store")]
    pub(crate) fn url(&self) -> Option<&str> {
        self.uploader.as_ref().map(Uploader::url)
    }

    /// The run's URL: it has none.
    #[cfg(not(feature = "store"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn url(&self) -> Option<&str> {
        None
    }

    /// Undoes the start, for a run that could not begin.
    #[cfg_attr(
        not(feature = "store"),
        expect(clippy::unused_self, reason = "as with the feature")
    )]
    pub(crate) fn abandon(self) {
        #[cfg(feature = "store")]
        if let Some(uploader) = self.uploader {
            uploader.abandon();
        }
    }

    /// Sends what is left, once the run is written; says what its owner should know.
    #[cfg_attr(
        not(feature = "store"),
        expect(clippy::unused_self, reason = "as with the feature")
    )]
    pub(crate) fn finish(self) -> Vec<String> {
        #[cfg(feature = "store")]
        if let Some(uploader) = self.uploader {
            return uploader.finish().problems();
        }
        Vec::new()
    }
}
