//! Good lines, odd lines and bad lines, in every format.

use kvlens_native::trace::{LineFault, TraceError, TraceFormat, TraceOptions, TraceReader};
use kvlens_native::{Prompt, Request, Span};

fn read(text: &[u8], options: TraceOptions) -> Vec<Result<Request, TraceError>> {
    TraceReader::new(text, "trace", options).collect()
}

fn good(text: &str) -> Vec<Request> {
    read(text.as_bytes(), TraceOptions::new())
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

/// The one error of a text, with its causes.
fn bad(text: &str, options: TraceOptions) -> String {
    let mut results = read(text.as_bytes(), options);
    let error = results.pop().expect("an error").expect_err("a bad line");
    assert!(results.iter().all(Result::is_ok), "one error only");
    chain(&error)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", chain(source)),
    }
}

const MOONCAKE: &str =
    r#"{"timestamp": 1500, "input_length": 1100, "output_length": 5, "hash_ids": [4, 5, 6]}"#;
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n";

fn spans(request: &Request) -> Vec<(u64, u32)> {
    match &request.prompt {
        Prompt::Spans(spans) => spans.iter().map(|Span { id, len }| (*id, *len)).collect(),
        Prompt::Tokens(_) => panic!("token ids where spans were expected"),
    }
}

#[test]
fn mooncake_blocks_are_whole_but_the_last() {
    let requests = good(MOONCAKE);
    assert_eq!(spans(&requests[0]), [(4, 512), (5, 512), (6, 76)]);
    assert_eq!(
        (requests[0].arrival_ns, requests[0].max_tokens),
        (1_500_000_000, 5)
    );
}

#[test]
fn mooncake_blocks_of_another_size() {
    let line =
        r#"{"timestamp": 0.5, "input_length": 32.0, "output_length": 5, "hash_ids": [4, 5], "type": "x"}"#;
    let options = TraceOptions::new().with_block_tokens(16.try_into().unwrap());
    let requests: Vec<_> = read(line.as_bytes(), options)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(spans(&requests[0]), [(4, 16), (5, 16)]);
    assert_eq!(requests[0].arrival_ns, 500_000);
}

#[test]
fn azure_arrivals_count_from_the_first_row() {
    let rows = "2023-11-16 18:17:04.0319601,3,8\n2023-11-17T00:00:00Z,1,1\n2023-11-17 01:00:00+01:00,1,1\n";
    let requests = good(&format!("{AZURE}{rows}"));
    let arrivals: Vec<_> = requests.iter().map(|r| r.arrival_ns).collect();
    assert_eq!(arrivals, [0, 52_000_100, 20_576_020_040_000, 20_576_020_040_000]);
}

#[test]
fn azure_prompts_share_nothing() {
    let requests = good(&format!("{AZURE}2023-11-16 18:17:03.9799600,4808,10\n"));
    let mut tokens = [[0; 64]; 2];
    for (request, out) in requests.iter().zip(&mut tokens) {
        assert_eq!(request.prompt.len(), 4808);
        request.prompt.read(0, out);
    }
    assert_ne!(tokens[0], tokens[1]);
}

#[test]
fn azure_columns_are_found_by_name() {
    let text = "model,generatedtokens,\"TIMESTAMP\",ContextTokens\nm,10,2023-11-16 18:17:03,4808\n";
    let options = TraceOptions::new();
    let requests: Vec<_> = read(text.as_bytes(), options)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!((requests[0].prompt.len(), requests[0].max_tokens), (4808, 10));
}

#[test]
fn azure_without_a_header_is_read_when_forced() {
    let text = "2023-11-16 18:17:03,4808,10\n";
    let options = TraceOptions::new().with_format(TraceFormat::Azure);
    assert_eq!(read(text.as_bytes(), options)[0].as_ref().unwrap().max_tokens, 10);
    assert!(
        bad(text, TraceOptions::new())
            .contains("begins no known trace format; known are mooncake, azure, kvlens")
    );
}

#[test]
fn our_own_lines() {
    let text = r#"
        {"tokens": [1, 2, 3], "max_tokens": 4}
        {"spans": [[7, 512], [8, 100]], "max_tokens": 5, "arrival_s": 0.25, "priority": 2, "name": "chat-1"}
        {"length": 9, "max_tokens": 6, "arrival_ns": 300000000}
        {"length": 9, "max_tokens": 6, "arrival_s": 1}
    "#;
    let requests = good(text);
    let arrivals: Vec<_> = requests.iter().map(|r| r.arrival_ns).collect();
    assert_eq!(arrivals, [0, 250_000_000, 300_000_000, 1_000_000_000]);
    let mut tokens = [0; 3];
    requests[0].prompt.read(0, &mut tokens);
    assert_eq!(tokens, [1, 2, 3]);
    assert_eq!(spans(&requests[1]), [(7, 512), (8, 100)]);
    assert_eq!(
        (requests[1].priority, requests[1].name.unwrap().as_str()),
        (2, "chat-1")
    );
    assert_eq!(requests[2].prompt.len(), 9);
    assert_ne!(spans(&requests[2]), spans(&requests[3]), "lengths share nothing");
}

