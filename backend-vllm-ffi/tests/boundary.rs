//! The boundary called from Rust: what Miri can follow, too.

use kvlens_vllm_ffi::abi::*;
use kvlens_vllm_ffi::control::*;
use kvlens_vllm_ffi::handle::KvlensCollector;
use kvlens_vllm_ffi::push::*;
use kvlens_vllm_ffi::status::*;
use proptest::prelude::*;
use std::path::Path;
use std::ptr;

fn open_with(out: &Path, more: &str) -> *mut KvlensCollector {
    let config = format!(r#"{{"out":{:?},"run_id":"test","print_problems":false{more}}}"#, out.to_str().unwrap());
    let mut collector = ptr::null_mut();
    let mut message = [0; 256];
    // SAFETY: all pointers are to live memory of the sizes given.
    let code = unsafe {
        kvlens_open(config.as_ptr().cast(), config.len() as u64, &raw mut collector, message.as_mut_ptr(), 256)
    };
    assert_eq!(code, KVLENS_OK);
    // SAFETY: just opened.
    assert_eq!(unsafe { kvlens_start(collector) }, KVLENS_OK);
    collector
}

fn read(call: impl Fn(*mut std::ffi::c_char, u64, *mut u64) -> KvlensResult) -> String {
    let mut buffer = vec![0_u8; 1 << 16];
    let mut needed = 0;
    assert_eq!(call(buffer.as_mut_ptr().cast(), buffer.len() as u64, &raw mut needed), KVLENS_OK);
    buffer.truncate(usize::try_from(needed).unwrap() - 1);
    String::from_utf8(buffer).unwrap()
}

fn snapshot(collector: *const KvlensCollector) -> serde_json::Value {
    // SAFETY: the collector is open, the buffer is live.
    let text = read(|buffer, capacity, needed| unsafe { kvlens_snapshot(collector, buffer, capacity, needed) });
    serde_json::from_str(&text).unwrap()
}

fn step(known: u64) -> KvlensStep {
    // SAFETY: zero is a valid value of every field.
    let zero: KvlensStep = unsafe { std::mem::zeroed() };
    KvlensStep { struct_size: u32::try_from(size_of::<KvlensStep>()).unwrap(), known, ..zero }
}

#[test]
fn a_caught_panic_poisons_one_handle_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let one = open_with(&dir.path().join("one"), r#","inject_fault":"push_panic""#);
    let other = open_with(&dir.path().join("other"), "");
    let step = step(KVLENS_STEP_GENERATION_TOKENS);
    // SAFETY: both are open, the struct is live.
    unsafe {
        assert_eq!(kvlens_push_step(one, &raw const step), KVLENS_PANIC);
        assert_eq!(kvlens_push_step(one, &raw const step), KVLENS_PANIC);
        assert_eq!(kvlens_push_step(other, &raw const step), KVLENS_OK);
    }
    let mut message = [0; 256];
    // SAFETY: open, and the buffer is live.
    assert_eq!(unsafe { kvlens_last_error(one, message.as_mut_ptr(), 256) }, KVLENS_OK);
    assert_ne!(message[0], 0);
    assert_eq!(snapshot(other)["metrics"]["steps"], 1);
    // SAFETY: used by no one else.
    unsafe {
        assert_eq!(kvlens_close(one), KVLENS_OK);
        kvlens_free(one);
        kvlens_free(other);
    }
}

#[test]
fn impossible_values_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let collector = open_with(dir.path(), "");
    let latencies = [0.5, f64::NAN, -1.0, f64::INFINITY];
    let mut step = step(KVLENS_STEP_KV_CACHE_USAGE);
    step.kv_cache_usage = f64::NAN;
    step.inter_token_latency_s = latencies.as_ptr();
    step.inter_token_latency_count = 4;
    // SAFETY: open, and the struct and its array are live.
    assert_eq!(unsafe { kvlens_push_step(collector, &raw const step) }, KVLENS_OK);
    let histogram = &snapshot(collector)["metrics"]["inter_token_latency_ns"];
    assert_eq!((histogram["count"].as_u64(), histogram["sum"].as_u64()), (Some(2), Some(500_000_000)));
    // SAFETY: used by no one else.
    unsafe { kvlens_close(collector) };
    // SAFETY: closed, not freed, and the buffer is live.
    let summary = read(|buffer, capacity, needed| unsafe { kvlens_summary(collector, 0, buffer, capacity, needed) });
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let anomalies = summary["sources"][0]["metrics"]["anomalies"].as_u64().unwrap();
    assert!(anomalies >= 3, "three latencies and a usage: {anomalies}");
    // SAFETY: used by no one else.
    unsafe { kvlens_free(collector) };
}

