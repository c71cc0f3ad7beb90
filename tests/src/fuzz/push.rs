//! Sequences of calls of the C functions.

use super::calls::{Array, Buffer, Call, Name, Pull, Size, Step};
use super::memory::{Pointed, RowsMemory, StepMemory};
use arbitrary::{Arbitrary, Unstructured};
use kvlens_vllm_ffi::control::{
    kvlens_close, kvlens_declare_metric, kvlens_describe, kvlens_flush, kvlens_free, kvlens_last_error,
    kvlens_open, kvlens_push_page, kvlens_set_pull, kvlens_snapshot, kvlens_start, kvlens_summary,
};
use kvlens_vllm_ffi::handle::KvlensCollector;
use kvlens_vllm_ffi::push::{
    kvlens_add_counter, kvlens_push_anomalies, kvlens_push_blocks, kvlens_push_requests, kvlens_push_step,
    kvlens_record_histogram, kvlens_set_gauge,
};
use kvlens_vllm_ffi::status::{
    KVLENS_BUFFER_TOO_SMALL, KVLENS_NULL_POINTER, KVLENS_OK, KVLENS_PANIC, KVLENS_SYSTEM, KvlensResult,
};
use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::path::Path;
use std::ptr;
use std::time::Duration;
use tempfile::TempDir;

/// The longest that a flush or a summary may take: only a hang takes longer.
const PATIENCE_MS: u64 = 60_000;
/// Calls into one collector before a fuzzer opens another.
const CALLS_OF_ONE: u32 = 20_000;

/// An open collector; freed when dropped.
struct Open(*mut KvlensCollector);

impl Open {
    fn new(config: &str) -> Result<Self, KvlensResult> {
        let mut collector = ptr::null_mut();
        let mut message = [1_u8; 64];
        let (bytes, length) = (config.as_ptr().cast(), config.len() as u64);
        // SAFETY: all pointers are to live memory of the sizes given.
        let code = unsafe { kvlens_open(bytes, length, &raw mut collector, message.as_mut_ptr().cast(), 64) };
        check(code);
        assert_eq!(code == KVLENS_OK, !collector.is_null());
        if code == KVLENS_OK {
            return Ok(Self(collector));
        }
        assert!(message.contains(&0), "the message is not ended");
        Err(code)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: open, used by no one else, and freed here only.
        unsafe { kvlens_free(self.0) };
    }
}

/// Every code is one of the header's, and none is a defect.
fn check(code: KvlensResult) {
    assert!((KVLENS_OK..=KVLENS_SYSTEM).contains(&code), "{code} is no code");
    assert_ne!(code, KVLENS_PANIC, "a panic was caught");
}

fn config(out: &Path, formats: &str, tables: &str, queues: u8) -> String {
    let out = out.to_string_lossy();
    let queue = usize::from(queues);
    format!(
        r#"{{"out":{out:?},"run_id":"fuzz","formats":[{formats}],"tables":[{tables}],"interval_ms":1,
            "flush_interval_ms":1,"print_problems":false,
            "queues":{{"steps":{queue},"requests":{queue},"blocks":{queue}}}}}"#
    )
}

/// How a collector of a sequence is opened.
#[derive(Debug, Arbitrary)]
struct Setup {
    format: u8,
    tables: u8,
    queues: u8,
}

