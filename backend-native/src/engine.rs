//! The engine: requests in, tokens out, one step at a time.

use crate::config::EngineConfig;
use crate::device::Device;
use crate::error::Result;
use crate::recording::Recording;
use crate::request::Request;
use kvlens_core::Clock;
use kvlens_core::record::FinishReason;
use std::sync::Arc;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StepSummary {
    /// The step's number; of the next step where nothing ran.
    pub step: u64,
    /// When it began, on the engine's clock.
    pub start_ns: u64,
    /// When its tokens were known.
    pub end_ns: u64,
    /// Requests that took part; 0 where there was nothing to do, and no step was counted.
    pub requests: u32,
    /// Tokens computed.
    pub tokens: u32,
    /// Tokens sampled.
    pub sampled: u32,
    /// Requests admitted, for the first time or again.
    pub admitted: u32,
    /// Requests preempted.
    pub preempted: u32,
    /// Requests finished.
    pub finished: u32,
}

/// A token that a step gave to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// The request.
    pub request: u64,
    /// The token.
    pub token: u32,
    /// Why the request ended, if it did.
    pub finished: Option<FinishReason>,
}

/// A paged-KV engine.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Makes an engine.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a setting is out of range or does not suit the device.
    pub fn new(
        _config: EngineConfig,
        _device: Box<dyn Device>,
        _clock: Arc<dyn Clock>,
        _recording: Recording,
    ) -> Result<Self> {
        Ok(Self {})
    }

    /// Queues a request.
    ///
    /// # Errors
    /// A request that can never run is refused.
    pub fn add(&mut self, _request: Request) -> Result<()> {
        Ok(())
    }

    /// Runs one step.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device).
    pub fn step(&mut self) -> Result<StepSummary> {
        Ok(StepSummary::default())
    }

    /// The tokens that the last step gave, in batch order.
    pub fn outputs(&self) -> &[Output] {
        &[]
    }

    /// Whether a request is live.
    pub fn has_work(&self) -> bool {
        false
    }

    /// Ends a request.
    ///
    /// # Errors
    /// [`Error::UnknownRequest`](crate::Error::UnknownRequest).
    pub fn abort(&mut self, _id: u64) -> Result<()> {
        Ok(())
    }

    /// Reports what is still open: late device times, blocks that are alive (as censored rows).
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device).
    pub fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
