//! Any bytes as a trace: reading must end, without a panic. `cargo +nightly fuzz run traces`
#![no_main]

use kvlens_native::trace::{TraceFormat, TraceOptions, TraceReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let mut options = TraceOptions::new()
        .with_skip_bad_lines(kind & 1 == 1)
        .with_line_bytes(4096);
    options.format = match kind >> 1 & 3 {
        0 => None,
        1 => Some(TraceFormat::Mooncake),
        2 => Some(TraceFormat::Azure),
        _ => Some(TraceFormat::Kvlens),
    };
    for result in TraceReader::new(bytes, "fuzz", options) {
        match result {
            Ok(request) => request.prompt.read(0, &mut [0; 8]),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