impl Setup {
    fn config(&self, out: &Path) -> String {
        // Files are what takes the time, and what is written has targets of its own.
        let formats = match self.format {
            0..=3 => r#""csv""#,
            4..=7 => r#""arrow""#,
            8..=10 => r#""parquet""#,
            _ => "",
        };
        let names = [r#""samples""#, r#""steps""#, r#""requests""#, r#""blocks""#];
        let all = self.tables & 16 == 0;
        let named = names
            .iter()
            .enumerate()
            .filter(|(at, _)| all || self.tables >> at & 1 == 1);
        let tables: Vec<_> = named.map(|(_, name)| *name).collect();
        config(out, formats, &tables.join(","), self.queues)
    }
}

/// Makes calls in any order on a collector from opening to freeing it.
///
/// # Panics
/// If a function returns an unknown code, reports a panic or writes what is no JSON, or without a temporary directory.
pub fn push_calls(data: &[u8]) {
    let mut from = Unstructured::new(data);
    let Ok(setup) = Setup::arbitrary(&mut from) else {
        return;
    };
    let out = tempfile::tempdir().expect("a temporary directory");
    let collector = Open::new(&setup.config(out.path())).expect("the configuration is good");
    while !from.is_empty() {
        let Ok(call) = Call::arbitrary(&mut from) else {
            return;
        };
        make(&collector, &call);
    }
    // SAFETY: open.
    check(unsafe { kvlens_close(collector.0) });
    read(&collector, Buffer::Enough, true);
}

/// Makes one call on a collector that has been running for long.
///
/// # Panics
/// If a function returns an unknown code, reports a panic or writes what is no JSON, or without a temporary directory.
pub fn push_figures(data: &[u8]) {
    thread_local! {
        static RUNNING: RefCell<Option<(Open, TempDir, u32)>> = const { RefCell::new(None) };
    }
    let Ok(call) = Call::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let slow = matches!(
        call,
        Call::Close | Call::Pause | Call::Flush | Call::Summary(_) | Call::Start | Call::Declare { .. }
    );
    if slow {
        return;
    }
    RUNNING.with_borrow_mut(|running| {
        let (collector, _, calls) = running.get_or_insert_with(|| {
            let out = tempfile::tempdir().expect("a temporary directory");
            let tables = r#""samples","steps","requests","blocks""#;
            let collector =
                Open::new(&config(out.path(), "", tables, 64)).expect("the configuration is good");
            for (at, name) in ["own_counter", "own_gauge", "own_histogram"].iter().enumerate() {
                let kind = u8::try_from(at).unwrap_or(0);
                declare(&collector, name.as_bytes(), kind, 7, "");
            }
            make(&collector, &Call::Start);
            (collector, out, 0)
        });
        make(collector, &call);
        *calls += 1;
        if *calls > CALLS_OF_ONE {
            *running = None;
        }
    });
}

/// Opens and starts a collector with any configuration, but in a directory of our own and without a network.
///
/// # Panics
/// If a function returns an unknown code, reports a panic or writes what is no JSON, or without a temporary directory.
pub fn open_config(data: &[u8]) {
    let out = tempfile::tempdir().expect("a temporary directory");
    let text = String::from_utf8_lossy(data);
    let config = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(mut config) => {
            tame(&mut config, out.path());
            config.to_string()
        }
        Err(_) => text.into_owned(),
    };
    if let Ok(collector) = Open::new(&config) {
        make(&collector, &Call::Start);
        make(&collector, &Call::Snapshot(Buffer::Enough));
    }
}

/// Takes out of a configuration what would reach beyond the fuzzer, or stop it on purpose.
fn tame(config: &mut serde_json::Value, out: &Path) {
    let Some(config) = config.as_object_mut() else {
        return;
    };
    if let Some(path) = config.get_mut("out").filter(|path| path.is_string()) {
        *path = out.to_string_lossy().into();
    }
    config.remove("metrics_url");
    config.remove("inject_fault");
    config.insert("print_problems".to_owned(), false.into());
}

fn make(collector: &Open, call: &Call) {
    let at = collector.0;
    match call {
        Call::Declare {
            name,
            kind,
            unit,
            help,
        } => declare_named(collector, name, *kind, *unit, help),
        // SAFETY: open.
        Call::Start => check(unsafe { kvlens_start(at) }),
        Call::Step(step) => {
            let memory = StepMemory::new(step);
            // SAFETY: open, and the memory is what the struct says.
            check(unsafe { kvlens_push_step(at, memory.pointer()) });
        }
        Call::Requests(rows) => {
            let memory = RowsMemory::requests(rows);
            // SAFETY: as above.
            check(unsafe { kvlens_push_requests(at, memory.pointer(), memory.count) });
        }
        Call::Blocks(rows) => {
            let memory = RowsMemory::blocks(rows);
            // SAFETY: as above.
            check(unsafe { kvlens_push_blocks(at, memory.pointer(), memory.count) });
        }
        Call::Histogram { metric, values } => {
            let values = Pointed::new(values);
            // SAFETY: as above.
            check(unsafe { kvlens_record_histogram(at, *metric, values.pointer, values.count) });
        }
        Call::Page {
            text,
            origin,
            baseline,
        } => page(at, &text.text(), *origin, *baseline),
        other => make_plain(collector, other),
    }
}

