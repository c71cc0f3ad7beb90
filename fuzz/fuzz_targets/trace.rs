//! Runs [`kvlens_tests::fuzz::trace`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, trace};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    trace(data);
});
