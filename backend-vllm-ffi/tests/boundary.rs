//! The boundary called from Rust: what Miri can follow, too.

use kvlens_vllm_ffi::abi::*;
use kvlens_vllm_ffi::control::*;
use kvlens_vllm_ffi::handle::KvlensCollector;
use kvlens_vllm_ffi::push::*;
use kvlens_vllm_ffi::status::*;
use proptest::prelude::*;
use std::ffi::c_void;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// An open collector. It is freed when dropped, and its functions take live references only, so they are safe.
struct Open(*mut KvlensCollector);

impl Open {
    fn new(out: &Path, more: &str) -> Self {
        let (code, collector, message) = open(out, more);
        assert_eq!(code, KVLENS_OK, "{message}");
        let collector = Self(collector);
        // SAFETY: open.
        let code = unsafe { kvlens_start(collector.0) };
        assert_eq!(code, KVLENS_OK);
        collector
    }

    fn push(&self, step: &KvlensStep) -> KvlensResult {
        // SAFETY: open, and the struct and the arrays that the tests put into it are live.
        unsafe { kvlens_push_step(self.0, step) }
    }

    fn page(&self, page: &str, baseline: u32) -> KvlensResult {
        let (bytes, length) = (page.as_ptr().cast(), page.len() as u64);
        // SAFETY: open, and the page is live.
        unsafe { kvlens_push_page(self.0, bytes, length, KVLENS_ORIGIN_GET_METRICS, baseline) }
    }

    fn close(&self) -> KvlensResult {
        // SAFETY: open, or closed but not freed.
        unsafe { kvlens_close(self.0) }
    }

    fn last_error(&self) -> String {
        let mut message = [0_u8; 256];
        // SAFETY: open, and the buffer is live.
        let code = unsafe { kvlens_last_error(self.0, message.as_mut_ptr().cast(), 256) };
        assert_eq!(code, KVLENS_OK);
        text(&message)
    }

    fn snapshot(&self) -> serde_json::Value {
        // SAFETY: open, and the buffer is live.
        read(|buffer, capacity, needed| unsafe { kvlens_snapshot(self.0, buffer, capacity, needed) })
    }

    fn summary(&self) -> serde_json::Value {
        // SAFETY: not freed, and the buffer is live.
        read(|buffer, capacity, needed| unsafe { kvlens_summary(self.0, 0, buffer, capacity, needed) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: used by no one else, and freed here only.
        unsafe { kvlens_free(self.0) };
    }
}

fn open(out: &Path, more: &str) -> (KvlensResult, *mut KvlensCollector, String) {
    let out = out.to_str().unwrap();
    // Miri does not know the system call that locks a table's file, and takes long to make room for thousands of rows.
    let formats = if cfg!(miri) {
        r#","formats":[],"queues":{"steps":16,"requests":16,"blocks":16}"#
    } else {
        ""
    };
    // A sample takes it seconds: one at the start and one at the end will do.
    let interval = if cfg!(miri) && !more.contains("interval_ms") {
        r#","interval_ms":600000"#
    } else {
        ""
    };
    let config =
        format!(r#"{{"out":{out:?},"run_id":"test","print_problems":false{formats}{interval}{more}}}"#);
    let (bytes, length) = (config.as_ptr().cast(), config.len() as u64);
    let mut collector = ptr::null_mut();
    let mut message = [0_u8; 512];
    // SAFETY: all pointers are to live memory of the sizes given.
    let code = unsafe {
        kvlens_open(
            bytes,
            length,
            &raw mut collector,
            message.as_mut_ptr().cast(),
            512,
        )
    };
    (code, collector, text(&message))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

fn read(call: impl Fn(*mut std::ffi::c_char, u64, *mut u64) -> KvlensResult) -> serde_json::Value {
    let mut buffer = vec![0_u8; 1 << 16];
    let mut needed = 0;
    let code = call(buffer.as_mut_ptr().cast(), buffer.len() as u64, &raw mut needed);
    assert_eq!(code, KVLENS_OK);
    serde_json::from_str(&text(&buffer)).unwrap()
}

fn step(known: u64) -> KvlensStep {
    // SAFETY: zero is a valid value of every field.
    let zero: KvlensStep = unsafe { std::mem::zeroed() };
    let struct_size = u32::try_from(size_of::<KvlensStep>()).unwrap();
    KvlensStep {
        struct_size,
        known,
        ..zero
    }
}

#[test]
fn a_caught_panic_poisons_one_handle_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let one = Open::new(&dir.path().join("one"), r#","inject_fault":"push_panic""#);
    let other = Open::new(&dir.path().join("other"), "");
    let step = step(KVLENS_STEP_GENERATION_TOKENS);
    assert_eq!(one.push(&step), KVLENS_PANIC);
    assert_eq!(one.push(&step), KVLENS_PANIC);
    assert_eq!(other.push(&step), KVLENS_OK);
    assert!(!one.last_error().is_empty());
    assert_eq!(other.snapshot()["metrics"]["steps"], 1);
    assert_eq!(one.close(), KVLENS_OK);
}

#[test]
fn impossible_values_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Open::new(dir.path(), "");
    let latencies = [0.5, f64::NAN, -1.0, f64::INFINITY];
    let mut step = step(KVLENS_STEP_KV_CACHE_USAGE);
    step.kv_cache_usage = f64::NAN;
    step.inter_token_latency_s = latencies.as_ptr();
    step.inter_token_latency_count = 4;
    assert_eq!(collector.push(&step), KVLENS_OK);
    let histogram = &collector.snapshot()["metrics"]["inter_token_latency_ns"];
    let found = (histogram["count"].as_u64(), histogram["sum"].as_u64());
    assert_eq!(found, (Some(2), Some(500_000_000)));
    assert_eq!(collector.close(), KVLENS_OK);
    assert_eq!(collector.close(), KVLENS_OK, "a second time");
    let anomalies = &collector.summary()["sources"][0]["metrics"]["anomalies"];
    assert!(
        anomalies.as_u64() >= Some(3),
        "three latencies and a usage: {anomalies}"
    );
}

#[test]
fn what_was_never_said_is_missing_and_what_was_said_is_0() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Open::new(dir.path(), "");
    let mut old = step(KVLENS_STEP_GENERATION_TOKENS | KVLENS_STEP_PREFIX_CACHE_HITS);
    // The struct ends before the prefix cache's fields: known to be 0.
    old.struct_size = 120;
    old.generation_tokens = 3;
    assert_eq!(collector.push(&old), KVLENS_OK);
    let metrics = &collector.snapshot()["metrics"];
    assert_eq!(metrics["generation_tokens"], 3);
    assert_eq!(metrics["prefix_cache_hits"], 0);
    assert!(metrics.get("spec_decode_drafts").is_none());
}

#[test]
fn no_origin_is_named_before_there_are_figures() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Open::new(dir.path(), "");
    assert!(collector.snapshot()["served_by"].is_null());
    let mut step = step(KVLENS_STEP_GENERATION_TOKENS);
    step.origin = KVLENS_ORIGIN_STAT_LOGGER;
    assert_eq!(collector.push(&step), KVLENS_OK);
    assert_eq!(collector.snapshot()["served_by"], "stat_logger");
}

#[test]
fn an_output_that_is_a_file_is_refused_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, collector, message) = open(&file.join("runs"), "");
    assert_eq!(code, KVLENS_OUTPUT);
    assert!(collector.is_null());
    assert!(message.contains("runs") && message.contains(": "), "{message}");
}