/// Calls that take no memory, or only give some back.
fn make_plain(collector: &Open, call: &Call) {
    let at = collector.0;
    match call {
        // SAFETY: open.
        Call::Anomalies(count) => check(unsafe { kvlens_push_anomalies(at, *count) }),
        // SAFETY: open.
        Call::Gauge(metric, value) => check(unsafe { kvlens_set_gauge(at, *metric, *value) }),
        // SAFETY: open.
        Call::Counter(metric, value) => check(unsafe { kvlens_add_counter(at, *metric, *value) }),
        Call::Pull(pull) => set_pull(at, *pull),
        Call::Snapshot(buffer) => read(collector, *buffer, false),
        Call::Summary(buffer) => read(collector, *buffer, true),
        Call::LastError(capacity) => last_error(at, *capacity),
        // SAFETY: open.
        Call::Flush => check(unsafe { kvlens_flush(at, PATIENCE_MS) }),
        Call::Pause => std::thread::sleep(Duration::from_millis(3)),
        // SAFETY: open, or closed but not freed.
        Call::Close => check(unsafe { kvlens_close(at) }),
        _ => nowhere(),
    }
}

fn declare_named(collector: &Open, name: &Name, kind: u8, unit: u8, help: &str) {
    match name {
        Name::Good(number) => declare(collector, format!("own_{number}").as_bytes(), kind, unit, help),
        Name::Standard => declare(collector, b"requests_running", kind, unit, help),
        Name::Any(text) => declare(collector, text.as_bytes(), kind, unit, help),
        Name::NotText(bytes) => declare(collector, bytes, kind, unit, help),
        Name::Null => {
            let (null, metric) = (ptr::null(), ptr::null_mut());
            // SAFETY: open; NULL is refused.
            check(unsafe { kvlens_declare_metric(collector.0, null, 9, 0, null, 9, null, 9, metric) });
        }
    }
}

fn declare(collector: &Open, name: &[u8], kind: u8, unit: u8, help: &str) {
    const UNITS: [&str; 9] = [
        "ns",
        "By",
        "{token}",
        "{block}",
        "{request}",
        "1",
        "{count}",
        "",
        "parsec",
    ];
    let unit = UNITS.get(usize::from(unit) % UNITS.len()).copied().unwrap_or("");
    let mut metric = 0;
    let text = |text: &[u8]| (text.as_ptr().cast::<c_char>(), text.len() as u64);
    let ((name, name_length), (unit, unit_length), (help, help_length)) =
        (text(name), text(unit.as_bytes()), text(help.as_bytes()));
    // SAFETY: open, and the texts are as long as is said.
    check(unsafe {
        kvlens_declare_metric(
            collector.0,
            name,
            name_length,
            u32::from(kind),
            unit,
            unit_length,
            help,
            help_length,
            &raw mut metric,
        )
    });
}

fn page(at: *const KvlensCollector, text: &str, origin: u32, baseline: bool) {
    let (bytes, length) = (text.as_ptr().cast(), text.len() as u64);
    // SAFETY: open, and the text is as long as is said.
    check(unsafe { kvlens_push_page(at, bytes, length, origin, u32::from(baseline)) });
}

