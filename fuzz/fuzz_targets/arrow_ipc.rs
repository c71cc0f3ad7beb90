//! Runs [`kvlens_tests::fuzz::arrow_ipc`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, arrow_ipc};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    arrow_ipc(data);
});
