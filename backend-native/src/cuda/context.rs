//! The GPU: found, opened, and asked about itself.

use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig,
    PushKernelArg as _, ValidAsZeroBits,
    result::{self, DriverError},
    sys::{self, CUdevice_attribute, CUresult},
};

use super::{
    dtype::Element,
    error::{Context as _, Error, Result, is_out_of_memory},
    layout::KvLayout,
    module::{Build, Module, Modules},
    pinned::PinnedBuffer,
};

/// The lowest compute capability that the kernels run on.
pub const MINIMUM_CAPABILITY: (i32, i32) = (8, 0);

/// What a GPU says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuInfo {
    /// Number of the device, as the driver counts.
    pub ordinal: usize,
    /// Marketing name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// CUDA version of the driver, major and minor.
    pub driver: (i32, i32),
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of L2 cache.
    pub l2_bytes: usize,
    /// Bytes of shared memory that one block may ask for.
    pub shared_memory_bytes: u32,
    /// Bytes of shared memory of one multiprocessor.
    pub multiprocessor_shared_bytes: u32,
    /// Bytes of device memory.
    pub total_bytes: usize,
    /// UUID, as `nvidia-smi -L` prints it after `GPU-`.
    pub uuid: String,
}

/// An open GPU with a stream for the engine's kernels and one for swaps.
///
/// All work of the engine goes to one stream in order, so the buffers carry no events of their own: what
/// crosses streams (swap) is ordered by explicit events.
#[derive(Debug)]
pub struct Gpu {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    copy_stream: Arc<CudaStream>,
    modules: Modules,
    info: GpuInfo,
}

/// Counts the CUDA devices of this machine.
///
/// # Errors
/// [`Error::NoDriver`] where there is no driver library; never a panic.
pub fn device_count() -> Result<usize> {
    // SAFETY: only tries to open the driver library, which has no preconditions.
    let present = unsafe { sys::is_culib_present() };
    if !present {
        return Err(Error::NoDriver);
    }
    match result::init() {
        Ok(()) => {}
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(0),
        Err(source) => {
            return Err(Error::Driver {
                operation: "starting the CUDA driver",
                source,
            });
        }
    }
    let count = CudaContext::device_count().during("counting the devices")?;
    Ok(usize::try_from(count).unwrap_or(0))
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// [`Error::NoDriver`], [`Error::NoDevice`] and [`Error::TooOld`] say what is missing.
    pub fn open(ordinal: usize) -> Result<Self> {
        let count = device_count()?;
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let context = CudaContext::new(ordinal).during("opening the device")?;
        let info = describe(&context)?;
        if info.capability < MINIMUM_CAPABILITY {
            let GpuInfo {
                name,
                capability: found,
                ..
            } = info;
            return Err(Error::TooOld {
                name,
                found,
                needed: MINIMUM_CAPABILITY,
            });
        }
        // SAFETY: `Gpu` orders all uses of a buffer itself: one compute stream, and events where the copy
        // stream meets it.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().during("making the compute stream")?;
        let copy_stream = context.new_stream().during("making the copy stream")?;
        let modules = Modules::new(context.clone(), info.driver, info.shared_memory_bytes);
        Ok(Self {
            context,
            stream,
            copy_stream,
            modules,
            info,
        })
    }

    /// What the device says of itself.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// The stream that all kernels run on.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// The stream that swaps run on.
    pub fn copy_stream(&self) -> &Arc<CudaStream> {
        &self.copy_stream
    }

    pub(crate) fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Free and total device memory in bytes.
    ///
    /// # Errors
    /// The driver's.
    pub fn memory(&self) -> Result<(usize, usize)> {
        self.context.mem_get_info().during("reading the memory in use")
    }

    /// Waits for everything enqueued so far. The engine never calls this for statistics.
    ///
    /// # Errors
    /// Reports an error of any kernel that ran before.
    pub fn synchronize(&self) -> Result<()> {
        self.stream
            .synchronize()
            .during("waiting for the compute stream")?;
        self.copy_stream
            .synchronize()
            .during("waiting for the copy stream")?;
        self.context.check_err().during("freeing a resource earlier")
    }

    /// Allocates device memory filled with zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] with the bytes needed and free.
    pub fn zeros<T: DeviceRepr + ValidAsZeroBits>(&self, len: usize) -> Result<CudaSlice<T>> {
        self.stream
            .alloc_zeros(len.max(1))
            .map_err(|source| self.allocation_error(len * size_of::<T>(), source))
    }

    /// Allocates device memory and copies a host slice there.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] with the bytes needed and free.
    pub fn upload<T: DeviceRepr>(&self, data: &[T]) -> Result<CudaSlice<T>> {
        self.stream
            .clone_htod(data)
            .map_err(|source| self.allocation_error(size_of_val(data), source))
    }

    /// Copies device memory to the host, and waits for it.
    ///
    /// # Errors
    /// The driver's.
    pub fn download<T: DeviceRepr, S: DevicePtr<T>>(&self, data: &S) -> Result<Vec<T>> {
        let host = self.stream.clone_dtoh(data).during("copying to the host")?;
        self.stream.synchronize().during("waiting for the copy")?;
        Ok(host)
    }

    /// Allocates page-locked host memory filled with zeros.
    ///
    /// # Errors
    /// The driver's, when the host has too little memory that it may lock.
    pub fn pinned<T: DeviceRepr + ValidAsZeroBits>(&self, len: usize) -> Result<PinnedBuffer<T>> {
        PinnedBuffer::zeros(&self.context, len)
    }

    /// Loads the kernels of a pool's shape, so that no first step pays for the driver's compilation and a
    /// graph capture finds them loaded.
    ///
    /// # Errors
    /// [`Error::DriverTooOld`] where the driver cannot compile them; [`Error::SharedMemory`] on a GPU with too
    /// little of it.
    pub fn warm_up<T: Element>(&self, layout: &KvLayout, wide: bool) -> Result<()> {
        let build = if wide {
            Build::wide::<T>()
        } else {
            Build::narrow::<T>()
        };
        super::decode::warm_up(self, build, layout)?;
        super::prefill::warm_up(self, build, layout)?;
        super::kv::warm_up(self)?;
        if wide {
            super::ops::warm_up::<T>(self)
        } else {
            Ok(())
        }
    }

    fn allocation_error(&self, needed: usize, source: DriverError) -> Error {
        if is_out_of_memory(source) {
            let free = self.memory().map_or(0, |(free, _)| free);
            return Error::OutOfMemory { needed, free };
        }
        Error::Driver {
            operation: "allocating device memory",
            source,
        }
    }

    pub(crate) fn function(&self, kernel: &Kernel) -> Result<CudaFunction> {
        self.modules
            .function(kernel.module, kernel.name, kernel.shared_bytes)
    }

    /// Enqueues a kernel.
    ///
    /// # Safety
    /// The params struct must be the one that the kernel takes, and every address in it must point to device
    /// memory as large as the kernel, with these params and this grid, reads or writes.
    pub(crate) unsafe fn launch<P: DeviceRepr>(
        &self,
        stream: &CudaStream,
        kernel: &Kernel,
        grid: (u32, u32, u32),
        params: &P,
    ) -> Result<()> {
        let function = self.function(kernel)?;
        let shared_mem_bytes = kernel.shared_bytes;
        let config = LaunchConfig {
            grid_dim: grid,
            block_dim: (kernel.threads, 1, 1),
            shared_mem_bytes,
        };
        let mut launch = stream.launch_builder(&function);
        launch.arg(params);
        // SAFETY: the caller vouches for the params; the threads and shared memory are the kernel's own.
        unsafe { launch.launch(config) }.during(kernel.name)?;
        Ok(())
    }
}