fn set_pull(at: *const KvlensCollector, pull: Pull) {
    unsafe extern "C" fn pushes(_: *mut c_void, collector: *const KvlensCollector) {
        let step = Step {
            size: Size::Now,
            bytes: vec![3; 288],
            first: Array::Whole(vec![0.1]),
            between: Array::Null(0),
            known_all: true,
        };
        // SAFETY: open while it is called, and the memory is what the struct says.
        unsafe { kvlens_push_step(collector, StepMemory::new(&step).pointer()) };
    }
    unsafe extern "C" fn takes_itself_away(_: *mut c_void, collector: *const KvlensCollector) {
        // SAFETY: open while it is called.
        unsafe { kvlens_set_pull(collector, None, ptr::null_mut()) };
    }
    let function = match pull {
        Pull::Nothing => None,
        Pull::Pushes => Some(pushes as unsafe extern "C" fn(*mut c_void, *const KvlensCollector)),
        Pull::TakesItselfAway => {
            Some(takes_itself_away as unsafe extern "C" fn(*mut c_void, *const KvlensCollector))
        }
    };
    // SAFETY: open; the functions use nothing but the collector.
    check(unsafe { kvlens_set_pull(at, function, ptr::null_mut()) });
}

/// Reads a snapshot or a summary; what comes is JSON, and fits.
fn read(collector: &Open, buffer: Buffer, summary: bool) {
    let call = |at: *mut c_char, capacity: u64, needed: *mut u64| {
        let code = if summary {
            // SAFETY: open, and as many bytes are there.
            unsafe { kvlens_summary(collector.0, PATIENCE_MS, at, capacity, needed) }
        } else {
            // SAFETY: as above.
            unsafe { kvlens_snapshot(collector.0, at, capacity, needed) }
        };
        check(code);
        code
    };
    let mut needed = 0;
    let (mut bytes, null) = match buffer {
        Buffer::Null => (Vec::new(), true),
        Buffer::Small(capacity) => (vec![0xff_u8; usize::from(capacity)], false),
        Buffer::Enough => {
            if call(ptr::null_mut(), 0, &raw mut needed) != KVLENS_BUFFER_TOO_SMALL {
                return;
            }
            // A text that grows meanwhile still fits.
            (vec![0xff_u8; usize::try_from(needed).unwrap_or(0) + 4096], false)
        }
    };
    let at = if null {
        ptr::null_mut()
    } else {
        bytes.as_mut_ptr().cast()
    };
    if call(at, bytes.len() as u64, &raw mut needed) == KVLENS_OK {
        let end = bytes
            .iter()
            .position(|byte| *byte == 0)
            .expect("ended by a 0 byte");
        assert_eq!(end as u64 + 1, needed);
        serde_json::from_slice::<serde_json::Value>(&bytes[..end]).expect("JSON");
    }
}

fn last_error(at: *const KvlensCollector, capacity: u8) {
    let mut bytes = vec![0xff_u8; usize::from(capacity)];
    let room = u64::from(capacity);
    // SAFETY: open, and as many bytes are there.
    check(unsafe { kvlens_last_error(at, bytes.as_mut_ptr().cast(), room) });
    assert!(bytes.is_empty() || bytes.contains(&0));
    // SAFETY: as above.
    unsafe { kvlens_describe(u32::from(capacity) + KVLENS_OK, bytes.as_mut_ptr().cast(), room) };
}

/// NULL in the place of a collector is refused by every function.
fn nowhere() {
    let (null, nothing) = (ptr::null(), ptr::null_mut());
    let codes = [
        // SAFETY: as above.
        unsafe { kvlens_push_step(null, ptr::null()) },
        // SAFETY: as above.
        unsafe { kvlens_push_requests(null, ptr::null(), 1) },
        // SAFETY: as above.
        unsafe { kvlens_push_blocks(null, ptr::null(), 1) },
        // SAFETY: as above.
        unsafe { kvlens_set_gauge(null, 0, 0.0) },
        // SAFETY: as above.
        unsafe { kvlens_start(null) },
        // SAFETY: as above.
        unsafe { kvlens_flush(null, 1) },
        // SAFETY: as above.
        unsafe { kvlens_snapshot(null, nothing, 0, ptr::null_mut()) },
        // SAFETY: as above.
        unsafe { kvlens_close(null) },
        // SAFETY: as above.
        unsafe { kvlens_set_pull(null, None, ptr::null_mut()) },
        // SAFETY: as above.
        unsafe { kvlens_push_page(null, ptr::null(), 1, 0, 0) },
    ];
    assert_eq!(codes, [KVLENS_NULL_POINTER; 10]);
    // SAFETY: NULL is allowed.
    unsafe { kvlens_free(ptr::null_mut()) };
}
