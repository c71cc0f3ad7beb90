//! Bytes in the place of texts that people write: traces, configurations, metrics pages.

use kvlens::native::trace::{TraceFormat, TraceOptions, TraceReader};
use kvlens_vllm_ffi::prometheus::Page;
use std::num::NonZeroU32;

/// Reads bytes as a trace; the first byte says how.
pub fn trace(data: &[u8]) {
    let Some((first, text)) = data.split_first() else {
        return;
    };
    let mut options = TraceOptions::new().with_skip_bad_lines(first & 4 != 0);
    options = match first & 3 {
        1 => options.with_format(TraceFormat::Mooncake),
        2 => options.with_format(TraceFormat::Azure),
        3 => options.with_format(TraceFormat::Kvlens),
        _ => options,
    };
    if first & 8 != 0 {
        options = options.with_line_bytes(200).with_block_tokens(NonZeroU32::MIN);
    }
    let mut reader = TraceReader::new(text, "fuzz", options);
    for request in reader.by_ref() {
        match request {
            // What a replay would look at.
            Ok(request) => drop((request.prompt.len(), request.max_tokens)),
            Err(error) => drop(error.to_string()),
        }
    }
    let _ = (reader.requests(), reader.out_of_order(), reader.first_skipped());
}

/// Reads bytes as a configuration file of `kvlens run`.
pub fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = kvlens::cli::check_config(text);
    }
}

/// Reads bytes as two metrics pages, one after the other, divided by a 0 byte.
pub fn metrics_page(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (before, after) = text.split_once('\0').unwrap_or((&text, ""));
    let (before, after) = (Page::parse(before), Page::parse(after));
    for metric in kvlens_vllm_ffi::metrics::standard() {
        let _ = (after.number(metric), after.total(metric));
        if let Some(histogram) = after.histogram(metric) {
            let _ = histogram.since(before.histogram(metric));
        }
    }
}
