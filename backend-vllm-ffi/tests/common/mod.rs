//! What several tests need.

use std::path::PathBuf;
use std::process::Command;

/// A compiler, if there is one.
pub(crate) fn compiler(name: &'static str) -> Option<&'static str> {
    let found = Command::new(name).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: there is no `{name}` here");
    }
    found.then_some(name)
}

/// Where cargo put the shared library for this test: beside its own executable.
pub(crate) fn library_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}
