//! The C functions that make, ask and end a collector.

use crate::abi::{KVLENS_ABI_VERSION, KVLENS_KIND_COUNTER, KVLENS_KIND_GAUGE, KVLENS_KIND_HISTOGRAM};
use crate::figures::Origin;
use crate::guard;
use crate::handle::KvlensCollector;
use crate::prometheus::Page;
use crate::settings::Settings;
use crate::shared::lock;
use crate::status::{
    Failure, KVLENS_BAD_VALUE, KVLENS_BUFFER_TOO_SMALL, KVLENS_NULL_POINTER, KVLENS_OK, KvlensResult,
};
use kvlens_core::{Kind, MetricDesc, Unit};
use std::ffi::{c_char, c_void};
use std::sync::Mutex;
use std::time::Duration;

/// Returns the library's version of this boundary; a caller compares its major number (`version >> 16`) with that of
/// `KVLENS_ABI_VERSION` in the header that it was compiled with. May be called at any time.
#[unsafe(no_mangle)]
pub extern "C" fn kvlens_abi_version() -> u32 {
    KVLENS_ABI_VERSION
}

/// Returns the library's version, such as `0.1.0`, ended by a 0 byte; it lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn kvlens_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Opens a collector. It records nothing before `kvlens_start`. Blocks while the output directory is made.
///
/// `config` is JSON of `config_length` bytes. On failure `*out` is not written, and the reason goes into `message`, cut
/// off at `message_capacity` bytes and ended by a 0 byte; `message` may be NULL.
///
/// # Safety
/// `config` points at `config_length` readable bytes, `out` at a writable pointer, and `message` at `message_capacity`
/// writable bytes or it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_open(
    config: *const c_char,
    config_length: u64,
    out: *mut *mut KvlensCollector,
    message: *mut c_char,
    message_capacity: u64,
) -> KvlensResult {
    let opened = guard::outside(|| {
        if config.is_null() || out.is_null() {
            return Err(Failure::code(KVLENS_NULL_POINTER));
        }
        // SAFETY: as promised.
        let config = unsafe { guard::text(config, config_length) }?;
        let collector = Box::new(KvlensCollector::open(Settings::parse(config)?));
        // SAFETY: not NULL, and writable as promised.
        unsafe { out.write(Box::into_raw(collector)) };
        Ok(())
    });
    match opened {
        Ok(()) => KVLENS_OK,
        Err(failure) => {
            // SAFETY: as promised.
            unsafe { write_cut(&failure.text(), message, message_capacity) };
            failure.code
        }
    }
}

/// Declares a metric of the caller's own, before `kvlens_start`; its number goes into `*metric`.
///
/// The name becomes a column: lower-case letters, digits and `_`. `kind` is one of `KVLENS_KIND_*`. `unit` is one of
/// `ns`, `By`, `{token}`, `{block}`, `{request}`, `1` for a share, `{count}`, or empty.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed; texts point at as many readable bytes as their
/// lengths say; `metric` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_declare_metric(
    collector: *const KvlensCollector,
    name: *const c_char,
    name_length: u64,
    kind: u32,
    unit: *const c_char,
    unit_length: u64,
    help: *const c_char,
    help_length: u64,
    metric: *mut u32,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        if metric.is_null() {
            return Err(Failure::code(KVLENS_NULL_POINTER));
        }
        // SAFETY: as promised.
        let name = unsafe { guard::text(name, name_length) }?;
        // SAFETY: as promised.
        let unit = unit_of(unsafe { guard::text(unit, unit_length) }?)?;
        // SAFETY: as promised.
        let help = unsafe { guard::text(help, help_length) }?;
        let kind = kind_of(kind)?;
        let number = collector.declare(MetricDesc::owned(name, kind, unit, help))?;
        // SAFETY: not NULL, and writable as promised.
        unsafe { metric.write(u32::try_from(number).unwrap_or(u32::MAX)) };
        Ok(())
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Begins the run: makes its directory and starts the collector's thread. Blocks meanwhile.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_start(collector: *const KvlensCollector) -> KvlensResult {
    // SAFETY: as promised.
    unsafe { guard::enter(collector, KvlensCollector::start) }
}

/// What `kvlens_set_pull` registers: called with the caller's own pointer first.
pub type KvlensPull = Option<unsafe extern "C" fn(userdata: *mut c_void, collector: *const KvlensCollector)>;

