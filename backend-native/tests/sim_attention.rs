//! Predicted times of paged decode attention against times measured on an H100.

use kvlens_native::device::sim::{DecodeShape, GpuSpec, attention_decode_time};

/// Sequences, longest context, microseconds: the `cuda` device's kernel in a CUDA graph (`docs/gpu.md`), 32 query and 8
/// key-value heads of 128 in 16 bits, blocks of 16, lengths uniform from half the longest to the longest.
const MEASURED: [(u64, u64, f64); 9] = [
    (1, 1_024, 6.5),
    (1, 8_192, 18.8),
    (1, 65_536, 97.1),
    (16, 1_024, 25.3),
    (16, 8_192, 146.4),
    (64, 1_024, 77.0),
    (64, 4_096, 283.8),
    (256, 1_024, 285.7),
    (256, 2_048, 551.2),
];

/// The bound that `docs/sim.md` states.
const WITHIN: f64 = 0.05;

#[expect(clippy::cast_precision_loss, reason = "microseconds")]
fn predicted_us(sequences: u64, longest: u64) -> f64 {
    // A single sequence had the full length; of many, lengths average three quarters of the longest.
    let context = if sequences == 1 {
        longest
    } else {
        sequences * longest * 3 / 4
    };
    let shape = DecodeShape::new(sequences, context);
    attention_decode_time(&shape, GpuSpec::named("h100").unwrap()).as_nanos() as f64 / 1e3
}

#[test]
fn h100_is_within_the_stated_bound() {
    for (sequences, longest, measured) in MEASURED {
        let predicted = predicted_us(sequences, longest);
        let error = predicted / measured - 1.0;
        assert!(
            error.abs() < WITHIN,
            "{sequences} x {longest}: {predicted} for {measured}"
        );
    }
}

#[test]
fn the_page_holds_the_predictions() {
    let rows = MEASURED.map(|(sequences, longest, measured)| {
        let predicted = predicted_us(sequences, longest);
        let error = (predicted / measured - 1.0) * 100.0;
        format!("| {sequences} × {longest} | {measured:.1} | {predicted:.1} | {error:+.1} % |")
    });
    let page = include_str!("../../docs/sim.md");
    let missing = rows.iter().any(|row| !page.contains(row.as_str()));
    assert!(!missing, "docs/sim.md should hold:\n{}", rows.join("\n"));
    assert!(page.contains("within 5 % of all nine"));
}

#[test]
fn more_to_read_takes_longer() {
    let gpu = GpuSpec::named("h100").unwrap();
    let mut last = attention_decode_time(&DecodeShape::new(8, 0), gpu);
    for context in (1..2_000).map(|n| n * 997) {
        let time = attention_decode_time(&DecodeShape::new(8, context), gpu);
        assert!(time > last, "context {context}");
        last = time;
    }
}

#[test]
fn memory_bandwidth_decides_large_batches() {
    let time =
        |name| attention_decode_time(&DecodeShape::new(256, 256 * 8192), GpuSpec::named(name).unwrap());
    let ratio = time("h100").as_secs_f64() / time("h200").as_secs_f64();
    assert!((ratio - 4.8 / 3.35).abs() < 0.01, "{ratio}");
}

#[test]
fn nothing_takes_no_time() {
    assert!(attention_decode_time(&DecodeShape::new(0, 0), GpuSpec::DEFAULT).is_zero());
}

#[test]
fn narrower_elements_and_fewer_heads_read_less() {
    let whole = DecodeShape::new(4, 1000);
    assert!(whole.with_element_bytes(1).bytes() < whole.bytes());
    assert!(whole.with_heads(32, 1, 128).bytes() < whole.bytes());
}
