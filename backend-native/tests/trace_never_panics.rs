//! Whatever the bytes, reading ends, and each result is a request that can be read or an error that can be shown.

use kvlens_native::trace::{TraceFormat, TraceOptions, TraceReader};
use proptest::prelude::*;

fn read_all(bytes: &[u8], format: Option<TraceFormat>, skip: bool) {
    let mut options = TraceOptions::new()
        .with_skip_bad_lines(skip)
        .with_line_bytes(4096);
    options.format = format;
    let mut reader = TraceReader::new(bytes, "trace", options);
    let mut results = 0;
    for result in &mut reader {
        results += 1;
        match result {
            Ok(request) => {
                assert!(!request.prompt.is_empty() && request.max_tokens > 0);
                request.prompt.read(0, &mut [0; 8]);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(results > 0, "an input without a request is an error");
    assert!(reader.next().is_none(), "ended is ended");
}

fn formats() -> impl Strategy<Value = Option<TraceFormat>> {
    prop_oneof![
        Just(None),
        Just(Some(TraceFormat::Mooncake)),
        Just(Some(TraceFormat::Azure)),
        Just(Some(TraceFormat::Kvlens)),
    ]
}

/// Lines that are nearly right, with odd values in their places.
fn lines() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|x| x.to_string()),
        (0_u32..2_000).prop_map(|n| n.to_string()),
        Just("null".to_owned()),
        Just("[1, 2, 3]".to_owned()),
        Just("[[1, 600], [2, 3]]".to_owned()),
        Just("\"x\"".to_owned()),
        Just("1e400".to_owned()),
        Just("{}".to_owned()),
        ".{0,12}",
    ];
    let line = (prop::collection::vec(value, 4), 0..4_u8).prop_map(|(v, kind)| match kind {
        0 => format!(
            r#"{{"timestamp": {}, "input_length": {}, "output_length": {}, "hash_ids": {}}}"#,
            v[0], v[1], v[2], v[3]
        ),
        1 => format!(
            r#"{{"spans": {}, "max_tokens": {}, "arrival_s": {}, "priority": {}}}"#,
            v[0], v[1], v[2], v[3]
        ),
        2 => format!(
            r#"{{"tokens": {}, "max_tokens": {}, "arrival_ns": {}, "name": {}}}"#,
            v[0], v[1], v[2], v[3]
        ),
        _ => format!("2023-11-16 18:17:03.97{},{},{}", v[0], v[1], v[2]),
    });
    prop::collection::vec(line, 1..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), format in formats(), skip: bool) {
        read_all(&bytes, format, skip);
    }

    #[test]
    fn on_lines_that_are_nearly_right(text in lines(), format in formats(), skip: bool, header: bool) {
        let header = if header { "TIMESTAMP,ContextTokens,GeneratedTokens\n" } else { "" };
        read_all(format!("{header}{text}").as_bytes(), format, skip);
    }

    #[test]
    fn on_good_lines_cut_anywhere(cut in 0_usize..170) {
        let line = r#"{"timestamp": 27, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]}"#;
        let text = format!("{line}\n{line}");
        let text = &text[..cut.min(text.len())];
        read_all(text.as_bytes(), None, false);
    }
}
