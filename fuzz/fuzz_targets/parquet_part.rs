//! Runs [`kvlens_tests::fuzz::parquet_part`].
#![no_main]

use kvlens_tests::fuzz::{let_panics_be_caught, parquet_part};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let_panics_be_caught();
    parquet_part(data);
});
