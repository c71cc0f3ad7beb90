//! Helpers of the tests that cross crates; the tests themselves are in `tests/`, one file per theme.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A trace of the shared folder beside the repository; `None`, said on stderr, where it is absent.
pub fn shared_trace(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/traces").join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: this test needs {}, which is not there", path.display());
    None
}
