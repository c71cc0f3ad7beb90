//! Memory for the C functions to read: exactly as much as a caller promises, so that a byte too far is found.

use super::calls::{Array, Block, Count, Request, Rows, Size, Step};
use kvlens_vllm_ffi::abi::{KvlensBlock, KvlensRequest, KvlensStep};
use std::mem::offset_of;
use std::ptr;

/// The largest struct that the library reads.
const LARGEST: usize = 1 << 16;
/// Counts from here on are refused before anything is read: 1 GiB of the smallest values.
const TOO_MANY: u64 = 1 << 30;

/// A struct or an array of them, in memory of their own.
#[derive(Debug)]
pub(super) struct Block8(Vec<u64>, usize);

impl Block8 {
    fn zeroed(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(8)], bytes)
    }

    fn bytes(&mut self) -> &mut [u8] {
        let length = self.1;
        // SAFETY: any bytes are valid integers, and as many are there.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let place = self.bytes().get_mut(at..at + bytes.len());
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
    }

    fn pointer<T>(&self) -> *const T {
        self.0.as_ptr().cast()
    }
}

/// A pointer and a count, with what they point at.
#[derive(Debug)]
pub(super) struct Pointed<T> {
    _values: Vec<T>,
    pub(super) pointer: *const T,
    pub(super) count: u64,
}

impl<T: Copy> Pointed<T> {
    pub(super) fn new(array: &Array<T>) -> Self {
        let (values, shift, count) = match array {
            Array::Null(count) => {
                return Self {
                    _values: Vec::new(),
                    pointer: ptr::null(),
                    count: *count,
                };
            }
            Array::Whole(values) => (values.clone(), 0, values.len() as u64),
            Array::Crooked(values) => (values.clone(), 1, values.len().saturating_sub(1) as u64),
            Array::Huge(count) => (Vec::new(), 0, (*count).max(TOO_MANY)),
        };
        let pointer = values.as_ptr().cast::<u8>().wrapping_add(shift).cast();
        Self {
            _values: values,
            pointer,
            count,
        }
    }
}

impl Size {
    /// The size to say, if there is a struct at all.
    fn of<T>(self) -> Option<u32> {
        let now = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
        match self {
            Self::Now => Some(now),
            Self::Other(eighths) => Some(u32::from(eighths) * 8),
            Self::Any(size) => Some(size),
            Self::NullPointer => None,
        }
    }
}

/// As many bytes as have to be there for a struct of this size: its first field, where the size is nonsense.
fn readable(size: u32) -> usize {
    let size = size as usize;
    if size > LARGEST { 4 } else { size.max(4) }
}

/// A step's struct, with the arrays that it points at.
#[derive(Debug)]
pub(super) struct StepMemory {
    step: Option<Block8>,
    _arrays: [Pointed<f64>; 2],
}

impl StepMemory {
    pub(super) fn new(step: &Step) -> Self {
        let arrays = [Pointed::new(&step.first), Pointed::new(&step.between)];
        let made = step.size.of::<KvlensStep>().map(|size| {
            let mut made = Block8::zeroed(readable(size));
            let length = made.1.min(step.bytes.len());
            made.put(0, step.bytes.get(..length).unwrap_or_default());
            made.put(0, &size.to_ne_bytes());
            if step.known_all {
                made.put(offset_of!(KvlensStep, known), &u64::MAX.to_ne_bytes());
            }
            point(
                &mut made,
                offset_of!(KvlensStep, time_to_first_token_s),
                &arrays[0],
            );
            point(
                &mut made,
                offset_of!(KvlensStep, inter_token_latency_s),
                &arrays[1],
            );
            made
        });
        Self {
            step: made,
            _arrays: arrays,
        }
    }

    pub(super) fn pointer(&self) -> *const KvlensStep {
        self.step.as_ref().map_or(ptr::null(), Block8::pointer)
    }
}

/// Writes a pointer and its count into a struct; every struct of the boundary has the one after the other.
fn point<T>(made: &mut Block8, at: usize, array: &Pointed<T>) {
    made.put(at, &array.pointer.expose_provenance().to_ne_bytes());
    made.put(at + 8, &array.count.to_ne_bytes());
}

/// An array of structs, with the arrays that they point at.
#[derive(Debug)]
pub(super) struct RowsMemory {
    rows: Option<Block8>,
    pub(super) count: u64,
    _arrays: Vec<Pointed<f64>>,
}

impl RowsMemory {
    pub(super) fn requests(rows: &Rows<Request>) -> Self {
        Self::new::<KvlensRequest, _>(rows, |row| &row.bytes, |_, _, _| None)
    }

    pub(super) fn blocks(rows: &Rows<Block>) -> Self {
        let patch = |made: &mut Block8, at: usize, row: &Block| {
            let array = Pointed::new(&row.gaps);
            point(made, at + offset_of!(KvlensBlock, reuse_gap_s), &array);
            Some(array)
        };
        Self::new::<KvlensBlock, _>(rows, |row| &row.bytes, patch)
    }

    fn new<T, R>(
        rows: &Rows<R>,
        bytes: impl Fn(&R) -> &Vec<u8>,
        patch: impl Fn(&mut Block8, usize, &R) -> Option<Pointed<f64>>,
    ) -> Self {
        let mut arrays = Vec::new();
        let made = rows.size.of::<T>().map(|size| {
            let stride = readable(size);
            let mut made = Block8::zeroed(stride * rows.each.len().max(1));
            for (index, row) in rows.each.iter().enumerate() {
                let (at, bytes) = (index * stride, bytes(row));
                made.put(at, bytes.get(..stride.min(bytes.len())).unwrap_or_default());
                made.put(at, &size.to_ne_bytes());
                arrays.extend(patch(&mut made, at, row));
            }
            if let (Some(odd), true) = (rows.odd_one, rows.each.len() > 1) {
                made.put((rows.each.len() - 1) * stride, &odd.to_ne_bytes());
            }
            made.put(0, &size.to_ne_bytes());
            made
        });
        Self {
            rows: made,
            count: match rows.count {
                Count::True => rows.each.len() as u64,
                Count::None => 0,
                Count::Huge(count) => count.max(TOO_MANY),
            },
            _arrays: arrays,
        }
    }

    pub(super) fn pointer<T>(&self) -> *const T {
        self.rows.as_ref().map_or(ptr::null(), Block8::pointer)
    }
}
