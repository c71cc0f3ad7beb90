//! Runs [`kvlens_tests::fuzz::metrics_page`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, metrics_page};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    metrics_page(data);
});
