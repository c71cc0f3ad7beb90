//! The boundary's only gate: every C function goes through it.
//!
//! It refuses NULL, a closed or poisoned collector and a forked process, catches panics, and turns what failed into a
//! code and the collector's last error.

use crate::abi::Prefixed;
use crate::handle::KvlensCollector;
use crate::status::{
    Failure, KVLENS_BAD_SIZE, KVLENS_BAD_TEXT, KVLENS_FORKED, KVLENS_NULL_POINTER, KVLENS_OK, KVLENS_PANIC,
    KvlensResult,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The largest array of rows, and the longest text, that one call may hand over, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// Calls `body` with the collector behind a handle.
///
/// # Safety
/// `handle` is NULL or came from `kvlens_open` and was not freed.
pub(crate) unsafe fn enter(
    handle: *const KvlensCollector,
    body: impl FnOnce(&KvlensCollector) -> Result<(), Failure>,
) -> KvlensResult {
    // SAFETY: the caller's promise; NULL becomes `None`.
    let Some(collector) = (unsafe { handle.as_ref() }) else {
        return KVLENS_NULL_POINTER;
    };
    // Before any lock: a lock may be held by a thread that does not exist in the child of a fork.
    if collector.forked() {
        return KVLENS_FORKED;
    }
    match catch_unwind(AssertUnwindSafe(|| body(collector))) {
        Ok(Ok(())) => KVLENS_OK,
        Ok(Err(failure)) => {
            collector.set_error(&failure);
            failure.code
        }
        Err(_) => {
            collector.poison();
            KVLENS_PANIC
        }
    }
}

/// Calls `body` for a function that has no collector yet.
pub(crate) fn outside(body: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(Failure::code(KVLENS_PANIC)))
}

/// Reads a struct that begins with its size.
///
/// # Safety
/// `from` is NULL, or points at as many readable bytes as its first four say.
pub(crate) unsafe fn read<T: Prefixed>(from: *const T) -> Result<T, Failure> {
    // SAFETY: as promised.
    let size = unsafe { size_of_struct(from) }?;
    let mut out = T::ZERO;
    let known = size.min(size_of::<T>());
    // SAFETY: `known` bytes are readable at `from` and writable at `out`, and any bytes are a valid `T`: it holds
    // integers, floats and pointers only.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut out).cast::<u8>(), known) };
    Ok(out)
}

/// Reads and checks a struct's size.
///
/// # Safety
/// `from` is NULL or points at four readable bytes.
pub(crate) unsafe fn size_of_struct<T: Prefixed>(from: *const T) -> Result<usize, Failure> {
    if from.is_null() {
        return Err(Failure::code(KVLENS_NULL_POINTER));
    }
    // SAFETY: as promised; the size is the first field of every struct.
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    if size < T::HEAD || size > 1 << 16 || !size.is_multiple_of(8) {
        let (head, now) = (T::HEAD, size_of::<T>());
        let text = format!(
            "struct_size is {size}; it is at least {head}, {now} in this version, and a multiple of 8"
        );
        return Err(Failure::new(KVLENS_BAD_SIZE, text));
    }
    Ok(size)
}

/// Borrows an array.
///
/// # Safety
/// `from` points at `count` readable values that do not change meanwhile, or `count` is 0, or `from` is NULL.
pub(crate) unsafe fn slice<'a, T>(from: *const T, count: u64) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if from.is_null() {
        return Err(Failure::new(
            KVLENS_NULL_POINTER,
            "an array is NULL and its count is not 0",
        ));
    }
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= MAX_BYTES / size_of::<T>().max(1));
    let Some(count) = count.filter(|_| from.is_aligned()) else {
        return Err(Failure::new(
            KVLENS_BAD_SIZE,
            "an array is larger than 1 GiB, or not aligned",
        ));
    };
    // SAFETY: not NULL, aligned, and readable for `count` values as promised; smaller than `isize::MAX`.
    Ok(unsafe { std::slice::from_raw_parts(from, count) })
}

/// Borrows text.
///
/// # Safety
/// As for [`slice`].
pub(crate) unsafe fn text<'a>(from: *const std::ffi::c_char, length: u64) -> Result<&'a str, Failure> {
    // SAFETY: as promised; `c_char` and `u8` have one layout.
    let bytes = unsafe { slice(from.cast::<u8>(), length) }?;
    std::str::from_utf8(bytes).map_err(|error| Failure::new(KVLENS_BAD_TEXT, error.to_string()))
}
