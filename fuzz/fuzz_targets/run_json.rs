//! Runs [`kvlens_tests::fuzz::run_json`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, run_json};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    run_json(data);
});
