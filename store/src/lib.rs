//! Runs in object storage: `s3://`, `gs://`, `az://` and `file://`.
//!
//! A run is written to a local directory first, the spool, by the same exporters as ever; an [`Uploader`] on a thread of
//! its own sends every part that is sealed and removes it once the store has it. Neither the engine nor an exporter ever
//! waits for the network. The order is such that what is in the store can be trusted:
//!
//! 1. `_open.json`, when the run begins: the destination can be written, and anyone sees that a run is under way;
//! 2. the parts, as they are sealed, in any order;
//! 3. `run.json`, when everything else is there: a run that has one is complete.
//!
//! | module | what it holds |
//! |---|---|
//! | [`open()`] | a store from a URL, with options and the environment |
//! | [`uploader`] | [`Uploader`], [`upload`]: from the spool to the store |
//! | [`options`] | how much may wait, how long an end waits |
//! | [`report`] | what an upload came to |
//! | [`spool`] | where runs wait, and what is sealed |
//! | [`download()`] | runs from a store into a local directory |
//! | [`remote`] | runs looked at where they are, for a query engine that reads their files itself |
//!
//! ```
//! use kvlens_store::{StoreOptions, UploadOptions, Uploader, open};
//! # let (local, remote) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let url = format!("file://{}", remote.path().display());
//! let store = open(&url, &StoreOptions::from_env())?;
//! let run = local.path().join("run_id=demo");
//! let uploader = Uploader::start(&store, &run, UploadOptions::default())?;
//! // … the run is recorded into `run` …
//! # std::fs::create_dir_all(&run)?;
//! # std::fs::write(run.join("run.json"), r#"{"schema_version": 1, "run_id": "demo"}"#)?;
//! let report = uploader.finish();
//! assert!(report.is_complete());
//! assert!(remote.path().join("run_id=demo/run.json").is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod backoff;
pub mod download;
pub mod error;
mod journal;
pub mod open;
pub mod options;
pub mod remote;
pub mod report;
mod session;
pub mod spool;
mod transfer;
pub mod uploader;

pub use download::download;
pub use error::{Result, StoreError};
pub use open::{Store, StoreOptions, open};
pub use options::UploadOptions;
pub use remote::{RemoteRun, RemoteRuns, runs};
pub use report::UploadReport;
pub use uploader::{Uploader, upload};

/// The client, in the version that this crate is built with.
pub use object_store;
