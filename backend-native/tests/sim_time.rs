//! The time model: what a step's time is made of, and that odd sizes do no harm.

use kvlens_native::device::sim::{
    GPUS, GpuSpec, MODELS, ModelSpec, STEP_OVERHEAD_NS, SimSpec, SimSpecError, StepWork, TimeModel,
};

fn model(model: &str, gpu: &str, degree: u32) -> TimeModel {
    TimeModel::new(
        ModelSpec::named(model).unwrap(),
        GpuSpec::named(gpu).unwrap(),
        degree,
    )
}

fn decode(sequences: u64, context: u64) -> StepWork {
    let mut work = StepWork::default();
    for _ in 0..sequences {
        work.decode(context);
    }
    work.sampled = sequences;
    work
}

fn prefill(new: u64, context: u64) -> StepWork {
    let mut work = StepWork::default();
    work.prefill(new, context);
    work
}

#[test]
fn a_small_decode_takes_the_time_of_reading_the_weights() {
    let ns = model("llama-3-8b", "h100", 1).step_ns(&decode(1, 1024));
    // 15 GB at nine tenths of 3.35 TB/s are 5.0 ms.
    assert!((5_000_000..6_500_000).contains(&ns), "{ns}");
}

#[test]
fn a_large_prefill_takes_the_time_of_its_operations() {
    let ns = model("llama-3-8b", "h100", 1).step_ns(&prefill(8192, 8192));
    // 8192 tokens of 14 GFLOP at seven tenths of 989 TFLOPS are 165 ms; 33.5 million pairs of 524 kFLOP
    // at 0.55 of it are 32 ms more.
    assert!((195_000_000..205_000_000).contains(&ns), "{ns}");
}

#[test]
fn a_batch_shares_the_weights() {
    let time = model("llama-3-8b", "h100", 1);
    let one = time.step_ns(&decode(1, 512));
    let many = time.step_ns(&decode(64, 512));
    assert!(many < 2 * one, "64 sequences in {many} ns, one in {one}");
}

#[test]
fn chunks_of_a_prefill_add_up_to_a_bit_more_than_the_whole() {
    let time = model("llama-3-8b", "h100", 1);
    let whole = time.step_ns(&prefill(8192, 8192));
    let chunks: u64 = (1..=4).map(|n| time.step_ns(&prefill(2048, 2048 * n))).sum();
    assert!(
        chunks > whole && chunks < whole + whole / 10,
        "{chunks} and {whole}"
    );
}

#[test]
fn more_gpus_are_faster_and_not_in_proportion() {
    let work = decode(32, 4096);
    let one = model("llama-3-8b", "h100", 1).step_ns(&work);
    let four = model("llama-3-8b", "h100", 4).step_ns(&work);
    assert!(four < one && four > one / 4, "{one} and {four}");
}

#[test]
fn nothing_to_compute_takes_no_time_and_copies_take_some() {
    let time = model("llama-3-8b", "h100", 1);
    assert_eq!(time.step_ns(&StepWork::default()), 0);
    assert_eq!((time.host_copy_ns(0), time.device_copy_ns(0)), (0, 0));
    // 1 GB at 0.82 of 64 GB/s.
    let ns = time.host_copy_ns(1_000_000_000);
    assert!((19_000_000..19_200_000).contains(&ns), "{ns}");
    assert!(time.device_copy_ns(1_000_000_000) < ns / 20);
}

#[test]
fn every_model_runs_on_every_gpu() {
    for gpu in GPUS {
        for model in MODELS {
            for degree in [0, 1, 16] {
                let time = TimeModel::new(model, gpu, degree);
                for work in [
                    decode(1, 1),
                    decode(256, 100_000),
                    prefill(1, 1),
                    prefill(1 << 20, 1 << 20),
                ] {
                    let ns = time.step_ns(&work);
                    #[expect(clippy::cast_precision_loss, reason = "a bound")]
                    let ns = ns as f64;
                    assert!(
                        ns > STEP_OVERHEAD_NS && ns < 1e15,
                        "{} on {}: {ns}",
                        model.name,
                        gpu.name
                    );
                }
            }
        }
    }
}

#[test]
fn names_are_unique_and_figures_sensible() {
    for (index, gpu) in GPUS.iter().enumerate() {
        assert!(GPUS[..index].iter().all(|other| other.name != gpu.name));
        let operations_per_byte = gpu.flops / gpu.memory_bytes_per_s;
        assert!(
            (50.0..1_000.0).contains(&operations_per_byte),
            "{}: {operations_per_byte}",
            gpu.name
        );
        assert!(gpu.processors > 0 && gpu.memory_bytes >= 16_000_000_000);
    }
    assert!(MODELS.iter().all(|model| model.heads % model.kv_heads == 0));
}

#[test]
fn what_cannot_be_simulated_is_told_with_the_choices() {
    let error = |text: &str| text.parse::<SimSpec>().unwrap_err();
    assert!(matches!(error("cpu"), SimSpecError::NotSim { .. }));
    for text in ["sim:", "sim:h1000", "sim:xh100", "sim:h100x4"] {
        assert!(
            error(text)
                .to_string()
                .contains("choose one of h100, h100-pcie, h200, b200,"),
            "{text}"
        );
    }
    assert!(
        error("sim:h100:gpt-9")
            .to_string()
            .contains("choose one of llama-3-8b, ")
    );
    for text in ["sim:0xh100", "sim:17xh100", "sim:99999999999xh100"] {
        assert!(error(text).to_string().contains("give 1 to 16"), "{text}");
    }
}

#[test]
fn names_of_devices_read_back() {
    for text in ["sim:h100:llama-3-8b", "sim:8xmi300x:qwen2.5-72b"] {
        assert_eq!(text.parse::<SimSpec>().unwrap().to_string(), text);
    }
    assert_eq!("sim:H100".parse::<SimSpec>().unwrap(), SimSpec::default());
}

#[test]
fn memory_holds_weights_and_blocks() {
    let blocks = |text: &str| text.parse::<SimSpec>().unwrap().kv_blocks(16);
    assert_eq!(blocks("sim:h100"), 26_674);
    assert_eq!(
        blocks("sim:h100:llama-3-70b"),
        0,
        "140 GB of weights do not fit 80 GB"
    );
    assert!(blocks("sim:4xh100:llama-3-70b") > 20_000);
}
