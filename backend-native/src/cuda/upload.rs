//! Small host data that changes every step: block tables, plans, token numbers.

use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DeviceRepr, ValidAsZeroBits};
use std::sync::Arc;

use super::{
    context::Gpu,
    error::{Context as _, Result, check_length},
    pinned::PinnedBuffer,
};

/// A device buffer with a page-locked twin on the host, so that a transfer never makes the host wait for the
/// stream. The device address stays the same, as a captured graph needs.
#[derive(Debug)]
pub(crate) struct Upload<T> {
    host: PinnedBuffer<T>,
    device: CudaSlice<T>,
    sent: CudaEvent,
}

impl<T: DeviceRepr + ValidAsZeroBits + Copy> Upload<T> {
    pub(crate) fn try_new(gpu: &Gpu, len: usize) -> Result<Self> {
        Ok(Self {
            host: gpu.pinned(len)?,
            device: gpu.zeros(len)?,
            sent: gpu.context().new_event(None).during("making an event")?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.host.len()
    }

    pub(crate) fn device(&self) -> &CudaSlice<T> {
        &self.device
    }

    /// The host side, once the last transfer has read it.
    pub(crate) fn edit(&mut self) -> Result<&mut [T]> {
        self.sent.synchronize().during("waiting for the last upload")?;
        Ok(self.host.as_mut_slice())
    }

    /// Enqueues the transfer of the first `len` elements.
    pub(crate) fn send(&mut self, len: usize, stream: &Arc<CudaStream>) -> Result<()> {
        check_length("upload buffer", self.len(), len)?;
        if len > 0 {
            self.host
                .enqueue_to(0, len, &mut self.device.slice_mut(..len), stream)?;
            self.sent.record(stream).during("recording an event")?;
        }
        Ok(())
    }

    /// Enqueues the transfer of a slice.
    pub(crate) fn write(&mut self, data: &[T], stream: &Arc<CudaStream>) -> Result<()> {
        check_length("upload buffer", self.len(), data.len())?;
        self.edit()?[..data.len()].copy_from_slice(data);
        self.send(data.len(), stream)
    }
}