/// Sets a function that is called before every sample, from the collector's thread; NULL takes it away.
///
/// It may push into the collector that it is given, and set another function or none; it must not flush, close or free
/// the collector. It must return soon: samples wait for it. One that was taken away may still be running when this
/// returns: the caller keeps `userdata` alive until `kvlens_close` returned.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed; the function may be called from another thread
/// with `userdata` until the collector is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_set_pull(
    collector: *const KvlensCollector,
    pull: KvlensPull,
    userdata: *mut c_void,
) -> KvlensResult {
    struct Ask {
        pull: unsafe extern "C" fn(*mut c_void, *const KvlensCollector),
        userdata: *mut c_void,
        collector: *const KvlensCollector,
    }
    // SAFETY: the caller promised that the function may be called from another thread with this pointer, and the
    // collector outlives its own thread.
    unsafe impl Send for Ask {}

    impl Ask {
        fn call(&self) {
            // SAFETY: as the caller of `kvlens_set_pull` promised.
            unsafe { (self.pull)(self.userdata, self.collector) };
        }
    }

    let body = |of: &KvlensCollector| {
        let ask = pull.map(|pull| Ask {
            pull,
            userdata,
            collector,
        });
        of.push(|feed| {
            feed.set_pull(ask.map(|ask| Box::new(move || ask.call()) as Box<dyn FnMut() + Send>));
            Ok(())
        })
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Takes a metrics page in the place of steps, while nothing better can be had; see `KVLENS_ORIGIN_*`.
///
/// With `baseline` not 0 the page is only remembered: it says what the engine had counted before recording began. Takes
/// as long as reading the page does, some milliseconds; other pushes go on meanwhile.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed; `page` points at `length` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_push_page(
    collector: *const KvlensCollector,
    page: *const c_char,
    length: u64,
    origin: u32,
    baseline: u32,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        // SAFETY: as promised.
        let page = Page::parse(unsafe { guard::text(page, length) }?);
        if page.is_empty() {
            return Err(Failure::new(
                KVLENS_BAD_VALUE,
                crate::Error::NothingKnown.to_string(),
            ));
        }
        collector.push(|feed| {
            if baseline == 0 {
                feed.page(page, Origin::from_number(origin));
            } else {
                feed.page_baseline(page);
            }
            Ok(())
        })
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Waits until everything pushed so far is safe against the death of the process.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_flush(collector: *const KvlensCollector, timeout_ms: u64) -> KvlensResult {
    let body = |collector: &KvlensCollector| collector.flush(Duration::from_millis(timeout_ms));
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Ends the run and waits until it is written; closing a closed collector does nothing. The handle stays good for
/// `kvlens_summary` and `kvlens_last_error` until `kvlens_free`.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_close(collector: *const KvlensCollector) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        collector.close();
        Ok(())
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Closes the collector and frees it; NULL is allowed. In the child of a fork nothing is freed: the memory is the
/// parent's to give back.
///
/// # Safety
/// `collector` is NULL, or came from `kvlens_open`, was not freed before, and is used by no one else any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_free(collector: *mut KvlensCollector) {
    // SAFETY: as promised.
    if unsafe { kvlens_close(collector) } != KVLENS_OK {
        return;
    }
    forget_at_exit(collector);
    // SAFETY: made by `Box::into_raw` in `kvlens_open`, and not freed before, as promised.
    drop(unsafe { Box::from_raw(collector) });
}

/// Writes what is known now, as JSON ended by a 0 byte, and how many bytes that takes into `*needed`.
///
/// Counters and histograms are of the whole run. With too small a buffer nothing but `*needed` is written.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed; `buffer` points at `capacity` writable bytes or is
/// NULL; `needed` is writable or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_snapshot(
    collector: *const KvlensCollector,
    buffer: *mut c_char,
    capacity: u64,
    needed: *mut u64,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        // SAFETY: as promised.
        unsafe { write_whole(&collector.snapshot()?, buffer, capacity, needed) }
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Writes what the run came to, or has come to up to the last sample, as JSON; otherwise as `kvlens_snapshot`.
///
/// # Safety
/// As for `kvlens_snapshot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_summary(
    collector: *const KvlensCollector,
    timeout_ms: u64,
    buffer: *mut c_char,
    capacity: u64,
    needed: *mut u64,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        let summary = collector.summary(Duration::from_millis(timeout_ms))?;
        // SAFETY: as promised.
        unsafe { write_whole(&summary, buffer, capacity, needed) }
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Writes why the last call that failed did so, cut off at `capacity` bytes and ended by a 0 byte; empty if none has.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed; `buffer` points at `capacity` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_last_error(
    collector: *const KvlensCollector,
    buffer: *mut c_char,
    capacity: u64,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        // SAFETY: as promised.
        unsafe { write_cut(&collector.error(), buffer, capacity) };
        Ok(())
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Writes a code's meaning, cut off at `capacity` bytes and ended by a 0 byte. May be called at any time.
///
/// # Safety
/// `buffer` points at `capacity` writable bytes or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_describe(code: KvlensResult, buffer: *mut c_char, capacity: u64) {
    // SAFETY: as promised.
    unsafe { write_cut(crate::status::name(code), buffer, capacity) };
}

/// Collectors that are closed when the process exits in an orderly way.
static AT_EXIT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Has the collector closed when the process exits by `exit` or by returning from `main`.
///
/// A signal that kills the process, and `_exit`, run nothing of the kind; what was flushed by then is safe all the same.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed; it is freed by `kvlens_free` or never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_close_at_exit(collector: *const KvlensCollector) -> KvlensResult {
    extern "C" fn close_all() {
        for collector in std::mem::take(&mut *lock(&AT_EXIT)) {
            // SAFETY: `kvlens_free` takes a collector off the list, so this one was not freed.
            unsafe { kvlens_close(std::ptr::with_exposed_provenance(collector)) };
        }
    }

    let body = |_: &KvlensCollector| {
        let mut list = lock(&AT_EXIT);
        if list.is_empty() {
            // SAFETY: the function takes nothing and does not unwind: `kvlens_close` catches panics.
            unsafe { libc::atexit(close_all) };
        }
        list.push(collector.expose_provenance());
        Ok(())
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

fn forget_at_exit(collector: *mut KvlensCollector) {
    lock(&AT_EXIT).retain(|known| *known != collector.addr());
}

fn kind_of(kind: u32) -> Result<Kind, Failure> {
    match kind {
        KVLENS_KIND_COUNTER => Ok(Kind::Counter),
        KVLENS_KIND_GAUGE => Ok(Kind::Gauge),
        KVLENS_KIND_HISTOGRAM => Ok(Kind::Histogram),
        other => Err(Failure::new(
            KVLENS_BAD_VALUE,
            format!("{other} is no kind of metric; use KVLENS_KIND_*"),
        )),
    }
}

fn unit_of(unit: &str) -> Result<Unit, Failure> {
    let known = [
        Unit::Nanoseconds,
        Unit::Bytes,
        Unit::Tokens,
        Unit::Blocks,
        Unit::Requests,
        Unit::Ratio,
        Unit::Count,
        Unit::None,
    ];
    let found = known.into_iter().find(|known| known.symbol() == unit);
    found.ok_or_else(|| {
        Failure::new(
            KVLENS_BAD_VALUE,
            format!("`{unit}` is no unit that is known here"),
        )
    })
}

/// Writes text and a 0 byte, cutting it off where it must be.
///
/// # Safety
/// `buffer` points at `capacity` writable bytes or is NULL.
unsafe fn write_cut(text: &str, buffer: *mut c_char, capacity: u64) {
    let Some(room) = usize::try_from(capacity)
        .ok()
        .and_then(|capacity| capacity.checked_sub(1))
    else {
        return;
    };
    if buffer.is_null() {
        return;
    }
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // SAFETY: `end` is less than `capacity`, and within the text.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), end) };
    // SAFETY: `end` is less than `capacity`.
    unsafe { buffer.wrapping_add(end).write(0) };
}

/// Writes text and a 0 byte if all of it fits, and how many bytes that takes.
///
/// # Safety
/// `buffer` points at `capacity` writable bytes or is NULL; `needed` is writable or NULL.
unsafe fn write_whole(
    text: &str,
    buffer: *mut c_char,
    capacity: u64,
    needed: *mut u64,
) -> Result<(), Failure> {
    let bytes = text.len() as u64 + 1;
    if !needed.is_null() {
        // SAFETY: as promised.
        unsafe { needed.write(bytes) };
    }
    if buffer.is_null() || capacity < bytes {
        return Err(Failure::code(KVLENS_BUFFER_TOO_SMALL));
    }
    // SAFETY: it fits, as was just checked.
    unsafe { write_cut(text, buffer, capacity) };
    Ok(())
}
