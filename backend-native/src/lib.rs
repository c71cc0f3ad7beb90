//! A paged-KV inference engine (CPU, simulated and CUDA devices) that records itself.

pub mod config;
pub mod device;
pub mod engine;
pub mod error;
pub mod model;
pub mod recording;
pub mod request;

pub use config::{EngineConfig, Policy, Preemption};
pub use device::Device;
pub use engine::{Engine, Output, StepSummary};
pub use error::{Error, Result};
pub use model::Model;
pub use recording::Recording;
pub use request::{Prompt, Request, Span};
