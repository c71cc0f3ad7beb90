//! Runs [`kvlens_tests::fuzz::config`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, config};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    config(data);
});
