//! The published traces: totals of the whole files.

use std::path::PathBuf;

use kvlens_native::trace::{TraceFormat, TraceOptions, TraceReader};

/// The folder of the traces; `None`, said on stderr, where it is absent.
fn trace(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/traces")
        .join(name);
    if !path.exists() {
        eprintln!(
            "SKIPPED: {} is absent; put the published traces there to run this test",
            path.display()
        );
        return None;
    }
    Some(path)
}

struct Totals {
    requests: u64,
    prompt: u64,
    output: u64,
    last_arrival_ns: u64,
}

fn totals(path: PathBuf, format: TraceFormat) -> Totals {
    let mut reader = TraceReader::open(path, TraceOptions::new()).unwrap();
    let mut totals = Totals {
        requests: 0,
        prompt: 0,
        output: 0,
        last_arrival_ns: 0,
    };
    for request in &mut reader {
        let request = request.unwrap();
        assert_eq!(request.id, totals.requests);
        totals.requests += 1;
        totals.prompt += u64::try_from(request.prompt.len()).unwrap();
        totals.output += u64::from(request.max_tokens);
        totals.last_arrival_ns = request.arrival_ns;
    }
    assert_eq!(reader.format(), Some(format));
    assert_eq!((reader.skipped(), reader.out_of_order()), (0, 0));
    totals
}

#[test]
fn mooncake() {
    let Some(path) = trace("mooncake_conversation.jsonl") else {
        return;
    };
    let totals = totals(path, TraceFormat::Mooncake);
    assert_eq!(totals.requests, 12_031);
    assert_eq!(totals.prompt, 144_793_823);
    assert_eq!(totals.output, 4_122_048);
    assert_eq!(totals.last_arrival_ns, 3_536_999_000_000);
}

#[test]
fn azure() {
    let Some(path) = trace("azure_code_2023.csv") else {
        return;
    };
    let totals = totals(path, TraceFormat::Azure);
    assert_eq!(totals.requests, 8_819);
    assert_eq!(totals.prompt, 18_059_974);
    assert_eq!(totals.output, 245_896);
    // From 18:17:03.9799600 to 19:14:19.9280160.
    assert_eq!(totals.last_arrival_ns, 3_435_948_056_000);
}
