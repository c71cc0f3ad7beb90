//! Every figure of `docs/sim.md` that the code has is the code's.

use kvlens_native::device::sim::{
    ALL_REDUCE_LATENCY_NS, ATTENTION_LATENCY_NS, COPY_LATENCY_NS, GEMM_EFFICIENCY, GPUS, GpuSpec,
    HOST_LINK_EFFICIENCY, KERNELS_PER_LAYER, LAUNCH_NS, MODELS, ModelSpec, PEER_LINK_EFFICIENCY,
    PREFILL_ATTENTION_EFFICIENCY, READ_EFFICIENCY, STEP_OVERHEAD_NS, TAIL_BYTES_PER_PROCESSOR,
    TAIL_HALF_BYTES_PER_PROCESSOR,
};

const PAGE: &str = include_str!("../../docs/sim.md");

fn gpu_row(gpu: &GpuSpec) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |",
        gpu.name,
        round(gpu.flops / 1e12),
        gpu.memory_bytes / 1_000_000_000,
        round(gpu.memory_bytes_per_s / 1e12),
        gpu.processors,
        round(gpu.host_bytes_per_s / 1e9),
        round(gpu.peer_bytes_per_s / 1e9),
    )
}

/// To three decimals, so that a factor of ten leaves no trace.
fn round(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "for print")]
fn model_row(model: &ModelSpec) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {:.3} | {:.1} |",
        model.name,
        model.layers,
        model.hidden,
        model.heads,
        model.kv_heads,
        model.head_size,
        model.ffn,
        model.vocab,
        model.weights() as f64 / 1e9,
        model.kv_bytes_per_token() as f64 / 1e3,
    )
}

/// All rows must be on the page; what it should hold is printed, so that it can be pasted.
fn assert_rows(rows: &[String]) {
    let missing: Vec<_> = rows.iter().filter(|row| !PAGE.contains(row.as_str())).collect();
    assert!(
        missing.is_empty(),
        "docs/sim.md should hold:\n{}",
        rows.join("\n")
    );
}

#[test]
fn gpus() {
    assert_rows(&GPUS.iter().map(gpu_row).collect::<Vec<_>>());
}

#[test]
fn models() {
    assert_rows(&MODELS.iter().map(model_row).collect::<Vec<_>>());
}

#[test]
fn constants() {
    let constants = [
        ("READ_EFFICIENCY", READ_EFFICIENCY),
        ("ATTENTION_LATENCY_NS", ATTENTION_LATENCY_NS),
        ("TAIL_BYTES_PER_PROCESSOR", TAIL_BYTES_PER_PROCESSOR),
        ("TAIL_HALF_BYTES_PER_PROCESSOR", TAIL_HALF_BYTES_PER_PROCESSOR),
        ("HOST_LINK_EFFICIENCY", HOST_LINK_EFFICIENCY),
        ("GEMM_EFFICIENCY", GEMM_EFFICIENCY),
        ("PREFILL_ATTENTION_EFFICIENCY", PREFILL_ATTENTION_EFFICIENCY),
        ("PEER_LINK_EFFICIENCY", PEER_LINK_EFFICIENCY),
        ("ALL_REDUCE_LATENCY_NS", ALL_REDUCE_LATENCY_NS),
        ("KERNELS_PER_LAYER", f64::from(KERNELS_PER_LAYER)),
        ("LAUNCH_NS", LAUNCH_NS),
        ("COPY_LATENCY_NS", COPY_LATENCY_NS),
        ("STEP_OVERHEAD_NS", STEP_OVERHEAD_NS),
    ];
    assert_rows(&constants.map(|(name, value)| format!("| `{name}` | {value} |")));
}
