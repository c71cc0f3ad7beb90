//! KV blocks out to page-locked host memory and back, on a stream of their own.
//!
//! A block's layers lie far apart in the pool. A gather packs them on the device, so that the copy engine
//! moves whole runs at the bus's rate; the way back scatters. Neither direction makes the host wait.

use cudarc::driver::{CudaEvent, CudaSlice};

use super::{
    context::{Gpu, address},
    dtype::Element,
    error::{Context as _, Result, check_index, check_length},
    kv::{Side, copy, write_ids},
    layout::KvLayout,
    pinned::PinnedBuffer,
    upload::Upload,
};

/// A block of the device's pool and its place in the swap area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapPair {
    /// Block of the device's pool.
    pub device: u32,
    /// Block of the swap area.
    pub host: u32,
}

/// Page-locked host memory for swapped blocks: `[host block][layer][K, V][kv head][token][head dim]`.
#[derive(Debug)]
pub struct SwapArea<T> {
    layout: KvLayout,
    host_blocks: usize,
    host: PinnedBuffer<T>,
    staging: CudaSlice<T>,
    staging_blocks: usize,
    ids: Upload<i32>,
    pairs: Vec<SwapPair>,
    computed: CudaEvent,
    moved: CudaEvent,
}

impl<T: Element> SwapArea<T> {
    /// Device memory that packs blocks on their way, unless one block is larger.
    pub const STAGING_BYTES: usize = 64 << 20;

    /// Allocates room for `host_blocks` blocks on the host.
    ///
    /// # Errors
    /// [`super::Error::OutOfMemory`], or the driver's where the host cannot lock so much memory.
    pub fn try_new(gpu: &Gpu, layout: KvLayout, host_blocks: usize) -> Result<Self> {
        let block = layout.block_elements() * layout.layers();
        let staging_blocks = (Self::STAGING_BYTES / (block * size_of::<T>())).clamp(1, host_blocks.max(1));
        let event = || gpu.context().new_event(None).during("making an event");
        Ok(Self {
            layout,
            host_blocks,
            host: gpu.pinned(host_blocks * block)?,
            staging: gpu.zeros(staging_blocks * block)?,
            staging_blocks,
            ids: Upload::try_new(gpu, staging_blocks)?,
            pairs: Vec::new(),
            computed: event()?,
            moved: event()?,
        })
    }

    /// Blocks of the area.
    pub fn host_blocks(&self) -> usize {
        self.host_blocks
    }

    /// Enqueues copies to the host. Kernels enqueued later on the engine's stream may overwrite the device
    /// blocks.
    ///
    /// # Errors
    /// [`super::Error::OutOfRange`] for a block outside its pool; the driver's.
    pub fn swap_out(&mut self, gpu: &Gpu, pool: &CudaSlice<T>, pairs: &[SwapPair]) -> Result<()> {
        check_length("KV pool", pool.len(), self.layout.elements())?;
        self.begin(gpu, pairs)?;
        for at in (0..self.pairs.len()).step_by(self.staging_blocks) {
            let count = self.stage_ids(gpu, at)?;
            let src = Side::pool(address(pool), &self.layout, Some(&self.ids));
            let dst = Side::packed(&self.staging, &self.layout);
            // SAFETY: the pool was measured above, its block numbers checked by `stage_ids`; staging holds
            // `count` blocks.
            unsafe { copy(gpu, gpu.copy_stream(), &self.layout, src, dst, count) }?;
            self.for_each_run(at, count, |area, from, host, elements| {
                let view = area.staging.slice(from..from + elements);
                area.host.enqueue_from(host, &view, gpu.copy_stream())
            })?;
        }
        self.end(gpu)
    }

    /// Enqueues copies to the device. Kernels enqueued later on the engine's stream see the blocks.
    ///
    /// # Errors
    /// [`super::Error::OutOfRange`] for a block outside its pool; the driver's.
    pub fn swap_in(&mut self, gpu: &Gpu, pool: &mut CudaSlice<T>, pairs: &[SwapPair]) -> Result<()> {
        check_length("KV pool", pool.len(), self.layout.elements())?;
        self.begin(gpu, pairs)?;
        for at in (0..self.pairs.len()).step_by(self.staging_blocks) {
            let count = self.stage_ids(gpu, at)?;
            self.for_each_run(at, count, |area, to, host, elements| {
                let mut view = area.staging.slice_mut(to..to + elements);
                area.host.enqueue_to(host, elements, &mut view, gpu.copy_stream())
            })?;
            let src = Side::packed(&self.staging, &self.layout);
            let dst = Side::pool(address(pool), &self.layout, Some(&self.ids));
            // SAFETY: as in `swap_out`, the other way round.
            unsafe { copy(gpu, gpu.copy_stream(), &self.layout, src, dst, count) }?;
        }
        self.end(gpu)
    }

    /// Waits until the last swap has reached the host.
    ///
    /// # Errors
    /// The driver's.
    pub fn wait(&self) -> Result<()> {
        self.moved.synchronize().during("waiting for a swap")
    }

    /// One host block, once its swap has arrived: see [`SwapArea::wait`].
    pub fn host_block(&self, block: usize) -> &[T] {
        let elements = self.host_block_elements();
        &self.host.as_slice()[block * elements..(block + 1) * elements]
    }

    fn host_block_elements(&self) -> usize {
        self.layout.block_elements() * self.layout.layers()
    }

    /// Sorts the pairs by host block, to find long runs, and lets the copy stream wait for the kernels
    /// before.
    fn begin(&mut self, gpu: &Gpu, pairs: &[SwapPair]) -> Result<()> {
        for pair in pairs {
            check_index("swap block", i64::from(pair.host), self.host_blocks)?;
        }
        self.pairs.clear();
        self.pairs.extend_from_slice(pairs);
        self.pairs.sort_unstable_by_key(|pair| pair.host);
        self.computed.record(gpu.stream()).during("recording an event")?;
        gpu.copy_stream()
            .wait(&self.computed)
            .during("ordering the streams")
    }

    fn end(&mut self, gpu: &Gpu) -> Result<()> {
        self.moved
            .record(gpu.copy_stream())
            .during("recording an event")?;
        gpu.stream().wait(&self.moved).during("ordering the streams")
    }

    /// Sends the device blocks of the next pairs; returns how many fit the staging buffer.
    fn stage_ids(&mut self, gpu: &Gpu, at: usize) -> Result<usize> {
        let count = self.staging_blocks.min(self.pairs.len() - at);
        let ids = self.pairs[at..at + count].iter().map(|pair| pair.device);
        write_ids(&mut self.ids, &self.layout, ids, gpu.copy_stream())?;
        Ok(count)
    }

    /// Calls `each(area, staging element, host element, elements)` for every run of neighbours on the host.
    fn for_each_run(
        &mut self,
        at: usize,
        count: usize,
        mut each: impl FnMut(&mut Self, usize, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let block = self.host_block_elements();
        let mut first = 0;
        for next in 1..=count {
            let pairs = &self.pairs[at..at + count];
            if next < count && pairs[next].host == pairs[next - 1].host + 1 {
                continue;
            }
            let host = pairs[first].host as usize * block;
            each(self, first * block, host, (next - first) * block)?;
            first = next;
        }
        Ok(())
    }
}
