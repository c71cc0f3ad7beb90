//! Runs [`kvlens_tests::fuzz::push_figures`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, push_figures};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    push_figures(data);
});
