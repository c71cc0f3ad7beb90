//! What can go wrong on the GPU, each with its mend.

use cudarc::driver::{DriverError, sys::CUresult};

/// A failure of the CUDA device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No CUDA driver library on this machine.
    #[error("no CUDA driver library found: install the NVIDIA driver, or run with --device cpu")]
    NoDriver,
    /// The driver is there and sees fewer GPUs than asked for.
    #[error(
        "no CUDA device {ordinal}, the driver sees {count}: check CUDA_VISIBLE_DEVICES, or use --device cpu"
    )]
    NoDevice {
        /// Device asked for.
        ordinal: usize,
        /// Devices the driver sees.
        count: usize,
    },
    /// The GPU's compute capability is below what the kernels are compiled for.
    #[error(
        "{name} has compute capability {}.{}, the kernels need {}.{}: use a newer GPU, or --device cpu",
        found.0, found.1, needed.0, needed.1
    )]
    TooOld {
        /// Name of the GPU.
        name: String,
        /// Its compute capability.
        found: (i32, i32),
        /// The lowest that works.
        needed: (i32, i32),
    },
    /// The driver cannot compile the embedded PTX.
    #[error(
        "the driver (CUDA {}.{}) cannot load kernels of PTX ISA 9.0: install a driver for CUDA 13.0 or newer",
        driver.0, driver.1
    )]
    DriverTooOld {
        /// CUDA version of the driver.
        driver: (i32, i32),
    },
    /// Not enough device memory.
    #[error("out of GPU memory: {needed} bytes needed, {free} free: use fewer KV blocks or a smaller model")]
    OutOfMemory {
        /// Bytes asked for.
        needed: usize,
        /// Bytes free at that moment.
        free: usize,
    },
    /// No kernel exists for what was asked.
    #[error("{what} {found} is not supported: use one of {supported}")]
    UnsupportedShape {
        /// The quantity.
        what: &'static str,
        /// Its value.
        found: usize,
        /// Values that work.
        supported: &'static str,
    },
    /// A kernel needs more shared memory than the GPU gives one block.
    #[error(
        "{kernel} needs {needed} bytes of shared memory, this GPU has {available}: use a smaller head size"
    )]
    SharedMemory {
        /// Entry point.
        kernel: &'static str,
        /// Bytes it needs.
        needed: u32,
        /// Bytes a block may have.
        available: u32,
    },
    /// A buffer's length does not fit the shapes of a call.
    #[error("{what} holds {found} elements, the shapes need {needed}")]
    Length {
        /// The buffer.
        what: &'static str,
        /// Elements it has.
        found: usize,
        /// Elements it needs.
        needed: usize,
    },
    /// A block, slot or row number outside its pool.
    #[error("{what} {found} is outside 0..{limit}")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its value.
        found: i64,
        /// The first value too large.
        limit: usize,
    },
    /// A view that starts between two 16-byte vectors.
    #[error("{what} must start at a multiple of 16 bytes")]
    Misaligned {
        /// The buffer.
        what: &'static str,
    },
    /// A batch cut for one precision of queries, called with the other.
    #[error(
        "the prefill batch was made for the other precision of queries: set `wide` to what the calls use"
    )]
    Precision,
    /// A graph capture in which nothing was launched.
    #[error("nothing was launched during the graph capture")]
    EmptyGraph,
    /// Any other failure the driver reports.
    #[error("{operation}")]
    Driver {
        /// What was being done.
        operation: &'static str,
        /// The driver's code.
        #[source]
        source: DriverError,
    },
}

/// The result of a call that uses the GPU.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names the operation that a driver error came from.
pub(crate) trait Context<T> {
    /// Turns the driver's code into an [`Error::Driver`].
    fn during(self, operation: &'static str) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, DriverError> {
    fn during(self, operation: &'static str) -> Result<T> {
        self.map_err(|source| Error::Driver { operation, source })
    }
}

/// Whether the driver says that memory ran out.
pub(crate) fn is_out_of_memory(error: DriverError) -> bool {
    error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY
}

/// Checks that a buffer has at least the elements that a call touches.
pub(crate) fn check_length(what: &'static str, found: usize, needed: usize) -> Result<()> {
    if found < needed {
        Err(Error::Length { what, found, needed })
    } else {
        Ok(())
    }
}

/// Checks that a buffer can be read 16 bytes at a time.
pub(crate) fn check_aligned(what: &'static str, address: u64) -> Result<()> {
    if address.is_multiple_of(16) {
        Ok(())
    } else {
        Err(Error::Misaligned { what })
    }
}

/// Checks that an index lies in its pool.
pub(crate) fn check_index(what: &'static str, found: i64, limit: usize) -> Result<()> {
    match usize::try_from(found) {
        Ok(index) if index < limit => Ok(()),
        _ => Err(Error::OutOfRange { what, found, limit }),
    }
}