#[test]
fn marks_line_ends_and_blank_lines_do_no_harm() {
    let text = format!("\u{feff}{MOONCAKE}\r\n\r\n\n{MOONCAKE}");
    assert_eq!(good(&text).len(), 2);
    let text = format!("\u{feff}{}", AZURE.replace('\n', "\r\n"));
    assert_eq!(good(&text).len(), 1);
}

#[test]
fn a_request_before_its_predecessor_arrives_with_it() {
    let text = format!("{MOONCAKE}\n{}", MOONCAKE.replace("1500", "700"));
    let mut reader = TraceReader::new(text.as_bytes(), "trace", TraceOptions::new());
    let arrivals: Vec<_> = reader.by_ref().map(|r| r.unwrap().arrival_ns).collect();
    assert_eq!(arrivals, [1_500_000_000, 1_500_000_000]);
    assert_eq!(reader.out_of_order(), 1);
}

#[test]
fn bad_mooncake_lines_say_what_is_wrong() {
    let cases = [
        (
            MOONCAKE.replace("1100", "-5"),
            "`input_length` is -5: it must be a whole number of tokens from 1",
        ),
        (MOONCAKE.replace("1100", "0"), "`input_length` is 0"),
        (MOONCAKE.replace("1100", "1100.5"), "`input_length` is 1100.5"),
        (
            MOONCAKE.replace("1100", "99999999999999999999999"),
            "`input_length` is 99999999999999999999999",
        ),
        (MOONCAKE.replace("1100", "\"1100\""), "`input_length` is \"1100\""),
        (MOONCAKE.replace("1100", "null"), "`input_length` is missing"),
        (
            MOONCAKE.replace("1100", "NaN"),
            "not the JSON object that the format asks for: expected value at column",
        ),
        (
            MOONCAKE.replace("1500", "-0.1"),
            "`timestamp` is -0.1: it must be a time of 0 or more",
        ),
        (MOONCAKE.replace(": 5", ": 0"), "`output_length` is 0"),
        (
            MOONCAKE.replace("[4, 5, 6]", "[4, -5, 6]"),
            "`hash_ids` is [4, -5, 6]: it must be a list of whole",
        ),
        (
            MOONCAKE.replace("[4, 5, 6]", "[4, 5]"),
            "`input_length` is 1100 tokens, which are 3 blocks of 512, but `hash_ids` names 2",
        ),
        (MOONCAKE.replace("hash_ids", "hashes"), "`hash_ids` is missing"),
        (
            "[1, 2]".to_owned(),
            "not the JSON object that the format asks for: the line does not begin with `{`",
        ),
    ];
    for (line, reason) in cases {
        let options = TraceOptions::new().with_format(TraceFormat::Mooncake);
        let error = bad(&format!("{MOONCAKE}\n\n{line}\n"), options);
        assert!(error.starts_with("trace, line 3: "), "{error}");
        assert!(error.contains(reason), "{reason}\n{error}");
    }
}

#[test]
fn bad_azure_rows_say_what_is_wrong() {
    let cases = [
        (
            "2023-11-16 18:17:04,3",
            "the row has 2 fields, but `GeneratedTokens` is field 3",
        ),
        ("2023-11-16 18:17:04,0,3", "`ContextTokens` is 0"),
        ("2023-11-16 18:17:04,3,x", "`GeneratedTokens` is x"),
        ("2023-11-16 18:17:04,,3", "`ContextTokens` is empty: it must be"),
        (
            "2023-11-31 18:17:04,3,3",
            "`TIMESTAMP` is `2023-11-31 18:17:04`: it must be a date and time",
        ),
        ("\"2023-11-16 18:17:04,3,3", "the row has 1 fields"),
    ];
    for (row, reason) in cases {
        let error = bad(&format!("{AZURE}{row}\n"), TraceOptions::new());
        assert!(
            error.starts_with("trace, line 3: ") && error.contains(reason),
            "{reason}\n{error}"
        );
    }
    let error = bad("TIMESTAMP,ContextTokens\n", TraceOptions::new());
    assert!(
        error.contains("the header lacks the column `GeneratedTokens`"),
        "{error}"
    );
}