/// An entry point with what its launches have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    pub(crate) module: Module,
    pub(crate) name: &'static str,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
}

/// The device address of a buffer, for a params struct.
pub(crate) fn address<T>(buffer: &impl DevicePtr<T>) -> u64 {
    // Event tracking is off, so the guard that comes with the address has nothing to record.
    buffer.device_ptr(buffer.stream()).0
}

fn describe(context: &Arc<CudaContext>) -> Result<GpuInfo> {
    use CUdevice_attribute as A;
    let attribute = |which| context.attribute(which).during("asking the device about itself");
    let unsigned = |value: i32| u32::try_from(value).unwrap_or(0);
    let mut version = 0;
    // SAFETY: writes one integer to the place given.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .during("asking for the driver's version")?;
    let uuid = context.uuid().during("asking for the device's UUID")?;
    Ok(GpuInfo {
        ordinal: context.ordinal(),
        name: context.name().during("asking for the device's name")?,
        capability: context
            .compute_capability()
            .during("asking for the compute capability")?,
        driver: (version / 1000, version % 1000 / 10),
        multiprocessors: unsigned(attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?),
        l2_bytes: unsigned(attribute(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?) as usize,
        shared_memory_bytes: unsigned(attribute(
            A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?),
        multiprocessor_shared_bytes: unsigned(attribute(
            A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
        )?),
        total_bytes: context.total_mem().during("asking for the memory size")?,
        uuid: format_uuid(&uuid.bytes),
    })
}

fn format_uuid(bytes: &[std::ffi::c_char; 16]) -> String {
    let number = u128::from_be_bytes(bytes.map(|byte| byte.to_ne_bytes()[0]));
    let digits = format!("{number:032x}");
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_gpu_is_an_error_that_says_what_to_do() {
        let error = Gpu::open(1_000_000).expect_err("no machine has so many");
        assert!(
            matches!(
                error,
                Error::NoDriver | Error::NoDevice { .. } | Error::Driver { .. }
            ),
            "{error:?}"
        );
        assert!(
            matches!(error, Error::Driver { .. }) || error.to_string().contains("--device cpu"),
            "{error}"
        );
    }

    #[test]
    fn uuids_read_as_nvidia_smi_prints_them() {
        let bytes: [u8; 16] = std::array::from_fn(|i| u8::try_from(i * 17).expect("up to 255"));
        let text = format_uuid(&bytes.map(|byte| std::ffi::c_char::from_ne_bytes([byte])));
        assert_eq!(text, "00112233-4455-6677-8899-aabbccddeeff");
    }
}
