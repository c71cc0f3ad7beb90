//! Page-locked host memory, which the copy engines read and write at full speed.

use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaStream, CudaView, CudaViewMut, DevicePtr as _, DevicePtrMut as _, DeviceRepr,
    ValidAsZeroBits, result,
};

use super::error::{Context as _, Result, check_length};

/// A page-locked host buffer. The CPU may read it at normal speed (it is not write-combined).
#[derive(Debug)]
pub struct PinnedBuffer<T> {
    context: Arc<CudaContext>,
    data: *mut T,
    len: usize,
}

// SAFETY: the buffer is plain host memory that this value alone owns.
unsafe impl<T: Send> Send for PinnedBuffer<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Sync> Sync for PinnedBuffer<T> {}

impl<T: DeviceRepr + ValidAsZeroBits> PinnedBuffer<T> {
    pub(crate) fn zeros(context: &Arc<CudaContext>, len: usize) -> Result<Self> {
        context.bind_to_thread().during("binding the context")?;
        let bytes = (len * size_of::<T>()).max(1);
        // SAFETY: a fresh allocation; it is zeroed below, before anything reads it.
        let data = unsafe { result::malloc_host(bytes, 0) }.during("allocating pinned memory")?;
        let data = data.cast::<T>();
        // SAFETY: the allocation has at least `bytes` bytes, and zero bits are a valid `T`.
        unsafe { data.cast::<u8>().write_bytes(0, bytes) };
        Ok(Self {
            context: context.clone(),
            data,
            len,
        })
    }

    /// Elements of the buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The contents. Copies into the buffer that are still under way may be half done: wait for their event
    /// first.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `data` points to `len` initialised elements that live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    /// The contents, to be written. Copies out of the buffer that are still under way may send either
    /// version: wait for their event first.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }

    /// Enqueues a copy of `len` elements from `offset` on to the device.
    ///
    /// # Errors
    /// [`super::Error::Length`] if either side is too short.
    pub fn enqueue_to(
        &self,
        offset: usize,
        len: usize,
        to: &mut CudaViewMut<'_, T>,
        stream: &Arc<CudaStream>,
    ) -> Result<()> {
        check_length("pinned buffer", self.len, offset + len)?;
        check_length("device buffer", to.len(), len)?;
        let source = &self.as_slice()[offset..offset + len];
        let target = to.device_ptr_mut(stream).0;
        // SAFETY: both sides hold `len` elements; the owner keeps the buffer until the stream has passed.
        unsafe { result::memcpy_htod_async(target, source, stream.cu_stream()) }
            .during("copying to the device")
    }

    /// Enqueues a copy of device memory into the buffer, from element `offset` on.
    ///
    /// # Errors
    /// [`super::Error::Length`] if the buffer is too short.
    pub fn enqueue_from(
        &mut self,
        offset: usize,
        from: &CudaView<'_, T>,
        stream: &Arc<CudaStream>,
    ) -> Result<()> {
        let len = from.len();
        check_length("pinned buffer", self.len, offset + len)?;
        let source = from.device_ptr(stream).0;
        let target = &mut self.as_mut_slice()[offset..offset + len];
        // SAFETY: both sides hold `len` elements; the owner keeps the buffer until the stream has passed.
        unsafe { result::memcpy_dtoh_async(target, source, stream.cu_stream()) }.during("copying to the host")
    }
}

impl<T> Drop for PinnedBuffer<T> {
    fn drop(&mut self) {
        // A copy may still be under way; freeing is rare enough to wait for it.
        self.context.record_err(self.context.synchronize());
        // SAFETY: `data` came from `malloc_host`, is freed once, and no copy uses it any more.
        let freed = unsafe { result::free_host(self.data.cast()) };
        self.context.record_err(freed);
    }
}
