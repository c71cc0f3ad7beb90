//! Runs [`kvlens_tests::fuzz::csv_table`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, csv_table};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    csv_table(data);
});
