//! A decode step recorded once and replayed as one launch.

use cudarc::driver::{
    CudaGraph,
    sys::{CUgraphInstantiate_flags, CUstreamCaptureMode},
};

use super::{
    context::Gpu,
    error::{Context as _, Error, Result},
};

/// A sequence of launches that the GPU starts without the host.
///
/// It reads the addresses that it was captured with. A batch changes through its `update`, which keeps them.
pub struct StepGraph {
    graph: CudaGraph,
}

impl std::fmt::Debug for StepGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepGraph").finish_non_exhaustive()
    }
}

impl StepGraph {
    /// Records what `enqueue` puts on the engine's stream, without running it. All kernels must have been
    /// loaded before ([`Gpu::warm_up`], or one run of the same calls), since loading cannot be recorded.
    ///
    /// # Errors
    /// Those of `enqueue`, and the driver's.
    pub fn capture(gpu: &Gpu, enqueue: impl FnOnce() -> Result<()>) -> Result<Self> {
        let stream = gpu.stream();
        stream
            .begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .during("starting a graph capture")?;
        let enqueued = enqueue();
        // The capture ends in any case, or the stream would stay unusable.
        let graph = stream
            .end_capture(CUgraphInstantiate_flags(0))
            .during("ending a graph capture");
        enqueued?;
        graph?.map(|graph| Self { graph }).ok_or(Error::EmptyGraph)
    }

    /// Enqueues the recorded launches.
    ///
    /// # Safety
    /// Every buffer that the recorded launches read or write must still live, and no other work may use what
    /// they write until they are over.
    ///
    /// # Errors
    /// The driver's.
    pub unsafe fn replay(&self) -> Result<()> {
        self.graph.launch().during("replaying a graph")
    }
}
