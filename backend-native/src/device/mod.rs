//! What executes a step: the trait, and the devices that implement it.

pub(crate) mod batch;
pub mod cpu;
mod null;
pub mod sim;

pub use batch::{BlockMove, DeviceTime, SeqStep, Sequences, StepBatch, StepOutput};
pub use cpu::CpuDevice;
pub use null::NullDevice;

use kvlens_core::BoxError;

/// What a device is, known when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its name, such as `cpu`, `sim:h100` or the GPU's; the `device` of the run's source.
    pub name: String,
    /// Tokens of a KV block; `None` where any size will do.
    pub block_size: Option<u32>,
    /// KV blocks it has room for, the null block included; `None` where it stores nothing.
    pub blocks: Option<u32>,
    /// Blocks of its host pool for swapping; `None` where it stores nothing.
    pub host_blocks: Option<u32>,
    /// Whether time is simulated: the device moves the engine's clock, and host time means nothing.
    pub virtual_time: bool,
    /// How many steps late device times are reported: 0 on a synchronous device, 1 where events are read a step later.
    pub steps_late: u32,
}

impl DeviceInfo {
    /// Describes a device that stores nothing and reports at once.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

/// Executes the steps that the engine schedules.
///
/// # Contract
/// - [`execute`](Self::execute) does a batch's moves in this order: `swap_out`, `copies`, `swap_in`, then the
///   sequences. Moves within one list are done in their order.
/// - A sequence may read KV that an earlier sequence of the same batch writes in the same step. So either all K and V
///   of a layer are written before its attention runs, or sequences run one after the other.
/// - For every sequence with `sampled` set, in batch order, one token goes into
///   [`StepOutput::tokens`]: the one that follows the sequence's last new token. Nothing else is pushed there.
/// - What a token's K, V and next token are may depend on the tokens before it alone: not on the batch, the chunk, the
///   block numbers or the block size.
/// - An error leaves the contents of all blocks unknown: the engine ends every resident request and empties the prefix
///   cache.
pub trait Device: std::fmt::Debug + Send {
    /// Says what the device is.
    fn info(&self) -> &DeviceInfo;

    /// Executes one step.
    ///
    /// # Errors
    /// Whatever kept the device from executing it.
    fn execute(&mut self, batch: &StepBatch<'_>, output: &mut StepOutput) -> Result<(), BoxError>;

    /// Waits for everything under way and reports the times that are still owed.
    ///
    /// # Errors
    /// Whatever went wrong since the last step.
    fn finish(&mut self, output: &mut StepOutput) -> Result<(), BoxError>;
}
