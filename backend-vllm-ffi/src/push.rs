//! The C functions that take figures: decode, check, hand over; nothing else.

use crate::abi::{
    KVLENS_BLOCK_CACHED, KVLENS_BLOCK_CENSORED, KVLENS_BLOCK_EVICTED, KVLENS_BLOCK_IDLE, KVLENS_BLOCK_NUMBER,
    KVLENS_BLOCK_PREFIX_HASH, KVLENS_BLOCK_REALLOCATED, KVLENS_BLOCK_RESET, KVLENS_BLOCK_REUSE_COUNT,
    KVLENS_BLOCK_TOKENS, KvlensBlock, KvlensRequest, KvlensStep, Prefixed,
};
use crate::decode;
use crate::figures::BlockFigures;
use crate::guard;
use crate::handle::KvlensCollector;
use crate::status::{Failure, KVLENS_BAD_SIZE, KvlensResult};
use kvlens_core::record::BlockEnd;

/// Takes one step. Never blocks; may be called from one thread at a time.
///
/// Finished requests of a step are pushed before it, so that the step's row counts them.
///
/// # Safety
/// `collector` is NULL or came from `kvlens_open` and was not freed. `step` is NULL or points at as many readable bytes
/// as its `struct_size` says, and its arrays hold as many values as their counts say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_push_step(
    collector: *const KvlensCollector,
    step: *const KvlensStep,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        // SAFETY: as promised.
        let step = unsafe { guard::read(step) }?;
        // SAFETY: as promised.
        let first = unsafe { guard::slice(step.time_to_first_token_s, step.time_to_first_token_count) }?;
        // SAFETY: as promised.
        let between = unsafe { guard::slice(step.inter_token_latency_s, step.inter_token_latency_count) }?;
        let figures = decode::step(&step);
        collector.push(|feed| {
            feed.step(&figures, first, between);
            Ok(())
        })
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Takes finished requests. Never blocks; may be called from one thread at a time.
///
/// All elements have one `struct_size`, which is the distance between them.
///
/// # Safety
/// As for `kvlens_push_step`; `requests` points at `count` structs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_push_requests(
    collector: *const KvlensCollector,
    requests: *const KvlensRequest,
    count: u64,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        collector.push(|feed| {
            // SAFETY: as promised.
            unsafe {
                each(requests, count, |request: &KvlensRequest| {
                    feed.request(&decode::request(request));
                    Ok(())
                })
            }
        })
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Takes the ends of blocks' lives. Never blocks; may be called from one thread at a time.
///
/// All elements have one `struct_size`, which is the distance between them.
///
/// # Safety
/// As for `kvlens_push_requests`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_push_blocks(
    collector: *const KvlensCollector,
    blocks: *const KvlensBlock,
    count: u64,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        collector.push(|feed| {
            let take = |block: &KvlensBlock| {
                // SAFETY: as promised.
                let gaps = unsafe { guard::slice(block.reuse_gap_s, block.reuse_gap_count) }?;
                feed.block(&block_figures(block), gaps);
                Ok(())
            };
            // SAFETY: as promised.
            unsafe { each(blocks, count, take) }
        })
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Adds values that the caller had to leave out because they could not be true. Never blocks.
///
/// # Safety
/// As for `kvlens_push_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_push_anomalies(
    collector: *const KvlensCollector,
    count: u64,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        collector.push(|feed| {
            feed.anomalies(count);
            Ok(())
        })
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Sets a declared gauge. Never blocks; may be called from one thread at a time.
///
/// # Safety
/// As for `kvlens_push_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_set_gauge(
    collector: *const KvlensCollector,
    metric: u32,
    value: f64,
) -> KvlensResult {
    let body =
        |collector: &KvlensCollector| collector.push(|feed| Ok(feed.set_gauge(metric as usize, value)?));
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Adds to a declared counter. Never blocks; may be called from one thread at a time.
///
/// # Safety
/// As for `kvlens_push_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_add_counter(
    collector: *const KvlensCollector,
    metric: u32,
    value: u64,
) -> KvlensResult {
    let body =
        |collector: &KvlensCollector| collector.push(|feed| Ok(feed.add_counter(metric as usize, value)?));
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

/// Records values into a declared histogram. Never blocks; may be called from one thread at a time.
///
/// # Safety
/// As for `kvlens_push_step`; `values` points at `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvlens_record_histogram(
    collector: *const KvlensCollector,
    metric: u32,
    values: *const u64,
    count: u64,
) -> KvlensResult {
    let body = |collector: &KvlensCollector| {
        // SAFETY: as promised.
        let values = unsafe { guard::slice(values, count) }?;
        collector.push(|feed| Ok(feed.record_histogram(metric as usize, values)?))
    };
    // SAFETY: as promised.
    unsafe { guard::enter(collector, body) }
}

fn block_figures(block: &KvlensBlock) -> BlockFigures {
    let known = |bit: u64, value: u64| (block.known & bit != 0).then_some(value);
    let seconds = |bit: u64, value: f64| (block.known & bit != 0).then_some(value);
    BlockFigures {
        engine_index: block.engine_index,
        end: match block.end {
            KVLENS_BLOCK_EVICTED => BlockEnd::Evicted,
            KVLENS_BLOCK_REALLOCATED => BlockEnd::Reallocated,
            KVLENS_BLOCK_RESET => BlockEnd::Reset,
            KVLENS_BLOCK_CENSORED => BlockEnd::Censored,
            _ => BlockEnd::Unknown,
        },
        sample_every: block.sample_every,
        block: known(KVLENS_BLOCK_NUMBER, block.block),
        prefix_hash: known(KVLENS_BLOCK_PREFIX_HASH, block.prefix_hash),
        tokens: known(KVLENS_BLOCK_TOKENS, block.tokens),
        reuse_count: known(KVLENS_BLOCK_REUSE_COUNT, block.reuse_count),
        lifetime_s: block.lifetime_s,
        idle_s: seconds(KVLENS_BLOCK_IDLE, block.idle_s),
        cached_s: seconds(KVLENS_BLOCK_CACHED, block.cached_s),
    }
}

/// Walks an array of structs whose distance is their own size. None is taken unless the whole array can be right.
///
/// # Safety
/// `first` is NULL, or points at `count` structs of the size that each of them says.
unsafe fn each<T: Prefixed>(
    first: *const T,
    count: u64,
    mut take: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    // SAFETY: as promised.
    let stride = unsafe { guard::size_of_struct(first) }?;
    let wrong = || {
        Failure::new(
            KVLENS_BAD_SIZE,
            "the elements of an array differ in struct_size, or are too many",
        )
    };
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= guard::MAX_BYTES / stride)
        .ok_or_else(wrong)?;
    let at = |index: usize| first.cast::<u8>().wrapping_add(index * stride).cast::<T>();
    for index in 0..count {
        // SAFETY: within the array, as promised.
        if unsafe { guard::size_of_struct(at(index)) }? != stride {
            return Err(wrong());
        }
    }
    for index in 0..count {
        // SAFETY: within the array, as promised.
        take(&unsafe { guard::read(at(index)) }?)?;
    }
    Ok(())
}
