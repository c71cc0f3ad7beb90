//! Where a run goes: a directory, or a store with a directory in which parts wait for it.

use crate::error::{Error, Result};
use kvlens_schema::layout::store_scheme;
use std::path::{Path, PathBuf};

/// The directory under which exporters write.
#[cfg(feature = "store")]
pub(crate) fn local(out: &Path, spool: Option<&Path>) -> Result<PathBuf> {
    let Some(url) = store_scheme(out).and(out.to_str()) else {
        return Ok(out.to_path_buf());
    };
    // Tried here, so that a caller learns at once of a URL or an option that can't be used.
    open(url)?;
    Ok(spool.map_or_else(kvlens_store::spool::default_dir, Path::to_path_buf))
}

/// The directory under which exporters write.
#[cfg(not(feature = "store"))]
pub(crate) fn local(out: &Path, _spool: Option<&Path>) -> Result<PathBuf> {
    if store_scheme(out).is_none() {
        return Ok(out.to_path_buf());
    }
    Err(Error::Setting {
        setting: "out",
        found: out.display().to_string(),
        mend: "this library was built without the feature `store`, which writes to object storage; build it with that, or \
               name a directory",
    })
}

/// The upload of a run, if it goes to a store.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    #[cfg(feature = "store")]
    uploader: Option<kvlens_store::Uploader>,
}

impl Upload {
    /// Starts it, before the run begins.
    #[cfg(feature = "store")]
    pub(crate) fn start(
        out: &Path,
        run: &Path,
        notice: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self> {
        let Some(url) = store_scheme(out).and(out.to_str()) else {
            return Ok(Self::default());
        };
        let options = kvlens_store::UploadOptions::default().on_notice(notice);
        let uploader = kvlens_store::Uploader::start(&open(url)?, run, options).map_err(refused)?;
        Ok(Self {
            uploader: Some(uploader),
        })
    }

    /// There is none.
    #[cfg(not(feature = "store"))]
    #[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
    pub(crate) fn start(_: &Path, _: &Path, _: impl Fn(&str) + Send + Sync + 'static) -> Result<Self> {
        Ok(Self::default())
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

#[cfg(feature = "store")]
fn open(url: &str) -> Result<kvlens_store::Store> {
    kvlens_store::open(url, &kvlens_store::StoreOptions::from_env()).map_err(refused)
}

#[cfg(feature = "store")]
fn refused(error: kvlens_store::StoreError) -> Error {
    Error::Core(kvlens_core::Error::export("store", error))
}