#[test]
fn bad_lines_of_ours_say_what_is_wrong() {
    let cases = [
        (r#"{"length": 3}"#, "`max_tokens` is missing"),
        (
            r#"{"max_tokens": 3}"#,
            "0 of `tokens`, `spans`, `length` are given: give exactly one",
        ),
        (
            r#"{"length": 3, "tokens": [1], "max_tokens": 3}"#,
            "2 of `tokens`, `spans`, `length`",
        ),
        (r#"{"length": 3, "max_token": 3}"#, "unknown field `max_token`"),
        (r#"{"length": 0, "max_tokens": 3}"#, "`length` is 0"),
        (r#"{"tokens": [], "max_tokens": 3}"#, "`tokens` is []"),
        (r#"{"tokens": [1.5], "max_tokens": 3}"#, "`tokens` is [1.5]"),
        (r#"{"spans": [[1, 0]], "max_tokens": 3}"#, "`spans` is [[1, 0]]"),
        (
            r#"{"spans": [[1, 4294967295], [2, 1]], "max_tokens": 3}"#,
            "add up to 4294967296 tokens",
        ),
        (
            r#"{"spans": [[9223372036854775808, 1]], "max_tokens": 3}"#,
            "ids go up to 9223372036854775807",
        ),
        (
            r#"{"length": 3, "max_tokens": 3, "arrival_s": 1, "arrival_ns": 1}"#,
            "`arrival_s`, `arrival_ns`",
        ),
        (
            r#"{"length": 3, "max_tokens": 3, "arrival_s": "soon"}"#,
            "`arrival_s` is \"soon\"",
        ),
        (
            r#"{"length": 3, "max_tokens": 3, "priority": -1}"#,
            "`priority` is -1",
        ),
        (
            r#"{"length": 3, "max_tokens": 3, "name": 7}"#,
            "invalid type: integer `7`, expected a string",
        ),
    ];
    for (line, reason) in cases {
        let error = bad(&format!("{line}\n"), TraceOptions::new());
        assert!(
            error.starts_with("trace, line 1: ") && error.contains(reason),
            "{reason}\n{error}"
        );
    }
}

#[test]
fn a_file_that_ends_in_a_line_says_so() {
    let cut = &MOONCAKE[..60];
    let error = bad(&format!("{MOONCAKE}\n{cut}"), TraceOptions::new());
    assert!(
        error.contains("trace, line 2: the file ends in the middle of this line"),
        "{error}"
    );
    let error = bad(&AZURE[..AZURE.len() - 4], TraceOptions::new());
    assert!(error.contains("line 2: the file ends in the middle"), "{error}");
    // A last line that is whole needs no line end.
    assert_eq!(good(MOONCAKE).len(), 1);
}

#[test]
fn an_empty_file_is_an_error() {
    for text in ["", "\n\n", "\u{feff}"] {
        let error = bad(text, TraceOptions::new());
        assert!(error.contains("holds no request"), "{error}");
    }
    let header = AZURE.lines().next().unwrap();
    assert!(bad(header, TraceOptions::new()).contains("holds no request"));
}

#[test]
fn bad_lines_are_skipped_and_counted_when_asked() {
    let text = format!(
        "garbage\n{MOONCAKE}\n{{\"input_length\": 1\n{MOONCAKE}\n{}",
        &MOONCAKE[..40]
    );
    let mut reader = TraceReader::new(
        text.as_bytes(),
        "trace",
        TraceOptions::new().with_skip_bad_lines(true),
    );
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 2);
    assert_eq!(reader.skipped(), 3);
    let first = chain(reader.first_skipped().unwrap());
    assert!(
        first.starts_with("trace, line 1: `garbage` begins no known"),
        "{first}"
    );
}

#[test]
fn a_file_of_garbage_is_an_error_even_when_skipping() {
    let text = "garbage\n".repeat(100);
    let error = bad(&text, TraceOptions::new().with_skip_bad_lines(true));
    assert!(error.contains("begins no known trace format"), "{error}");
    let error = bad("\u{0}\u{1}\n", TraceOptions::new().with_skip_bad_lines(true));
    assert!(error.contains("begins no known trace format"), "{error}");
}

#[test]
fn a_bad_line_does_not_end_the_reading() {
    let text = format!("{MOONCAKE}\n{{}}\n{MOONCAKE}\n");
    let results = read(text.as_bytes(), TraceOptions::new());
    assert_eq!(
        results.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(
        results[2].as_ref().unwrap().id,
        1,
        "numbers count requests, not lines"
    );
}

#[test]
fn lines_without_end_are_bounded() {
    let text = format!("{MOONCAKE}\n{}\n{MOONCAKE}\n", "x".repeat(10_000));
    let results = read(text.as_bytes(), TraceOptions::new().with_line_bytes(1_000));
    assert!(matches!(
        &results[1],
        Err(TraceError::Line {
            line: 2,
            source: LineFault::TooLong { limit: 1_000 },
            ..
        })
    ));
    assert!(results[2].is_ok());
}

#[test]
fn a_failed_read_ends_the_reading() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    let input = std::io::BufReader::new(std::io::Read::chain(MOONCAKE.as_bytes(), Broken));
    let results: Vec<_> =
        TraceReader::new(input, "trace", TraceOptions::new().with_skip_bad_lines(true)).collect();
    assert_eq!(results.len(), 1);
    let error = chain(results[0].as_ref().unwrap_err());
    assert!(error.contains("after line 0: disk on fire"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = TraceReader::open("no/such/trace.jsonl", TraceOptions::new()).unwrap_err();
    assert!(matches!(&error, TraceError::Open { file, .. } if file == "no/such/trace.jsonl"));
}