#[test]
fn what_was_never_said_is_missing_and_what_was_said_is_0() {
    let dir = tempfile::tempdir().unwrap();
    let collector = open_with(dir.path(), "");
    let mut old = step(KVLENS_STEP_GENERATION_TOKENS | KVLENS_STEP_PREFIX_CACHE_HITS);
    // The struct ends before the prefix cache's fields: known to be 0.
    old.struct_size = 120;
    old.generation_tokens = 3;
    // SAFETY: open, and the struct is live.
    assert_eq!(unsafe { kvlens_push_step(collector, &raw const old) }, KVLENS_OK);
    let metrics = &snapshot(collector)["metrics"];
    assert_eq!(metrics["generation_tokens"], 3);
    assert_eq!(metrics["prefix_cache_hits"], 0);
    assert!(metrics.get("spec_decode_drafts").is_none());
    // SAFETY: used by no one else.
    unsafe { kvlens_free(collector) };
}

#[test]
fn an_output_that_is_a_file_is_refused_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = format!(r#"{{"out":{:?},"run_id":"test"}}"#, file.join("runs").to_str().unwrap());
    let mut collector = ptr::null_mut();
    let mut message = [0_u8; 512];
    // SAFETY: all pointers are to live memory of the sizes given.
    let code = unsafe {
        kvlens_open(config.as_ptr().cast(), config.len() as u64, &raw mut collector, message.as_mut_ptr().cast(), 512)
    };
    assert_eq!(code, KVLENS_OUTPUT);
    let end = message.iter().position(|byte| *byte == 0).unwrap();
    let message = std::str::from_utf8(&message[..end]).unwrap();
    assert!(message.contains("runs") && message.contains(": "), "{message}");
}

#[test]
fn a_page_after_a_gap_says_what_the_gap_held() {
    let dir = tempfile::tempdir().unwrap();
    let collector = open_with(dir.path(), "");
    let page = |tokens: u64| format!("vllm:generation_tokens_total{{engine=\"0\"}} {tokens}\n");
    let push = |page: String, baseline| {
        // SAFETY: open, and the page is live.
        unsafe { kvlens_push_page(collector, page.as_ptr().cast(), page.len() as u64, KVLENS_ORIGIN_GET_METRICS, baseline) }
    };
    assert_eq!(push(page(100), 1), KVLENS_OK);
    let mut three = step(KVLENS_STEP_GENERATION_TOKENS);
    three.generation_tokens = 3;
    // SAFETY: open, and the struct is live.
    assert_eq!(unsafe { kvlens_push_step(collector, &raw const three) }, KVLENS_OK);
    assert_eq!(push(page(110), 0), KVLENS_OK);
    let now = snapshot(collector);
    assert_eq!(now["metrics"]["generation_tokens"], 10, "three were pushed, seven fell into the gap");
    assert_eq!(now["served_by"], "get_metrics");
    assert_eq!(push("nothing of vLLM's 1\n".into(), 0), KVLENS_BAD_VALUE);
    // SAFETY: used by no one else.
    unsafe { kvlens_free(collector) };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any bytes are survived, as long as the memory is there: sizes, counts and values are checked, pointers are NULL.
    #[test]
    fn any_step_is_survived(mut bytes in proptest::collection::vec(any::<u8>(), 288), size in 0_u32..400) {
        use std::sync::OnceLock;
        static OPEN: OnceLock<(tempfile::TempDir, usize)> = OnceLock::new();
        let (_, collector) = OPEN.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let collector = open_with(dir.path(), "");
            (dir, collector.expose_provenance())
        });
        let collector: *const KvlensCollector = ptr::with_exposed_provenance(*collector);
        bytes.resize(400, 0);
        bytes[0..4].copy_from_slice(&size.to_ne_bytes());
        bytes[24..32].fill(0);
        bytes[40..48].fill(0);
        // SAFETY: 400 bytes are readable, and the arrays are NULL.
        let code = unsafe { kvlens_push_step(collector, bytes.as_ptr().cast()) };
        prop_assert!([KVLENS_OK, KVLENS_BAD_SIZE, KVLENS_NULL_POINTER].contains(&code));
    }
}
