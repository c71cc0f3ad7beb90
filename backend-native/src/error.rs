//! The one error type of the engine.

use kvlens_core::BoxError;

/// The result of a call into the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request needs more KV blocks than the pool has, even alone.
    #[error(
        "request {id} needs {needed} KV blocks ({tokens} tokens), the pool has {available}: give it more blocks, or shorten the request"
    )]
    NeverFits {
        /// The request.
        id: u64,
        /// Blocks it needs at its longest.
        needed: u64,
        /// Blocks in the pool.
        available: u32,
        /// Tokens whose KV it needs at its longest.
        tokens: u64,
    },
    /// A request asks for nothing that could be computed.
    #[error("request {id} has {found}: it needs at least one of them")]
    EmptyRequest {
        /// The request.
        id: u64,
        /// What is missing.
        found: &'static str,
    },
    /// Two live requests have one number.
    #[error("request {id} is live already: give each request a number of its own")]
    DuplicateId {
        /// The number.
        id: u64,
    },
    /// No live request has this number.
    #[error("request {id} is not live: it has finished, or was never added")]
    UnknownRequest {
        /// The number.
        id: u64,
    },
    /// A sequence can't be forked now.
    #[error("request {id} can't be forked: {reason}")]
    NotForkable {
        /// The request.
        id: u64,
        /// Why.
        reason: &'static str,
    },
    /// A setting is out of range, or does not suit the device.
    #[error("{setting} is {found}: {mend}")]
    Config {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        found: u64,
        /// What would be right.
        mend: String,
    },
    /// The device could not execute a step; requests with KV on it have ended with an error.
    #[error(
        "device `{device}` could not execute step {step}; the {failed} requests with KV on it have ended"
    )]
    Device {
        /// The device's name.
        device: String,
        /// The step.
        step: u64,
        /// Requests that ended because of it.
        failed: usize,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The device broke its contract.
    #[error("device `{device}` gave {found} tokens for {wanted} sampled sequences in step {step}")]
    DeviceContract {
        /// The device's name.
        device: String,
        /// The step.
        step: u64,
        /// Tokens given.
        found: usize,
        /// Tokens wanted.
        wanted: usize,
    },
    /// Recording could not be set up.
    #[error("recording could not be set up")]
    Recording(#[from] kvlens_core::Error),
}
