//! The fuzz targets on what they begin with, and on what they found.
//!
//! `scripts/fuzz.sh` runs them for as long as one likes; here each input is tried once, in seconds.

use kvlens_tests::fuzz::{TARGETS, seeds};
use std::fs;
use std::path::Path;

/// Runs a target over the files of a directory; says how many there were.
fn replay(target: fn(&[u8]), dir: &Path) -> usize {
    let Ok(listing) = fs::read_dir(dir) else { return 0 };
    let files: Vec<_> = listing.map(|entry| entry.unwrap().path()).collect();
    for file in &files {
        eprintln!("{}", file.display());
        target(&fs::read(file).unwrap());
    }
    files.len()
}

#[test]
fn every_target_takes_its_seeds() {
    let corpus = tempfile::tempdir().unwrap();
    seeds::write(corpus.path()).unwrap();
    for (name, target) in TARGETS {
        let taken = replay(target, &corpus.path().join(name));
        assert!(taken > 0, "{name} has no seed");
    }
}

#[test]
fn what_was_found_stays_mended() {
    let findings = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    let found: usize = TARGETS
        .iter()
        .map(|(name, target)| replay(*target, &findings.join(name)))
        .sum();
    assert!(found > 0, "the findings are part of the repository");
}
