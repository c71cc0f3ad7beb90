//! Runs [`kvlens_tests::fuzz::open_config`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, open_config};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    open_config(data);
});
