//! Runs [`kvlens_tests::fuzz::push_calls`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, push_calls};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    push_calls(data);
});