#[test]
fn a_page_after_a_gap_says_what_the_gap_held() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Open::new(dir.path(), "");
    let page = |tokens: u64| format!("vllm:generation_tokens_total{{engine=\"0\"}} {tokens}\n");
    assert_eq!(collector.page(&page(100), 1), KVLENS_OK);
    let mut three = step(KVLENS_STEP_GENERATION_TOKENS);
    three.generation_tokens = 3;
    assert_eq!(collector.push(&three), KVLENS_OK);
    assert_eq!(collector.page(&page(110), 0), KVLENS_OK);
    let now = collector.snapshot();
    let tokens = &now["metrics"]["generation_tokens"];
    assert_eq!(*tokens, 10, "three were pushed, seven fell into the gap");
    assert_eq!(now["served_by"], "get_metrics");
    assert_eq!(collector.page("nothing of vLLM's 1\n", 0), KVLENS_BAD_VALUE);
}

#[test]
fn a_pull_may_take_itself_away() {
    unsafe extern "C" fn once(calls: *mut c_void, collector: *const KvlensCollector) {
        // SAFETY: the test's counter, which outlives the collector.
        let calls = unsafe { &*calls.cast::<AtomicU32>() };
        calls.fetch_add(1, Ordering::SeqCst);
        // SAFETY: open while it is called.
        let code = unsafe { kvlens_set_pull(collector, None, ptr::null_mut()) };
        assert_eq!(code, KVLENS_OK);
    }

    let dir = tempfile::tempdir().unwrap();
    let calls = AtomicU32::new(0);
    let collector = Open::new(dir.path(), r#","interval_ms":1"#);
    let userdata = (&raw const calls).cast_mut().cast();
    // SAFETY: open; the counter outlives it.
    let code = unsafe { kvlens_set_pull(collector.0, Some(once), userdata) };
    assert_eq!(code, KVLENS_OK);
    while calls.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // SAFETY: open.
    let code = unsafe { kvlens_flush(collector.0, 60_000) };
    assert_eq!(code, KVLENS_OK, "the collector goes on");
    assert_eq!(collector.close(), KVLENS_OK);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// Any bytes are survived, as long as the memory is there: sizes, counts and values are checked, pointers are NULL.
#[test]
fn any_step_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Open::new(dir.path(), "");
    let bytes = proptest::collection::vec(any::<u8>(), 400);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(if cfg!(miri) {
        20
    } else {
        2_000
    }));
    let survived = |(mut bytes, size): (Vec<u8>, u32)| {
        bytes[0..4].copy_from_slice(&size.to_ne_bytes());
        bytes[24..32].fill(0);
        bytes[40..48].fill(0);
        // SAFETY: open, 400 bytes are readable, and the arrays are NULL.
        let code = unsafe { kvlens_push_step(collector.0, bytes.as_ptr().cast()) };
        prop_assert!([KVLENS_OK, KVLENS_BAD_SIZE, KVLENS_NULL_POINTER].contains(&code));
        Ok(())
    };
    runner.run(&(bytes, 0_u32..400), survived).unwrap();
}
