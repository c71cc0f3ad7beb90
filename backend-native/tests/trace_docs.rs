//! The examples of `docs/traces.md` are traces.

use kvlens_native::trace::{TraceFormat, TraceOptions, TraceReader};

const PAGE: &str = include_str!("../../docs/traces.md");

/// The text of the fenced block with a name.
fn example(name: &str) -> String {
    let fence = format!("```{name}\n");
    let (_, rest) = PAGE
        .split_once(&fence)
        .expect("the page has an example of each format");
    rest.split_once("```").expect("a closed fence").0.to_owned()
}

#[test]
fn every_format_has_an_example_that_is_recognised_and_read() {
    for format in [TraceFormat::Mooncake, TraceFormat::Azure, TraceFormat::Kvlens] {
        let text = example(&format.to_string());
        let mut reader = TraceReader::new(text.as_bytes(), "docs/traces.md", TraceOptions::new());
        let requests: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(reader.format(), Some(format));
        assert!(
            requests.len() >= 2 && requests.is_sorted_by_key(|r| r.arrival_ns),
            "{format}"
        );
        assert!(requests.iter().any(|r| r.arrival_ns > 0), "{format}");
    }
}

#[test]
fn the_mooncake_example_shares_what_the_page_says() {
    let text = example("mooncake");
    let requests: Vec<_> = TraceReader::new(text.as_bytes(), "docs/traces.md", TraceOptions::new())
        .map(Result::unwrap)
        .collect();
    let tokens = |index: usize| {
        let mut out = vec![0; requests[index].prompt.len()];
        requests[index].prompt.read(0, &mut out);
        out
    };
    let shared = tokens(0)
        .iter()
        .zip(&tokens(1))
        .take_while(|(a, b)| a == b)
        .count();
    assert_eq!(shared, 1_024);
    assert!(PAGE.contains("share 1,024 tokens"));
}

#[test]
fn the_error_on_the_page_is_the_error_given() {
    let line = r#"{"timestamp": 0, "input_length": 1100, "output_length": 1, "hash_ids": [1, 2]}"#;
    let text = format!("{}{line}\n", "\n".repeat(16));
    let mut reader = TraceReader::new(text.as_bytes(), "trace.jsonl", TraceOptions::new());
    let error = reader.next().unwrap().unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let page = PAGE.replace('\n', " ");
    assert!(page.contains(&format!("{error}: {source}")), "{error}: {source}");
}

#[test]
fn the_stated_limits_are_the_limits() {
    assert_eq!(TraceOptions::DEFAULT_LINE_BYTES, 64 << 20);
    assert_eq!(TraceOptions::DEFAULT_BLOCK_TOKENS.get(), 512);
    assert_eq!(kvlens_core::record::Text::CAPACITY, 47);
    let line = r#"{"spans": [[9223372036854775807, 1]], "max_tokens": 1}"#;
    assert!(
        TraceReader::new(line.as_bytes(), "", TraceOptions::new())
            .next()
            .unwrap()
            .is_ok()
    );
}
